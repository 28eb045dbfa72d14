"""`convgrad kernel SPELLING`: the text of the compiled kernel that a convolution runs on."""

from __future__ import annotations

import argparse
import json

HELP = "print the LLVM text of the kernel that a convolution runs on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spelling", nargs="+", metavar="WORD", help='the convolution, as in "n8 ic64 oc64 i56x56 k3x3 p1"'
    )
    parser.add_argument("--role", choices=("forward", "input_grad", "weight_grad"), default="forward")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")


def run(args: argparse.Namespace) -> int:
    from ..algorithms import shifted
    from ..api import plan_for
    from ..assemble import Assembly

    plan = plan_for(args.role, " ".join(args.spelling), dtype=args.dtype, algorithm="shifted")
    if isinstance(plan.parameters, Assembly):  # the pieces of a border run the same kernel
        plan = plan.parameters.parts[0].plan
    text = shifted.kernel_text(plan)
    if args.json:
        config = {"spelling": " ".join(args.spelling), "role": args.role, "dtype": args.dtype}
        print(json.dumps({"schema": 1, "command": "kernel", "config": config, "result": {"text": text}}))
    else:
        print(f"; {plan.role} {args.dtype}: {plan.parameters}\n{text}", end="")
    return 0
