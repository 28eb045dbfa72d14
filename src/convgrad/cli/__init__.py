"""The command `convgrad`: finds the subcommand, runs it, turns errors into one line and an exit code.

Exit codes: 0 ok, 1 the check failed, 2 usage or unusable input, 3 an optional library is missing, 130 interrupted.
Each subcommand is one module here with `HELP`, `add_arguments(parser)` and `run(args) -> exit code`. None of them
imports NumPy before it runs, so that `convgrad --help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import ConvgradError, MissingExtraError

COMMANDS = ("train", "predict", "plan", "kernel", "derive", "explain", "bench", "tune", "check", "deblur", "info")

OK, CHECK_FAILED, USAGE, MISSING_EXTRA, INTERRUPTED = 0, 1, 2, 3, 130

# our own setting, and what each BLAS that NumPy may carry reads when it is first loaded
THREAD_VARIABLES = (
    "CONVGRAD_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (else that of the process) and return its exit code."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed its help, or the usage error
        return stop.code if isinstance(stop.code, int) else USAGE
    if args.command is None:
        _parser().print_help()
        return USAGE
    if args.threads is not None:
        _limit_threads(args.threads)
    try:
        code: int = import_module(f".{args.command}", __name__).run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `convgrad ... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ConvgradError as error:
        _print_error(error, args.json)
        return MISSING_EXTRA if isinstance(error, MissingExtraError) else USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convgrad", description="Convolution and its gradients. NumPy in, NumPy out.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"convgrad {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f".{name}", __name__)
        command = commands.add_parser(name, help=module.HELP, description=module.HELP, allow_abbrev=False)
        module.add_arguments(command)
        common = command.add_argument_group("common")
        common.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        common.add_argument("--seed", type=_count, default=0, metavar="N", help="seed of everything random (default 0)")
        common.add_argument(
            "--threads", type=_positive, metavar="N", help="threads to use (default: every usable core)"
        )
        common.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 0")
    return int(text)


def _positive(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _limit_threads(threads: int) -> None:
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if "numpy" in sys.modules:  # loaded before us, so the variables come too late
        try:
            from threadpoolctl import threadpool_limits
        except ImportError:
            raise MissingExtraError("threadpoolctl", "train", "--threads inside a running Python") from None
        threadpool_limits(threads)


def _print_error(error: ConvgradError, as_json: bool) -> None:
    if as_json:
        parts = {"argument": error.argument, "value": repr(error.value), "rule": error.rule, "accepted": error.accepted}
        print(json.dumps({"error": {"type": type(error).__name__, "message": str(error), **parts}}), file=sys.stderr)
    else:
        print(f"convgrad: {error}", file=sys.stderr)
