"""`convgrad tune SPELLING...`: measure which algorithm is the fastest here, and let plans follow it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..geometry import Geometry
    from ..tuned import Measured, Problem

HELP = "measure which algorithm is the fastest for a problem; plans follow and cite it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spelling", nargs="*", metavar="WORD", help="a convolution; several, each in quotes; names of suites of `bench`"
    )
    parser.add_argument(
        "--role",
        choices=("forward", "input_grad", "weight_grad"),
        action="append",
        help="only this role (default: all)",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="interleaved rounds (default 15)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show what was measured on this machine; measure nothing")
    what.add_argument("--forget", action="store_true", help="remove what was measured of these problems, or all of it")


def run(args: argparse.Namespace) -> int:
    from .. import tuned
    from ..bench.suites import problems, suites
    from ..errors import InputError
    from ..machine import Machine

    loose = [word for word in args.spelling if " " not in word and word not in suites()]
    asked = problems([*(word for word in args.spelling if word not in loose), *filter(None, [" ".join(loose)])])
    if args.list:
        return _show(args, tuned.here().of(Machine.here()), {})
    if args.forget:
        removed = sum(map(tuned.forget, asked)) if asked else tuned.forget()
        return _show(args, {}, {"removed": removed}, f"{removed} forgotten")
    if not asked:
        raise InputError("spelling", "tune", "names no problem", "a spelling, as in n8 ic64 oc64 i56x56 k3x3 p1")
    return _tune(args, asked)


def _tune(args: argparse.Namespace, asked: list[Geometry]) -> int:
    from .. import settings, tuned
    from ..bench.tune import tune
    from ..machine import Machine
    from ..plan import ROLES
    from ..spelling import spell

    path = tuned.place()  # before anything is measured
    threads = settings.num_threads() or Machine.here().cores
    found = {}
    for number, g in enumerate(asked, start=1):
        for role in args.role or ROLES:
            if not args.quiet:
                print(f"{number}/{len(asked)}  {spell(g)}  {role}", file=sys.stderr)
            problem, measured = tune(role, g, args.dtype, max(1, args.rounds), threads, args.seed)
            tuned.store({problem: measured})  # at once: an interrupt keeps what was measured
            found[problem] = measured
    return _show(
        args, found, {"file": str(path)}, f"kept in {path}; plans cite it, an empty CONVGRAD_TUNING ignores it"
    )


def _show(args: argparse.Namespace, found: dict[Problem, Measured], more: dict[str, Any], note: str = "") -> int:
    if args.json:
        config = {"spelling": args.spelling, "role": args.role, "dtype": args.dtype, "rounds": args.rounds}
        result = {"measured": [_record(problem, measured) for problem, measured in found.items()], **more}
        print(json.dumps({"schema": 1, "command": "tune", "config": config, "result": result}))
        return 0
    print("\n".join([*_table(found), *([note] if note else [])] or ["nothing is tuned on this machine"]))
    return 0


def _table(found: dict[Problem, Measured]) -> list[str]:
    width = max((len(problem.spelling) for problem in found), default=0)
    lines = [f"{'one image':{width}}  {'role':<11} dtype    fastest        ms  others"] if found else []
    for problem, measured in found.items():
        best, *others = measured.ranking
        seconds = measured.seconds
        lines.append(
            f"{problem.spelling:{width}}  {problem.role:<11} {problem.dtype}  {best:<9} {seconds[best] * 1e3:8.3f}  "
            + ", ".join(f"{name} {seconds[name] / seconds[best]:.2f} times" for name in others)
        )
    return lines


def _record(problem: Problem, measured: Measured) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(problem), **asdict(measured), "fastest": measured.ranking[0]}
