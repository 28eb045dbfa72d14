"""`convgrad deblur`: an image or a volume made sharp again, within a limit of memory."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HELP = "make a blurred image or volume sharp: PNG, TIFF or Zarr, of any size"

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
LEAST_MEMORY = 512 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IN", help="a .png, .tif or .zarr of one to three axes, or of colours")
    parser.add_argument("out", metavar="OUT", help="where the result goes; its name says the format")
    parser.add_argument(
        "--psf",
        required=True,
        metavar="FILE|gaussian:SIGMA",
        help="the blur: an image, a .npy, or a Gaussian in pixels",
    )
    parser.add_argument("--steps", type=_steps, default=20, metavar="N", help="steps of Richardson-Lucy (20)")
    parser.add_argument(
        "--tv",
        type=_strength,
        default=0.0,
        metavar="F",
        help="charge for edges, against noise: 0.002 mild, 0.02 strong",
    )
    parser.add_argument("--blind", action="store_true", help="estimate the blur too, beginning with --psf")
    parser.add_argument(
        "--memory", type=memory, default="2GiB", metavar="SIZE", help="memory to keep within, at least 512MiB (2GiB)"
    )
    parser.add_argument("--work", metavar="FOLDER", help="where work under way is kept (OUT.work); deleted at the end")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")


def run(args: argparse.Namespace) -> int:
    from ..dask.libraries import on_threads
    from ..deblur.images import checked_suffix, read_image, write_image
    from ..deblur.psf import read_psf
    from ..deblur.run import Method, deblur, finish
    from ..errors import InputError
    from ..machine import usable_cores

    out, work = Path(args.out), Path(args.work or f"{args.out}.work")
    checked_suffix(out)
    if out.exists() and not args.overwrite:
        raise InputError("path", str(out), "exists", "a free name, or --overwrite")
    image = read_image(Path(args.image))
    psf = read_psf(args.psf, image.planes.ndim - 2)
    method = Method(args.steps, args.tv, args.blind)
    threads = args.threads or usable_cores()
    progress = _silent if args.quiet else _Told(args.steps, sys.stderr.isatty())
    started = time.perf_counter()
    with on_threads(threads):
        sharp = deblur(image.planes, psf, work, method, memory=args.memory, threads=threads, progress=progress)
        write_image(out, sharp.planes, image, args.overwrite)
    estimated = finish(work, sharp, out if args.blind else None)
    seconds = time.perf_counter() - started
    if args.json:
        config = {"image": args.image, "psf": args.psf, "steps": args.steps, "tv": args.tv, "blind": args.blind}
        result = {"out": str(out), "shape": list(sharp.planes.shape), "psf": estimated and str(estimated)}
        print(json.dumps({"schema": 1, "command": "deblur", "config": config, "result": result | {"seconds": seconds}}))
        return 0
    size = "x".join(map(str, sharp.planes.shape[2:]))
    print(f"image  {out}  ({size}, {args.steps} steps, {seconds:.1f} s)")
    if estimated:
        print(f"psf    {estimated}")
    return 0


def memory(text: str) -> int:
    """Bytes, from a number and a unit.

    >>> memory("2GiB"), memory("1.5 GB"), memory("600000000")
    (2147483648, 1500000000, 600000000)
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(|[KMG]i?)B?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 2GiB")
    size = int(float(found[1]) * UNITS[found[2]])
    if size < LEAST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text} is less than the 512MiB that the libraries and a slab take")
    return size


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps")
    return int(text)


def _strength(text: str) -> float:
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no strength from 0 to below 1")
    return strength


def _silent(step: int, done: int, slabs: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Told:
    """Progress on stderr: a line that changes on a terminal, else one for every step."""

    steps: int
    terminal: bool

    def __call__(self, step: int, done: int, slabs: int) -> None:
        line = f"step {step}/{self.steps}  {done}/{slabs} slabs"
        if self.terminal:
            print(f"\r{line}  ", end="\n" if (step, done) == (self.steps, slabs) else "", file=sys.stderr, flush=True)
        elif done == slabs:
            print(line, file=sys.stderr, flush=True)
