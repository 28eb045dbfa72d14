"""The tables by which `pack` and `unpack` find the numbers of every lane of every task."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..record import Array
from .split import Walk
from .tiling import Tiling

Strides = tuple[int, ...]  # in elements


@dataclass(frozen=True, slots=True)
class Moves:
    """One array's way into the lanes, or out of them."""

    rows: Array  # (rows, 4): offset in the array, place of the bounds for each axis
    offsets: Array  # (tasks, 2, lanes)
    bounds: Array  # int32 (tasks, bounds, 2, 2, lanes): first and count, for each axis and phase
    steps: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Which image, group and tile each lane of each task holds; arrays of (tasks, 2, lanes)."""

    image: Array
    group: Array
    tile: Array
    valid: Array


def tile_lanes(tiling: Tiling, batch: int) -> Lanes:
    """A lane holds two tiles of one image in its halves, so that no image meets another."""
    every = tiling.tasks(batch)
    unit, task, half, lane = np.ogrid[: tiling.units, :every, :2, : tiling.lanes]
    pair = task + 0 * lane if tiling.apart else task * tiling.lanes + lane
    group = unit * tiling.lanes + lane if tiling.apart else unit + 0 * lane
    image, tile = pair // tiling.pairs, 2 * (pair % tiling.pairs) + half
    valid = (image < batch) & (group < tiling.geometry.groups) & (tile < tiling.tiles)
    shape = (tiling.units * every, 2, tiling.lanes)
    arrays = np.broadcast_arrays(image, group, tile, valid)
    return Lanes(*(array.reshape(shape) for array in arrays))


def tile_moves(tiling: Tiling, lanes: Lanes, which: str, strides: Strides) -> Moves:
    """Of the input ("input") or of the output, for an array with these strides."""
    channels = {"input": tiling.geometry.in_channels_per_group, "output": tiling.geometry.out_channels_per_group}[which]
    counts = [count for split in tiling.splits for count in (split.residues, split.tiles)]
    places = np.unravel_index(np.where(lanes.valid, lanes.tile, 0).ravel(), counts)
    walks = [getattr(split, which)(places[2 * axis], places[2 * axis + 1]) for axis, split in enumerate(tiling.splits)]
    base = lanes.image * strides[0] + lanes.group * channels * strides[1]
    # channels outermost where phases are summed over, phases where they are results
    phases = list(itertools.product(*(range(len(walk.first)) for walk in walks)))
    if tiling.role == "input_grad":
        every = [(channel, phase) for phase in phases for channel in range(channels)]
    else:
        every = [(channel, phase) for channel in range(channels) for phase in phases]
    return _moves(walks, strides[2:], base, lanes.valid, [(channel * strides[1], phase) for channel, phase in every])


def weight_moves(tiling: Tiling, strides: Strides) -> Moves:
    """Of the weight: lanes hold results, or groups; only real halves are filled."""
    g = tiling.geometry
    unit, block, half, lane = np.ogrid[: tiling.units, : tiling.blocks, :2, : tiling.lanes]
    group = unit * tiling.lanes + lane if tiling.apart else unit + 0 * lane
    result = 0 * lane if tiling.apart else block * tiling.lanes + lane
    to_result, to_channel = (strides[1], strides[0]) if tiling.role == "input_grad" else (strides[0], strides[1])
    base = group * g.out_channels_per_group * strides[0] + result * to_result
    valid = (half == 0) & (group < g.groups) & (result < tiling.rows)
    shape = (tiling.units * tiling.blocks, 2, tiling.lanes)
    base, valid = (array.reshape(shape) for array in np.broadcast_arrays(base, valid))
    walks = [split.weight(base.size) for split in tiling.splits]
    phases = list(itertools.product(*(range(split.phases) for split in tiling.splits)))
    if tiling.role == "input_grad":
        order = [(channel * to_channel, phase) for phase in phases for channel in range(tiling.channels)]
    else:
        order = [(channel * to_channel, phase) for channel in range(tiling.channels) for phase in phases]
    results = range(tiling.rows if tiling.apart else 1)
    rows = [(row * to_result + offset, phase) for row in results for offset, phase in order]
    return _moves(walks, strides[2:], base, valid, rows)


def _moves(
    walks: list[Walk], strides: Strides, base: Array, valid: Array, rows: list[tuple[int, tuple[int, ...]]]
) -> Moves:
    """rows: (offset, phase of each axis)."""
    strides = (0,) * (3 - len(strides)) + strides
    offsets = base + sum(walk.start.reshape(base.shape) * s for walk, s in zip(walks, strides, strict=True))
    bounds: list[Array] = []
    begins = []
    for walk in walks:
        begins.append(len(bounds))
        for first, last in zip(walk.first, walk.last, strict=True):
            count = np.where(valid, np.maximum(0, last - first).reshape(base.shape), 0)
            bounds.append(np.stack([first.reshape(base.shape), count], axis=1))
    size = 4 * base.shape[-1]
    table = [
        (
            offset + sum(walk.phase_step * p * s for walk, p, s in zip(walks, phase, strides, strict=True)),
            *(size * (begin + p) for begin, p in zip(begins, phase, strict=True)),
        )
        for offset, phase in rows
    ]
    return Moves(
        rows=np.array(table, np.int64),
        offsets=np.ascontiguousarray(offsets, np.int64),
        bounds=np.stack(bounds, axis=1).astype(np.int32),
        steps=(walks[0].step * strides[0], walks[1].step * strides[1], walks[2].step * strides[2]),
    )
