"""`convgrad explain SPELLING`: the page on which one can touch a convolution and its gradients."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "write a page that explains a convolution and its gradients by touching them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spelling", nargs="*", metavar="WORD", help='the convolution, as in "i7x7 k3x3 s2 p1" (default i5x5 k3x3 p1)'
    )
    parser.add_argument(
        "--out", metavar="FILE", default="explain.html", help="where to write it (default explain.html)"
    )
    parser.add_argument("--open", action="store_true", help="show it in a browser")


def run(args: argparse.Namespace) -> int:
    from ..explanation.page import FIRST, explain
    from ..train.files import write_atomically

    spelling = " ".join(args.spelling) or FIRST
    data = explain(spelling, seed=args.seed or 1).html.encode()
    path = Path(args.out)
    write_atomically(path, data)
    if args.json:
        config = {"spelling": spelling, "out": args.out, "seed": args.seed}
        result = {"page": str(path), "bytes": len(data)}
        print(json.dumps({"schema": 1, "command": "explain", "config": config, "result": result}))
    else:
        print(f"page    {path}")
    if args.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    return 0
