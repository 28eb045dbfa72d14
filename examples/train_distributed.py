"""Data-parallel training with PyTorch DDP over two processes; convgrad computes convolutions and their gradients.

    python examples/train_distributed.py [--processes 2] [--steps 20]

Every process sees its share of each batch; DDP averages the gradients over gloo. The losses printed are those of one
process that sees whole batches, up to the rounding of the averages: the example runs that too, and compares.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from convgrad.torch import Conv2d

BATCH, CLASSES = 32, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    alone = train(0, 1, args.steps)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_process, (args.processes, args.steps, folder), nprocs=args.processes)
        together = np.load(Path(folder) / "losses.npy")
    for step in range(0, args.steps, max(1, args.steps // 5)):
        print(f"step {step:3}  one process {alone[step]:.6f}   {args.processes} processes {together[step]:.6f}")
    worst = float(np.max(np.abs(together - alone) / np.abs(alone)))
    print(f"largest difference {worst:.1e} of the loss; loss {alone[0]:.3f} -> {alone[-1]:.3f}")
    if worst > 1e-4 or alone[-1] > 0.7 * alone[0]:
        raise SystemExit("the losses differ by more than rounding, or did not fall")


def train(rank: int, processes: int, steps: int) -> Any:
    """The loss of every step, averaged over processes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(
        Conv2d(1, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 64, CLASSES),
    )
    if processes > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for step in range(steps):
        images, labels = batch(step)
        share = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
        loss = nn.functional.cross_entropy(model(images[share]), labels[share])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        if processes > 1:
            dist.all_reduce(mean)
            mean /= processes
        losses.append(mean.item())
    return np.array(losses)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of stripes in one of four directions, under noise."""
    rng = np.random.default_rng(step)
    labels = rng.integers(0, CLASSES, BATCH)
    rows, columns = np.indices((16, 16))
    angle = labels * np.pi / CLASSES
    phase = rng.random(BATCH)[:, None, None] * 6
    along = np.cos(angle)[:, None, None] * rows + np.sin(angle)[:, None, None] * columns
    images = np.sin(along + phase) + 0.5 * rng.standard_normal((BATCH, 16, 16))
    return torch.from_numpy(images[:, None].astype("float32")), torch.from_numpy(labels)


def _process(rank: int, processes: int, steps: int, folder: str) -> None:
    store = dist.FileStore(f"{folder}/store", processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    losses = train(rank, processes, steps)
    if rank == 0:
        np.save(Path(folder) / "losses.npy", losses)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
