"""`convgrad plan SPELLING`: how a convolution would be computed, without computing it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..plan import Plan

HELP = "show how a convolution would be computed, and why so"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spelling", nargs="+", metavar="WORD", help='the convolution, as in "n8 ic64 oc64 i56x56 k3x3 p1"'
    )
    parser.add_argument(
        "--role",
        choices=("forward", "input_grad", "weight_grad"),
        action="append",
        help="only this role (default: all)",
    )
    parser.add_argument("--dtype", choices=("float32", "float64", "bfloat16"), default="float32")
    parser.add_argument("--algorithm", metavar="NAME", help="force an algorithm by name")


def run(args: argparse.Namespace) -> int:
    from ..api import plan_for
    from ..plan import ROLES

    text = " ".join(args.spelling)
    plans = [plan_for(role, text, dtype=args.dtype, algorithm=args.algorithm) for role in args.role or ROLES]
    if args.json:
        config = {"spelling": text, "dtype": args.dtype, "algorithm": args.algorithm}
        print(json.dumps({"schema": 1, "command": "plan", "config": config, "result": [_record(p) for p in plans]}))
    else:
        print("\n\n".join(map(str, plans)))
    return 0


def _record(plan: Plan) -> dict[str, Any]:
    from ..plan import ERROR_SCALES
    from ..spelling import spell

    g = plan.geometry
    return {
        "role": plan.role,
        "spelling": spell(g),
        "dtype": plan.dtype,
        "shapes": {"x": g.input_shape, "w": g.weight_shape, "y": g.output_shape},
        "algorithm": plan.algorithm,
        "parameters": str(plan.parameters),
        "operations": plan.operations,
        "array_bytes": plan.array_bytes,
        "workspace_bytes": plan.workspace_bytes,
        "error_bound_eps": plan.error_bound,
        "error_scale": ERROR_SCALES[plan.error_scale],
        "why": plan.why,
        "rejected": {other.algorithm: other.reason for other in plan.rejected},
    }
