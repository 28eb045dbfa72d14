"""How a chunked convolution scales from one worker to two, and what travels between them.

    python examples/dask_scaling.py [--size 4096] [--chunk 512] [--kernel 7] [--channels 8]

The input lies in the workers' memory; each run computes forward and keeps the result there. Printed are the best of
some rounds for each number of workers, the bytes that workers received from each other, and the bytes of all halos:
what would travel if no two neighbouring chunks were on one worker.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait

import convgrad.dask as cd
from convgrad.dask.work import cut


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--kernel", type=int, default=7)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    best = {}
    for workers in (1, 2):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            best[workers], received, halos, chunks = measure(client, args)
        megabytes = f"{received / 1e6:.1f} MB received, {halos / 1e6:.1f} MB of halos"
        print(f"{workers} workers: {best[workers]:.2f} s, {megabytes}")
    per_chunk = halos / chunks / 1e3
    side, halo = args.chunk, args.kernel // 2
    bound = 4 * args.channels * ((side + 2 * halo) ** 2 - side**2) / 1e3
    print(f"{chunks} chunks, {per_chunk:.0f} kB of halos each; a chunk with eight neighbours needs {bound:.0f} kB")
    print(f"1 -> 2 workers: {best[1] / best[2]:.2f} times as fast")


def measure(client: Any, args: argparse.Namespace) -> tuple[float, int, int, int]:
    """(seconds, bytes received, bytes of halos, chunks) of forward."""
    shape, chunks = (1, args.channels, args.size, args.size), (1, args.channels, args.chunk, args.chunk)
    x = da.random.default_rng(0).standard_normal(shape, chunks=chunks).astype("float32").persist()
    wait(x)
    w = np.random.default_rng(1).standard_normal((args.channels, args.channels, args.kernel, args.kernel), "float32")
    times, received = [], 0
    for _ in range(args.rounds):
        w = w + np.float32(1)  # another weight, so that nothing is found done
        y = cd.conv(x, w, padding="same")
        before = sum(client.run(bytes_received).values())
        start = time.perf_counter()
        wait(y.persist())
        times.append(time.perf_counter() - start)
        received = sum(client.run(bytes_received).values()) - before
    sliced = (task for task in dict(y.__dask_graph__()).values() if isinstance(task, tuple) and task[0] is cut)
    boxes = [box for _, _, box in sliced]
    halos = sum(4 * int(np.prod([side.stop - side.start for side in box])) for box in boxes)
    return min(times), received, halos, int(np.prod(y.numblocks))


def bytes_received(dask_worker: Any) -> int:
    """Of what a worker got from others, so far."""
    return sum(entry["total"] for entry in dask_worker.transfer_incoming_log)


if __name__ == "__main__":
    main()
