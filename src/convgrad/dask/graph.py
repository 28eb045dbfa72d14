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

from ..plan import Plan
from .cuts import Chunks, ranges
from .libraries import DaskArray, new_array, tokenize
from .regions import Fetch, Reading, Region, all_of, forward_chunk, input_grad_chunk, weight_grad_chunk
from .work import Chunk, Gathered, compute_chunk, compute_term, cut, partial_sum, total_sum, zeros_chunk

Key = tuple[Any, ...] | str
Graph = dict[Key, Any]

SUMMED_TOGETHER = 8  # weight gradients that one task adds up


def data_array(plan: Plan, a: DaskArray, w: DaskArray, chunks: tuple[Chunks, ...]) -> DaskArray:
    """forward of (x, w) or input_grad of (gy, w), in the given chunks."""
    chunk_of = forward_chunk if plan.role == "forward" else input_grad_chunk
    tasks = Tasks(plan, a, w, chunks)
    for index, wanted in _indexed(chunks):
        tasks.add((tasks.name, *index), compute_chunk, chunk_of(plan, wanted))
    return tasks.array(chunks)


def weight_grad_array(plan: Plan, gy: DaskArray, x: DaskArray, chunks: tuple[Chunks, ...]) -> DaskArray:
    """weight_grad of (gy, x): a term for each chunk of gy, added up in a tree whose order the chunks of gy fix."""
    tasks = Tasks(plan, x, gy, chunks)
    for index, wanted in _indexed(chunks):
        sums: list[Key] = []
        for number, (_, gradients) in enumerate(_indexed((gy.chunks[0], *gy.chunks[2:]))):
            reading = weight_grad_chunk(plan, wanted, gradients)
            if reading.calls:
                sums.append((f"{tasks.name}-term", number, *index))
                tasks.add(sums[-1], compute_term, reading)
        if not sums:
            tasks.add((tasks.name, *index), compute_chunk, Reading(tuple(map(len, wanted))))
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
        """The task that computes a chunk."""
        if reading.b is None:
            self.graph[key] = (zeros_chunk, reading.shape, self._plan.dtype)
            return
        fetched = [self._a.read(fetch) for fetch in reading.a]
        b, b_keys = self._b.read(all_of(reading.b))
        chunk = Chunk(reading.shape, reading.calls, tuple(a for a, _ in fetched), b)
        self.graph[key] = (compute, f"{self.name}-plan", chunk, [keys for _, keys in fetched], b_keys)

    def array(self, chunks: tuple[Chunks, ...]) -> DaskArray:
        """The result."""
        return new_array(self.graph, self.name, self._read, chunks, np.empty((0,) * len(chunks), self._plan.dtype))


class Slices:
    """The slices of one array that the chunks of a result read: a task for each, none for a whole chunk."""

    def __init__(self, array: DaskArray, name: str, graph: Graph) -> None:
        self._array, self._name, self._graph = array.name, name, graph
        self._chunks = [ranges(lengths) for lengths in array.chunks]
        self._made: dict[tuple[Any, ...], Key] = {}

    def read(self, fetch: Fetch) -> tuple[Gathered, list[Key]]:
        """How what is fetched is put together, and the keys of what it is put together of."""
        places, keys = [], []
        for block in fetch.blocks:
            for found in itertools.product(*map(_parts, self._chunks, block.region)):
                where = zip(found, block.region, block.place, strict=True)
                place = tuple(
                    _placed(part, len(whole), goes_to, axis in block.turned)
                    for axis, (part, whole, goes_to) in enumerate(where)
                )
                places.append((place, block.turned))
                keys.append(self._key(found))
        return Gathered(fetch.shape, tuple(places), fetch.constants), keys

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


def _placed(part: Part, length: int, goes_to: slice, turned: bool) -> slice:
    """Where a part of a region of `length` goes that as a whole goes to `goes_to`."""
    if goes_to == slice(None):
        return part.place
    if goes_to.stop - goes_to.start != length:  # one entry, spread
        return goes_to
    start, stop = part.place.start, part.place.stop
    if turned:
        start, stop = length - stop, length - start
    return slice(goes_to.start + start, goes_to.start + stop)


def _indexed(chunks: tuple[Chunks, ...]) -> Iterator[tuple[tuple[int, ...], Region]]:
    """(number along each axis, positions) of every chunk."""
    numbered = (list(enumerate(ranges(lengths))) for lengths in chunks)
    for found in itertools.product(*numbered):
        yield tuple(number for number, _ in found), tuple(positions for _, positions in found)
