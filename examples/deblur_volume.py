"""A microscope's volume made sharp again within a limit of memory, and the blur itself estimated from it.

    python examples/deblur_volume.py [--depth 96] [--width 256] [--memory 768MiB] [--steps 10]

Simulates what a light microscope sees of filaments and beads: blurred more along its axis than across, lopsided, with
the noise of photons. Then takes it back three ways, from disk to disk: Richardson-Lucy with the true point spread
function, the same with total variation, and blind, beginning with a Gaussian guess. Prints how far each is from the
truth. The limit of memory is the system's (RLIMIT_DATA); with 1.5 GB of volume, for instance

    python examples/deblur_volume.py --depth 384 --width 1024 --memory 1GiB
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread of NumPy's BLAS would set memory of its own aside

import dask
import dask.array as da
import numpy as np

from convgrad.cli.deblur import memory as size_of
from convgrad.dask import conv, store
from convgrad.deblur.psf import gaussian, normalized
from convgrad.deblur.run import Method, deblur

SLICES = 8  # of a chunk
PHOTONS = 60.0  # of the brightest points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=96)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--memory", type=size_of, default="768MiB")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for the volumes (a temporary one)")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (args.memory, args.memory))
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as folder,
        dask.config.set(scheduler="threads", num_workers=args.threads),
    ):
        run(Path(folder), args)


def run(folder: Path, args: argparse.Namespace) -> None:
    psf = lopsided()
    size = (args.depth, args.width, args.width)
    truth, seen = simulate(folder, size, psf)
    volume = 4 * np.prod(size) / (1 << 20)
    print(f"volume {volume:.0f} MiB, limit {args.memory >> 20} MiB, psf {'x'.join(map(str, psf.shape))}")
    print(f"{'as seen':<28} error {error(seen, truth):.3f}")
    guess = gaussian((1.9, 1.2, 1.2))
    ways = {
        "Richardson-Lucy": (psf, Method(args.steps)),
        "with total variation": (psf, Method(args.steps, total_variation=0.01)),
        "blind, from a Gaussian": (guess, Method(args.steps, blind=True)),
    }
    for name, (given, method) in ways.items():
        start = time.perf_counter()
        work = folder / name.replace(" ", "-")
        sharp = deblur(seen, given, work, method, memory=args.memory, threads=args.threads)
        spent = time.perf_counter() - start
        print(f"{name:<28} error {error(sharp.planes, truth):.3f}   {spent:.1f} s", end="")
        if method.blind:
            print(f"   psf: error {distance(guess, psf):.3f} -> {distance(sharp.psf, psf):.3f}", end="")
        print()
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


def simulate(folder: Path, size: tuple[int, ...], psf: Any) -> tuple[Any, Any]:
    """What is there, and what is seen of it: Dask arrays (1, 1, *size) on the disk."""
    larger = tuple(s + k - 1 for s, k in zip(size, psf.shape, strict=True))
    chunks = (1, 1, SLICES, *larger[1:])
    blank = da.zeros((1, 1, *larger), chunks=chunks, dtype="float32")
    scene = store(da.map_blocks(draw, blank, dtype="float32"), folder / "scene.zarr", compressors=None)
    light = conv(scene, np.flip(psf).astype("float32")[np.newaxis, np.newaxis], chunks=(1, 1, SLICES, *size[1:]))
    seen = store(da.map_blocks(photons, light, dtype="float32"), folder / "seen.zarr", compressors=None)
    inside = tuple(slice(k - 1 - k // 2, k - 1 - k // 2 + s) for k, s in zip(psf.shape, size, strict=True))
    return scene[(slice(None), slice(None), *inside)], seen


def draw(slices: Any, block_info: Any = None) -> Any:
    """Winding filaments along the axis, and beads, on a faint ground."""
    if block_info is None:
        return slices
    (start, stop), (_, height), (_, width) = block_info[0]["array-location"][2:]
    rng = np.random.default_rng(0)
    image = np.full_like(slices, 0.02)
    for _ in range(height * width // 500):
        row, column, phase, bend = rng.random(4) * (height, width, 6.3, 12)
        for z in range(start, stop):
            y = int(row + bend * np.sin(z / 9 + phase)) % height
            x = int(column + bend * np.cos(z / 11 + phase)) % width
            image[0, 0, z - start, y, x] = 1
    rng = np.random.default_rng(start + 1)
    for _ in range(image.size // 20000):
        z, y, x = (int(rng.integers(0, max(1, length - 2))) for length in image.shape[2:])
        image[0, 0, z : z + 2, y : y + 2, x : x + 2] = 0.7
    return PHOTONS * image


def photons(light: Any, block_info: Any = None) -> Any:
    """Light as it is counted."""
    if block_info is None:
        return light
    rng = np.random.default_rng(block_info[0]["array-location"][2][0])
    return rng.poisson(np.maximum(light, 0)).astype("float32")


def lopsided() -> Any:
    """A point spread function longer along the axis than across, with coma."""
    psf = gaussian((1.6, 1.0, 1.0))
    z, y, _ = np.indices(psf.shape) / np.array(psf.shape).reshape(3, 1, 1, 1)
    return normalized(psf * (0.4 + y + 0.6 * z * y))


def error(image: Any, truth: Any) -> float:
    """Of the difference's norm, as a share of the truth's."""
    squares = [((image - truth) ** 2).sum(dtype="float64"), (truth**2).sum(dtype="float64")]
    wrong, all_of_it = da.compute(*squares)
    return float(np.sqrt(wrong / all_of_it))


def distance(a: Any, b: Any) -> float:
    """Half of the light that lies elsewhere, where both are put on one grid."""
    size = tuple(max(s, t) for s, t in zip(a.shape, b.shape, strict=True))
    centred = [np.pad(one, [((s - k) // 2,) * 2 for s, k in zip(size, one.shape, strict=True)]) for one in (a, b)]
    return float(np.abs(centred[0] - centred[1]).sum() / 2)


if __name__ == "__main__":
    main()
