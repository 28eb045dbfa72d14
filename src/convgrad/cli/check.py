"""`convgrad check`: a backend against the definition, on cases from the corners of the option lattice."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..conformance.campaign import Report
    from ..conformance.sampler import Wishes

HELP = "look for wrong results of convolutions and their gradients, in ours or another library"

DEFAULT_SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        default="ours",
        metavar="NAME,...",
        help="ours, torch, jax, scipy, autograd, sigpy, mlx, or module:object; several for one report (default ours)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=_seconds, metavar="S", help="how long to look, without making findings small (default 30)"
    )
    length.add_argument("--cases", type=int, metavar="N", help="how many cases to try")
    parser.add_argument("--roles", type=_words, metavar="ROLE,...", help="of forward, input_grad, weight_grad")
    parser.add_argument("--dtypes", type=_words, metavar="DTYPE,...", help="of float32, float64, float16, bfloat16")
    parser.add_argument("--algorithms", type=_words, metavar="NAME,...", help="of the backend's own")
    parser.add_argument(
        "--isa",
        type=_words,
        metavar="NAME,...",
        help="instruction sets, as avx2,sse2, and amx; all: every one of this CPU",
    )
    parser.add_argument("--save", metavar="DIR", help="keep every finding there: a case, and a script that shows it")
    parser.add_argument("--replay", metavar="PATH", help="try saved cases again, and no others")
    parser.add_argument("--html", metavar="FILE", help="write a page with the results, backends side by side")
    parser.add_argument("--case-seconds", type=_seconds, default=10.0, metavar="S", help="limit of a case (default 10)")
    parser.add_argument("--case-memory", type=int, default=2048, metavar="MIB", help="limit of a case (default 2048)")


def run(args: argparse.Namespace) -> int:
    from ..conformance import files
    from ..conformance.campaign import check, replay
    from ..conformance.processes import Limits
    from ..conformance.report.records import record
    from ..conformance.report.text import text

    sys.path.insert(0, "")  # a backend of one's own may lie in the current folder
    limits = Limits(seconds=args.case_seconds, memory=args.case_memory << 20)
    names = [name for name in args.backend.split(",") if name]
    saved = files.load(Path(args.replay)) if args.replay else None
    seconds = args.seconds or (DEFAULT_SECONDS if args.cases is None else None)
    reports: list[Report] = []
    for name in names:
        progress = None if args.quiet else _progress()
        if saved is not None:
            reports.append(replay(name, saved, limits=limits, progress=progress))
            continue
        wishes = _wishes(name, args)
        reports.append(
            check(
                name,
                most_cases=args.cases,
                seconds=seconds,
                seed=args.seed,
                wishes=wishes,
                limits=limits,
                progress=progress,
            )
        )
    if args.save:
        for report in reports:
            files.save(Path(args.save), report)
    if args.html:
        from ..conformance.report.page import render
        from ..train.files import write_atomically

        write_atomically(Path(args.html), render(reports).encode())
    if args.json:
        names_of = ("backend", "seconds", "cases", "seed", "roles", "dtypes", "isa", "replay")
        config = {name: getattr(args, name) for name in names_of}
        result = [record(report) for report in reports]
        print(json.dumps({"schema": 1, "command": "check", "config": config, "result": result}))
    else:
        print("\n\n".join(map(text, reports)))
    return 0 if all(report.ok for report in reports) else 1


def _wishes(backend: str, args: argparse.Namespace) -> Wishes:
    """What to draw, each word checked against what the backend offers."""
    from ..conformance import dialects
    from ..conformance.sampler import Wishes
    from ..errors import UnsupportedError
    from ..machine import Machine
    from ..settings import levels_of

    dialect = dialects.find(backend)
    machine = Machine.here()
    levels = (*levels_of(machine.isa), *(["amx"] if machine.amx else []))
    here = tuple(isa for isa in levels if isa in dialect.environments)
    isas = here if args.isa == ("all",) else args.isa
    offered = {
        "roles": dialect.capabilities.roles,
        "dtypes": dialect.capabilities.dtypes,
        "algorithms": dialect.capabilities.algorithms,
        "isa": here,
    }
    asked = {name: getattr(args, name) for name in offered} | {"isa": isas}
    for option, words in offered.items():
        for word in asked[option] or ():
            if word not in words:
                raise UnsupportedError(option, word, f"is nothing that {backend} has", ", ".join(filter(None, words)))
    threads = (args.threads,) if args.threads else None
    return Wishes(args.roles, args.dtypes, isas or ("",), threads, args.algorithms)


def _progress() -> Callable[[Report], None]:
    """Says on stderr what was found, at once, and how far a run is, now and then."""
    from ..conformance.report.records import heading

    said, findings = time.monotonic(), 0

    def say(report: Report) -> None:
        nonlocal said, findings
        if len(report.findings) > findings:
            findings = len(report.findings)
            print(f"{report.backend}: {heading(report.findings[-1])}", file=sys.stderr, flush=True)
        if time.monotonic() - said > (0.5 if sys.stderr.isatty() else 20):
            said = time.monotonic()
            told = f"{report.backend}: {report.tried} cases, {len(report.findings)} findings, {report.seconds:.0f} s"
            print(told, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    return say


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return number
