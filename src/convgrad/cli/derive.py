"""`convgrad derive --input 5 --kernel 2 --padding 1`: a small convolution and its gradients, in symbols."""

from __future__ import annotations

import argparse
import json
import re

HELP = "write a small convolution and its gradients out in symbols"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=_size, required=True, metavar="SIZE", help="input size: 5, or 4x4")
    parser.add_argument("--kernel", type=_size, required=True, metavar="SIZE", help="kernel size: 2, or 3x3")
    parser.add_argument("--stride", type=_size, default="1", metavar="SIZE", help="step of the window (default 1)")
    parser.add_argument("--dilation", type=_size, default="1", metavar="SIZE", help="step between taps (default 1)")
    parser.add_argument(
        "--padding",
        type=_padding,
        default="0",
        metavar="SIZE",
        help="zeros around the input: 1, 1x0 per axis, 1+0 before+after (default 0)",
    )


def run(args: argparse.Namespace) -> int:
    from ..explanation.derive import derive
    from ..spelling import parse

    config = {name: getattr(args, name) for name in ("input", "kernel", "stride", "dilation", "padding")}
    derivation = derive(parse("i{input} k{kernel} s{stride} d{dilation} p{padding}".format(**config)))
    if args.json:
        print(json.dumps({"schema": 1, "command": "derive", "config": config, "result": derivation.to_json()}))
    else:
        print(derivation)
    return 0


def _size(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(x[0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: a whole number, or one per axis as in 4x4")
    return text


def _padding(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\+[0-9]+)?(x[0-9]+(\+[0-9]+)?)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no padding: 1, or 1x0 per axis, or 1+0 before+after")
    return text
