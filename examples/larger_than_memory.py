"""A volume larger than memory through all three roles: from Zarr to Zarr, checked, timed, its memory limited.

    python examples/larger_than_memory.py --gib 12 --memory 2GiB --kernel 9 --folder /scratch

Writes a random volume and, for each role, its result; compares slabs with `convgrad.conv` in memory bit for bit; and
prints the time beside that of the same work on arrays in memory, on the same cores. The limit is the system's
(RLIMIT_DATA): a process that asks for more is refused. With --workers N, a LocalCluster of processes computes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread of NumPy's BLAS would set memory of its own aside

import dask
import dask.array as da
import numpy as np

import convgrad as cg
import convgrad.dask as cd
from convgrad.cli.deblur import memory as size_of
from convgrad.machine import usable_cores

SLAB_BYTES = 64 << 20
WIDTH = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=1.0, help="size of the volume (1)")
    parser.add_argument("--memory", type=size_of, default="2GiB", help="limit of this process (2GiB)")
    parser.add_argument("--kernel", type=int, default=5, help="taps along each axis (5)")
    parser.add_argument(
        "--threads", type=int, default=usable_cores() + 2, help="two more than cores: some wait for the disk"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes of one thread, instead of threads")
    parser.add_argument("--folder", type=Path, default=Path("larger_than_memory"), help="for 3 volumes; deleted")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.workers:
        resource.setrlimit(resource.RLIMIT_DATA, (args.memory, args.memory))
    args.folder.mkdir(parents=True)
    try:
        with _scheduler(args):
            found = measure(args.folder, int(args.gib * (1 << 30)), args.kernel)
    finally:
        shutil.rmtree(args.folder)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps(found) if args.json else "\n".join(f"{name:<28} {value}" for name, value in found.items()))


def measure(folder: Path, volume_bytes: int, kernel: int) -> dict[str, Any]:
    """Seconds of each role on disk, and of the same work in memory."""
    rows = SLAB_BYTES // (4 * WIDTH * WIDTH)
    depth = max(4, volume_bytes // SLAB_BYTES) * rows
    weight = np.random.default_rng(1).standard_normal((1, 1, *(kernel,) * 3), "float32")
    options: dict[str, Any] = {"padding": "same"}
    size = (depth, WIDTH, WIDTH)

    def random_slab(block_info: Any = None) -> Any:
        place = block_info[None]["array-location"]
        rng = np.random.default_rng(place[2][0])
        return rng.standard_normal([stop - start for start, stop in place], "float32")

    chunks = ((1,), (1,), (rows,) * (depth // rows), (WIDTH,), (WIDTH,))
    source = da.map_blocks(random_slab, chunks=chunks, dtype="float32", meta=np.empty((0,) * 5, "float32"))
    seconds: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[name] = round(time.perf_counter() - start, 2)
        return result

    plain: dict[str, Any] = {"compressors": None}
    x = timed("write x", lambda: cd.store(source, folder / "x.zarr", **plain))
    copied = timed("copy, Zarr to Zarr", lambda: cd.store(x + np.float32(0), folder / "copy.zarr", **plain))
    shutil.rmtree(folder / "copy.zarr")
    del copied
    y = timed("forward", lambda: cd.store(cd.conv(x, weight, **options), folder / "y.zarr", **plain))
    lazy = cd.conv_input_grad(y, weight, input_size=size, **options)
    gx = timed("input gradient", lambda: cd.store(lazy, folder / "gx.zarr", **plain))
    gw = timed("weight gradient", lambda: cd.conv_weight_grad(y, x, kernel_size=(kernel,) * 3, **options).compute())

    # a slab from the middle, and what its windows see, against the results in memory
    start, halo = depth // 2 // rows * rows, kernel // 2
    near = slice(start - halo, start + rows + halo)
    inside = {
        "padding": [(0, 0), (halo, halo), (halo, halo)],
        "algorithm": cg.plan_for("forward", _spelled(kernel)).algorithm,
    }
    inside["algorithm"] = "shifted" if inside["algorithm"] == "fourier" else inside["algorithm"]
    piece = x[:, :, near].compute()
    expected = cg.conv(piece, weight, **inside)
    assert (y[:, :, start : start + rows].compute() == expected).all()
    # the input gradient of a volume with padding "same" and an odd kernel is a conv with the flipped kernel; the order
    # of its terms is another, so whole slabs of it are compared as gradients
    piece = y[:, :, near].compute()
    back = cg.conv_input_grad(piece, weight, input_size=(rows + 4 * halo, WIDTH, WIDTH), **inside)[
        :, :, 2 * halo : 2 * halo + rows
    ]
    assert (gx[:, :, start : start + rows].compute() == back).all()
    assert np.isfinite(gw).all()

    # the same work in memory, on all cores
    image = piece[:, :, :rows]
    roles = {
        "forward": lambda: cg.conv(image, weight, padding="same", algorithm=inside["algorithm"]),
        "input gradient": lambda: cg.conv_input_grad(
            image, weight, input_size=image.shape[2:], padding="same", algorithm=inside["algorithm"]
        ),
        "weight gradient": lambda: cg.conv_weight_grad(image, image, kernel_size=(kernel,) * 3, padding="same"),
    }
    found: dict[str, Any] = {"volume": f"{4 * depth * WIDTH * WIDTH / (1 << 30):.2f} GiB, {kernel}^3 taps"}
    found |= {f"{name}, s": spent for name, spent in seconds.items()}
    for name, role in roles.items():
        role()
        best = min(_once(role) for _ in range(3))
        in_memory = best * depth / rows
        found[f"{name} in memory, s"] = round(in_memory, 2)
        found[f"{name}, share of that rate"] = f"{100 * in_memory / seconds[name]:.0f} %"
    return found


def _spelled(kernel: int) -> str:
    return f"i{WIDTH}x{WIDTH}x{WIDTH} k{kernel}x{kernel}x{kernel}"


def _once(role: Any) -> float:
    start = time.perf_counter()
    role()
    return time.perf_counter() - start


@contextlib.contextmanager
def _scheduler(args: argparse.Namespace) -> Any:
    if not args.workers:
        with dask.config.set(scheduler="threads", num_workers=args.threads):
            yield
        return
    from distributed import Client, LocalCluster

    limits = {"n_workers": args.workers, "threads_per_worker": 1, "memory_limit": args.memory // args.workers}
    with LocalCluster(**limits, dashboard_address=None) as cluster, Client(cluster):
        yield


if __name__ == "__main__":
    main()
