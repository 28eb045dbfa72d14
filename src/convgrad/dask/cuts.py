"""What a piece of a result reads: index arithmetic on one axis, and how outputs are cut where inputs are.

Everything follows from the relation of `Axis`: input = output * stride + tap * dilation - before. Positions of the
input beyond either end are padding. No arrays and no graphs pass through here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..geometry import Axis

Chunks = tuple[int, ...]  # lengths that add up to an axis


@dataclass(frozen=True, slots=True)
class Cut:
    """One axis of a piece: the convolution of `inputs` whose outputs are `outputs`; positions count in the whole."""

    inputs: range
    outputs: range
    axis: Axis


def outputs_cut(axis: Axis, wanted: range, cell: int = 1) -> Cut | None:
    """The convolution that computes the outputs `wanted`, in whole cells; None where they read padding only.

    >>> cut = outputs_cut(Axis(input=9, kernel=3, before=1, after=1), range(0, 4))
    >>> cut.inputs, cut.axis
    (range(0, 5), Axis(input=5, kernel=3, stride=1, dilation=1, before=1, after=0, mode='zeros', fill=0.0))
    """
    outputs = _whole_cells(wanted, cell, axis.output)
    low, high = _reach(axis, outputs)
    inputs = range(max(low, 0), min(high, axis.input))
    return _cut(axis, inputs, outputs) if inputs else None


def inputs_cut(axis: Axis, wanted: range, cell: int = 1) -> Cut | None:
    """The convolution whose input gradient holds that of the inputs `wanted`; None where no output reads them.

    With cells of one output its inputs are those of `wanted` that may be read at all; else all that the cells read.

    >>> cut = inputs_cut(Axis(input=9, kernel=3, before=1, after=1), range(4, 6))
    >>> cut.outputs, cut.axis                   # of its six padded positions the two in the middle are inputs
    (range(3, 7), Axis(input=2, kernel=3, stride=1, dilation=1, before=2, after=2, mode='zeros', fill=0.0))
    """
    # the first output whose last tap reaches the first input, and the last whose first tap does not pass the last
    first = max(0, -(-(wanted.start + axis.before - axis.span + 1) // axis.stride))
    last = min(axis.output - 1, (wanted.stop - 1 + axis.before) // axis.stride)
    if last < first:
        return None
    outputs = _whole_cells(range(first, last + 1), cell, axis.output)
    low, high = _reach(axis, outputs)
    inputs = range(max(low, 0), min(high, axis.input))
    if cell == 1:
        inputs = range(max(inputs.start, wanted.start), min(inputs.stop, wanted.stop))
    return _cut(axis, inputs, outputs)


def output_chunks(axis: Axis, inputs: Chunks) -> Chunks:
    """Outputs cut where the inputs are, so that a whole-stride cut of chunks of one length stays one.

    >>> output_chunks(Axis(input=9, kernel=3, before=1, after=1), (4, 4, 1))
    (4, 4, 1)
    """
    return _lengths((-(-(border + _aside(axis)) // axis.stride) for border in _borders(inputs)), axis.output)


def input_chunks(axis: Axis, outputs: Chunks) -> Chunks:
    """Inputs cut where the outputs are.

    >>> input_chunks(Axis(input=9, kernel=3, stride=2), (2, 2))
    (4, 5)
    """
    return _lengths((border * axis.stride - _aside(axis) for border in _borders(outputs)), axis.input)


def _aside(axis: Axis) -> int:
    """How far outputs lie from the inputs that they read, beyond what halos bridge."""
    return max(0, axis.before - axis.span + 1)


def channel_chunks(channels: Chunks, per_group: int, per_group_there: int, total: int) -> Chunks:
    """Channels of the other side, cut at the borders of groups where these are."""
    borders = (b // per_group * per_group_there for b in _borders(channels) if per_group and b % per_group == 0)
    return _lengths(borders, total)


def ranges(chunks: Chunks) -> list[range]:
    """The positions of each chunk.

    >>> ranges((2, 3))
    [range(0, 2), range(2, 5)]
    """
    edges = [0, *_borders(chunks), sum(chunks)] if chunks else [0]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


@dataclass(frozen=True, slots=True)
class Rows:
    """Neighbouring channels that one call computes: `rows` of each of the groups `groups`."""

    groups: range
    rows: range

    def channels(self, per_group: int) -> range:
        """Their place among all channels; where `rows` is not all of a group, there is one group."""
        last = (self.groups.stop - 1) * per_group
        return range(self.groups.start * per_group + self.rows.start, last + self.rows.stop)


def rows_of(channels: range, per_group: int) -> list[Rows]:
    """Channels as calls: the rest of a group, whole groups at once, the begin of a group.

    >>> [(call.groups, call.rows) for call in rows_of(range(1, 11), per_group=3)]
    [(range(0, 1), range(1, 3)), (range(1, 3), range(0, 3)), (range(3, 4), range(0, 2))]
    """
    found, at = [], channels.start
    while at < channels.stop:
        group, row = divmod(at, per_group)
        whole = (channels.stop - at) // per_group if row == 0 else 0
        if whole:
            found.append(Rows(range(group, group + whole), range(per_group)))
            at += whole * per_group
        else:
            stop = min(per_group, row + channels.stop - at)
            found.append(Rows(range(group, group + 1), range(row, stop)))
            at += stop - row
    return found


def _reach(axis: Axis, outputs: range) -> tuple[int, int]:
    """The first position that the windows of `outputs` cover, and the one behind the last."""
    return axis.source(outputs.start, 0), axis.source(outputs.stop - 1, axis.kernel - 1) + 1


def _cut(axis: Axis, inputs: range, outputs: range) -> Cut:
    low, high = _reach(axis, outputs)
    cut = replace(axis, input=len(inputs), before=inputs.start - low, after=max(0, high - inputs.stop))
    return Cut(inputs, outputs, cut)


def _whole_cells(wanted: range, cell: int, size: int) -> range:
    return range(wanted.start // cell * cell, min(-(-wanted.stop // cell) * cell, size))


def _borders(chunks: Chunks) -> list[int]:
    """Where one chunk ends and the next begins."""
    borders, at = [], 0
    for length in chunks[:-1]:
        at += length
        borders.append(at)
    return borders


def _lengths(borders: Iterable[int], size: int) -> Chunks:
    edges = [0, *sorted({border for border in borders if 0 < border < size}), size]
    return tuple(b - a for a, b in itertools.pairwise(edges))
