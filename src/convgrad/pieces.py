"""A convolution with any border as plain ones: the padded input cut into boxes, each with zeros around it.

A plain convolution knows zeros beyond its input and nothing else. The padded input is a sum of boxes that do not
overlap, and each role is linear in it; so the outputs of `conv` are sums over boxes, the input gradient is put
together from boxes, and the weight gradient is a sum again. There are two ways to cut:

    whole      one box of everything that is read: a copy of the padded input, some images at a time
    borders    the input where it is, and thin boxes for what stands beyond its ends; of each, only the outputs and
               taps that meet it

Pure index arithmetic; no arrays pass through here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .boundary import Run, runs
from .geometry import Axis, Geometry


@dataclass(frozen=True, slots=True)
class Part:
    """What one axis gives to a piece: positions of the padded input, and the outputs and taps that read them."""

    positions: range
    outputs: range
    taps: range
    runs: tuple[Run, ...]  # which entries of the input stand at the positions
    fill: complex  # what stands where there is none
    axis: Axis  # the plain axis that they make

    @property
    def is_slice(self) -> bool:
        """Whether the positions are a run of entries as they lie in the input."""
        return len(self.runs) == 1 and self.runs[0].step == 1


@dataclass(frozen=True, slots=True)
class Piece:
    """One box: a plain convolution of what stands in it, from some taps to some outputs."""

    geometry: Geometry
    parts: tuple[Part, ...]

    @property
    def in_place(self) -> bool:
        """Whether the box is a part of the input as it lies there."""
        return all(part.is_slice for part in self.parts)

    @property
    def blocks(self) -> Iterator[tuple[Run, ...]]:
        """The blocks of the box that are read with one step on every axis."""
        return itertools.product(*(part.runs for part in self.parts))

    @property
    def entries(self) -> int:
        """Numbers that the box holds for each image."""
        return self.geometry.in_channels * math.prod(self.geometry.input_size)

    def __str__(self) -> str:
        where = "x".join(f"{part.positions.start}:{part.positions.stop}" for part in self.parts)
        return f"positions {where}"


def whole(geometry: Geometry) -> tuple[Piece, ...]:
    """One piece: all that is read."""
    return _pieces(geometry, [tuple(_part(axis, *_reach(axis, geometry)) for axis in geometry.axes)])


def borders(geometry: Geometry) -> tuple[Piece, ...]:
    """The input where it lies, then the boxes beyond its ends: those of the first axis, of the second, ..."""
    inside, everything = [], []
    for axis in geometry.axes:
        start, stop = _reach(axis, geometry)
        inside.append((max(start, 0), min(stop, axis.input)))
        everything.append((start, stop))
    boxes = [tuple(inside)]
    for number, ((low, high), (start, stop)) in enumerate(zip(inside, everything, strict=True)):
        ends = (start, min(low, stop)), (max(high, start), stop)
        boxes += [(*inside[:number], end, *everything[number + 1 :]) for end in ends]
    axes = geometry.axes
    return _pieces(geometry, [tuple(_part(a, *ends) for a, ends in zip(axes, box, strict=True)) for box in boxes])


def _pieces(geometry: Geometry, boxes: list[tuple[Part | None, ...]]) -> tuple[Piece, ...]:
    found = []
    for box in boxes:
        parts = tuple(part for part in box if part is not None)
        if len(parts) == geometry.rank:
            found.append(Piece(replace(geometry, axes=tuple(part.axis for part in parts)), parts))
    return tuple(found)


def _reach(axis: Axis, geometry: Geometry) -> tuple[int, int]:
    """The positions that boxes must hold; zeros around them are left to the plain convolution."""
    read = axis.read
    if axis.mode == "zeros" and geometry.fill == 0:
        return max(read.start, 0), max(read.start, 0, min(read.stop, axis.input))
    return read.start, read.stop


def _part(axis: Axis, start: int, stop: int) -> Part | None:
    """Positions [start, stop) of an axis with the outputs and taps that meet them; None where none do."""
    stride, dilation, before = axis.stride, axis.dilation, axis.before
    first = max(0, -((axis.span - 1 - before - start) // stride))
    outputs = range(first, min(axis.output, (stop - 1 + before) // stride + 1))
    if start >= stop or not outputs:
        return None
    lowest = max(0, -((outputs[-1] * stride - before - start) // dilation))
    taps = range(lowest, min(axis.kernel, (stop - 1 + before - outputs[0] * stride) // dilation + 1))
    if not taps:
        return None
    # the first and the last position that these outputs read with these taps
    lead, last = axis.source(outputs[0], taps[0]), axis.source(outputs[-1], taps[-1])
    start, stop = max(start, lead), min(stop, last + 1)
    if start >= stop:
        return None
    plain = Axis(stop - start, len(taps), stride, dilation, start - lead, last + 1 - stop)
    return Part(
        range(start, stop), outputs, taps, tuple(runs(axis.mode, range(start, stop), axis.input)), axis.fill, plain
    )
