"""`convgrad bench`: ours beside other libraries, checked first, then timed in turns."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..bench.measure import Row
    from ..bench.models import Trained

HELP = "time the three roles beside other libraries; checks every result first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--suite",
        action="append",
        metavar="NAME|SPELLING",
        help="resnet50, neglected, depthwise, images, tiny, models, or a spelling in quotes; may be given again",
    )
    parser.add_argument("--against", metavar="PEER,...", help="of torch, jax, scipy (default: those installed)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="interleaved rounds (default 15)")
    parser.add_argument(
        "--contended", action="store_true", help="measure again while another process keeps one core busy"
    )
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the ratios")


def run(args: argparse.Namespace) -> int:
    from ..bench.measure import measure
    from ..bench.peak import flops
    from ..bench.peers import installed
    from ..bench.suites import problems
    from ..machine import usable_cores
    from ..spelling import spell

    if args.suite and "models" in args.suite:
        return _run_models(args)
    against = installed() if args.against is None else [peer for peer in args.against.split(",") if peer]
    counts = [args.threads] if args.threads else sorted({1, usable_cores()})
    found = problems(args.suite or ["tiny"])
    rows: list[Row] = []
    for number, (threads, g) in enumerate(((threads, g) for threads in counts for g in found), start=1):
        if not args.quiet:
            print(f"{number}/{len(found) * len(counts)}  {spell(g)}  threads {threads}", file=sys.stderr)
        rows += measure(g, args.dtype, against, max(1, args.rounds), threads, args.seed, args.contended)
    if args.json:
        config = {"suite": args.suite or ["tiny"], "against": against, "dtype": args.dtype, "rounds": args.rounds}
        conditions = _conditions(against, counts) | {"peak_flops": {str(n): flops(args.dtype, n) for n in counts}}
        result = {"conditions": conditions, "rows": [_record(row) for row in rows]}
        print(json.dumps({"schema": 1, "command": "bench", "config": config, "result": result}))
    else:
        print(_table(rows, against, counts, args.dtype))
    if args.plot:
        from ..bench.chart import bars, draw
        from ..train.files import write_atomically

        write_atomically(Path(args.plot), draw(bars(rows, against), against).encode())
    return 0


def _run_models(args: argparse.Namespace) -> int:
    """Training steps of PyTorch models, with its layers and with ours."""
    from ..bench.chart import Bar, draw
    from ..bench.models import MODELS, compare
    from ..errors import InputError
    from ..machine import usable_cores
    from ..train.files import write_atomically

    if args.suite != ["models"] or args.dtype != "float32":
        raise InputError("suite", "models", "is measured alone, in float32", "--suite models, without --dtype")
    threads = args.threads or usable_cores()
    found: list[Trained] = []
    for name in MODELS:
        if not args.quiet:
            print(f"{len(found) + 1}/{len(MODELS)}  {name}", file=sys.stderr)
        found.append(compare(name, max(1, args.rounds), threads, args.seed))
    if args.json:
        rows = [
            {"model": one.name, "layers": one.layers, "swapped": one.swapped, "losses_apart": one.apart}
            | {"ours_s": one.ours, "theirs_s": one.theirs}
            for one in found
        ]
        config = {"suite": args.suite, "rounds": args.rounds}
        result = {"conditions": _conditions(["torch"], [threads]), "rows": rows}
        print(json.dumps({"schema": 1, "command": "bench", "config": config, "result": result}))
    else:
        print(_model_table(found, threads))
    if args.plot:
        bars = [Bar(one.name, "step", one.ratio, f"torch takes {one.ratio:.2f} times as long") for one in found]
        write_atomically(Path(args.plot), draw(bars, ["torch"]).encode())
    return 0


def _model_table(found: list[Trained], threads: int) -> str:
    lines = ["  ".join(f"{name} {value}" for name, value in _conditions(["torch"], [threads]).items()), ""]
    lines.append(f"{'model':<10} {'ours':>9} {'torch ms':>9} {'ours ms':>9} {'ratio':>6} {'median':>6}  losses apart")
    for one in found:
        layers = f"{one.swapped} of {one.layers}"
        lines.append(
            f"{one.name:<10} {layers:>9} {min(one.theirs) * 1e3:9.1f} {min(one.ours) * 1e3:9.1f} "
            f"{one.ratio:6.2f} {one.median_ratio:6.2f}  {one.apart:.0e}"
        )
    mean = geometric_mean(one.ratio for one in found)
    least = min(one.ratio for one in found)
    return "\n".join(
        [
            *lines,
            "",
            f"torch / ours, a training step: geometric mean {mean:.2f}, least {least:.2f}",
            "Steps in turns, on the same batches; layers are swapped by `accelerate` where ours measured faster.",
        ]
    )


def geometric_mean(numbers: Iterable[float]) -> float:
    logs = [math.log(number) for number in numbers]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def _table(rows: list[Row], against: list[str], counts: list[int], dtype: str) -> str:
    from ..bench.peak import flops

    width = max(len(row.spelling) for row in rows)
    head = f"{'':{width}}  {'role':<11} {'algorithm':<9} {'ms':>9} {'Gflop/s':>8} {'peak':>5}"
    lines = ["  ".join(f"{name} {value}" for name, value in _conditions(against, counts).items())]
    contended = any(row.contended for row in rows)
    for threads in counts:
        peak = flops(dtype, threads)
        measured = f", measured peak {peak / 1e9:.0f} Gflop/s" if peak else ""
        lines += ["", f"threads {threads}{measured}"]
        lines.append(head + "".join(f" {peer + ' ms':>10} {'ratio':>6}" for peer in against))
        if contended:
            lines[-1] += f" {'busy: ours':>11}" + "".join(f" {peer:>6}" for peer in against)
        mine = [row for row in rows if row.threads == threads]
        lines += [_line(row, against, width, peak) for row in mine]
        lines.append("")
        for peer in against:
            for role in ("forward", "input_grad", "weight_grad"):
                ratios = [row.ratio(peer) for row in mine if row.role == role and peer in row.theirs]
                if ratios:
                    least = f"least {min(ratios):.2f}"
                    lines.append(f"{peer} / ours, {role:<11} geometric mean {geometric_mean(ratios):5.2f}, {least}")
    lines.append("")
    lines.append(
        "Minimum over interleaved rounds; a ratio above 1 means that ours is faster. Transforms have no share of"
    )
    lines.append("the peak, because they multiply less than their operations say.")
    if contended:
        lines.append("busy: how many times as long the median takes while another process keeps one core busy.")
    if any(row.stalled for row in rows):
        lines.append("* a stalled barrier of OpenMP, not the peer's speed: repeat when the machine is quiet.")
    return "\n".join(lines)


def _line(row: Row, against: list[str], width: int, peak: float | None) -> str:
    rate = row.plan.operations / row.ours.least
    share = f"{rate / peak:5.0%}" if peak and row.plan.algorithm != "fourier" else f"{'':5}"
    text = f"{row.spelling:{width}}  {row.role:<11} {row.plan.algorithm:<9} {row.ours.least * 1e3:9.3f}"
    text += f" {rate / 1e9:8.1f} {share}"
    for peer in against:
        if peer in row.theirs:
            mark = "*" if peer in row.stalled else " "
            text += f" {row.theirs[peer].least * 1e3:9.3f}{mark} {row.ratio(peer):6.2f}"
        else:
            text += f" {'wrong' if peer in row.wrong else '-':>10} {'':>6}"
    if row.contended:
        text += f" {row.contended['']:11.2f}" + "".join(
            f" {row.contended.get(peer, math.nan):6.2f}" for peer in against
        )
    return text.rstrip()


def _conditions(against: list[str], counts: list[int]) -> dict[str, Any]:
    from .. import __version__
    from ..bench.peers import version
    from ..machine import Machine

    machine = Machine.here()
    versions = {peer: version(peer) for peer in against}
    return {"convgrad": __version__, **versions, "isa": machine.isa, "threads": counts, "cpu": machine.cpu}


def _record(row: Row) -> dict[str, Any]:
    def timing(t: Any) -> dict[str, float]:
        return {"least_s": t.least, "median_s": t.median, "relative_error": t.error}

    return {
        "spelling": row.spelling,
        "role": row.role,
        "algorithm": row.plan.algorithm,
        "operations": row.plan.operations,
        "ours": timing(row.ours),
        "theirs": {peer: timing(t) for peer, t in row.theirs.items()},
        "wrong": row.wrong,
        "threads": row.threads,
        "stalled": row.stalled,
        "contended": row.contended,
    }
