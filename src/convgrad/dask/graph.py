"""From Dask arrays and a plan to a lazy result: a task for each of its chunks, and one for each slice that they read.

Slices across the borders of chunks are the exchange of halos: the scheduler moves them and nothing else. The graph is
written down chunk by chunk; it holds index arithmetic and keys, no data but the plan.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..piecewise import cell
from ..plan import Plan
from .cuts import Chunks, inputs_cut, outputs_cut, ranges
from .libraries import DaskArray, new_array, tokenize
from .pieces import Reading, Region, forward_piece, input_grad_piece, weight_grad_piece
from .work import Gathered, compute_piece, compute_term, cut, partial_sum, total_sum

Key = tuple[Any, ...] | str
Graph = dict[Key, Any]

SUMMED_TOGETHER = 8  # weight gradients that one task adds up


def data_array(plan: Plan, a: DaskArray, w: DaskArray, chunks: tuple[Chunks, ...]) -> DaskArray:
    """forward of (x, w) or input_grad of (gy, w), in the given chunks."""
    forward = plan.role == "forward"
    cut_axis, piece_of = (outputs_cut, forward_piece) if forward else (inputs_cut, input_grad_piece)
    tasks = Tasks(plan, a, w, chunks)
    g = plan.geometry
    channel_cell, *cells = cell(plan)
    cuts = [
        [cut_axis(axis, positions, together) if positions else None for positions in ranges(lengths)]
        for axis, together, lengths in zip(g.axes, cells, chunks[2:], strict=True)
    ]
    for index, wanted in _indexed(chunks):
        chosen = [axis[place] for axis, place in zip(cuts, index[2:], strict=True)]
        tasks.add((tasks.name, *index), compute_piece, piece_of(g, wanted, chosen, channel_cell > 1))
    return tasks.array(chunks)


def weight_grad_array(plan: Plan, gy: DaskArray, x: DaskArray, chunks: tuple[Chunks, ...]) -> DaskArray:
    """weight_grad of (gy, x): a term for each chunk of gy, added up in a tree whose order the chunks of gy fix."""
    tasks = Tasks(plan, gy, x, chunks)
    g = plan.geometry
    cuts = [
        [outputs_cut(axis, positions) if positions else None for positions in ranges(lengths)]
        for axis, lengths in zip(g.axes, gy.chunks[2:], strict=True)
    ]
    for index, wanted in _indexed(chunks):
        sums: list[Key] = []
        for number, (images, chosen) in enumerate(itertools.product(ranges(gy.chunks[0]), itertools.product(*cuts))):
            reading = weight_grad_piece(g, wanted, images, chosen)
            if reading.a is not None:
                sums.append((f"{tasks.name}-term", number, *index))
                tasks.add(sums[-1], compute_term, reading)
        if not sums:
            tasks.add((tasks.name, *index), compute_piece, weight_grad_piece(g, wanted, range(0), ()))
            continue
        for level in itertools.count():
            if len(sums) <= SUMMED_TOGETHER:
                tasks.graph[(tasks.name, *index)] = (total_sum, sums)
                break
            together = [sums[at : at + SUMMED_TOGETHER] for at in range(0, len(sums), SUMMED_TOGETHER)]
            sums = [(f"{tasks.name}-sum", level, number, *index) for number in range(len(together))]
            tasks.graph.update((key, (partial_sum, added)) for key, added in zip(sums, together, strict=True))
    return tasks.array(chunks)


class Tasks:
    """The graph of one result as it is written down."""

    def __init__(self, plan: Plan, a: DaskArray, b: DaskArray, chunks: tuple[Chunks, ...]) -> None:
        self.name = f"convgrad-{plan.role}-{tokenize(plan, a.name, b.name, chunks)}"
        self.graph: Graph = {f"{self.name}-plan": plan}
        self._plan, self._read = plan, [a, b]
        self._a, self._b = (Slices(array, f"{self.name}-{which}", self.graph) for array, which in ((a, "a"), (b, "b")))

    def add(self, key: Key, compute: Callable[..., Any], reading: Reading) -> None:
        """The task that computes a piece."""
        (a, a_keys), (b, b_keys) = self._a.read(reading.a), self._b.read(reading.b)
        self.graph[key] = (compute, f"{self.name}-plan", reading.piece, a, a_keys, b, b_keys)

    def array(self, chunks: tuple[Chunks, ...]) -> DaskArray:
        """The result."""
        return new_array(self.graph, self.name, self._read, chunks, np.empty((0,) * len(chunks), self._plan.dtype))


class Slices:
    """The slices of one array that the pieces of a result read: a task for each, none for a whole chunk."""

    def __init__(self, array: DaskArray, name: str, graph: Graph) -> None:
        self._array, self._name, self._graph = array.name, name, graph
        self._chunks = [ranges(lengths) for lengths in array.chunks]
        self._made: dict[tuple[Any, ...], Key] = {}

    def read(self, region: Region | None) -> tuple[Gathered | None, list[Key]]:
        """How the positions `region` are put together, and the keys of what they are put together of."""
        if region is None:
            return None, []
        places, keys = [], []
        for parts in itertools.product(*map(_parts, self._chunks, region)):
            places.append(tuple(part.place for part in parts))
            keys.append(self._key(parts))
        return Gathered(tuple(map(len, region)), tuple(places)), keys

    def _key(self, parts: tuple[Part, ...]) -> Key:
        chunk: Key = (self._array, *(part.chunk for part in parts))
        if all(part.whole for part in parts):
            return chunk
        box = tuple(part.box for part in parts)
        made = (chunk, *((side.start, side.stop) for side in box))
        if made not in self._made:
            self._made[made] = key = (f"{self._name}", len(self._made))
            self._graph[key] = (cut, chunk, box)
        return self._made[made]


@dataclass(frozen=True, slots=True)
class Part:
    """What a region takes of one chunk, along one axis."""

    chunk: int
    box: slice  # in the chunk
    place: slice  # in the region
    whole: bool


def _parts(chunks: list[range], wanted: range) -> Iterator[Part]:
    for number, chunk in enumerate(chunks):
        start, stop = max(chunk.start, wanted.start), min(chunk.stop, wanted.stop)
        if start < stop:
            box = slice(start - chunk.start, stop - chunk.start)
            place = slice(start - wanted.start, stop - wanted.start)
            yield Part(number, box, place, stop - start == len(chunk))


def _indexed(chunks: tuple[Chunks, ...]) -> Iterator[tuple[tuple[int, ...], Region]]:
    """(number along each axis, positions) of every chunk."""
    numbered = (list(enumerate(ranges(lengths))) for lengths in chunks)
    for found in itertools.product(*numbered):
        yield tuple(number for number, _ in found), tuple(positions for _, positions in found)
