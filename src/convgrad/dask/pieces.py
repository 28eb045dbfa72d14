"""A chunk of a result as calls of the core: which regions of the arguments it reads, and which geometry computes it.

Pure index arithmetic, for all axes at once; one axis stands in `cuts`. Nothing here knows how arrays are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..geometry import Axis, Geometry
from .cuts import Cut, Rows, rows_of

Region = tuple[range, ...]  # positions of an array, one range for each axis
Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One convolution of a piece: what it takes of the arguments, what of its result is kept, and where that goes."""

    geometry: Geometry
    a: Box
    b: Box
    shape: tuple[int, ...]
    kept: Box | None  # None: all of it
    place: Box


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk of a result. Where its calls put nothing, it is zero."""

    shape: tuple[int, ...]
    calls: tuple[Call, ...] = ()
    filled: bool = False  # whether the calls put something everywhere


@dataclass(frozen=True, slots=True)
class Reading:
    """A piece, and the regions of both arguments that it reads; None where it is zero and reads nothing."""

    piece: Piece
    a: Region | None = None
    b: Region | None = None


def forward_piece(g: Geometry, wanted: Region, cuts: Sequence[Cut | None], whole_groups: bool) -> Reading:
    """The chunk `wanted` of y, from x and w.

    cuts: of each spatial axis, for the outputs wanted.   whole_groups: compute all channels of every group.
    """
    images, channels, *positions = wanted
    found = _all(cuts)
    if not found or not images or not channels:
        return Reading(Piece(_shape(wanted)))
    rows, columns = g.out_channels_per_group, g.in_channels_per_group
    calls = rows_of(channels, rows)
    groups = _groups(calls)
    x_channels = _channels(groups, columns)
    w_rows = _channels(groups, rows) if whole_groups else channels
    made = []
    for call in calls:
        computed = Rows(call.groups, range(rows)) if whole_groups else call
        count = len(call.groups)
        geometry = Geometry(len(images), count * columns, count * len(computed.rows), count, _axes(found))
        a = (slice(None), _within(_channels(call.groups, columns), x_channels))
        b = (_within(computed.channels(rows), w_rows),)
        result = (images, computed.channels(rows), *(c.outputs for c in found))
        kept = (images, call.channels(rows), *positions)
        made.append(Call(geometry, a, b, geometry.output_shape, _crop(kept, result), _box(kept, wanted)))
    x = (images, x_channels, *(c.inputs for c in found))
    w = (w_rows, range(columns), *map(range, g.kernel_size))
    return Reading(Piece(_shape(wanted), tuple(made), filled=True), x, w)


def input_grad_piece(g: Geometry, wanted: Region, cuts: Sequence[Cut | None], whole_groups: bool) -> Reading:
    """The chunk `wanted` of gx, from gy and w; the other arguments as for `forward_piece`, of the inputs wanted."""
    images, channels, *positions = wanted
    found = _all(cuts)
    if not found or not images or not channels:
        return Reading(Piece(_shape(wanted)))
    rows, columns = g.in_channels_per_group, g.out_channels_per_group
    calls = rows_of(channels, rows)
    groups = _groups(calls)
    gy_channels = _channels(groups, columns)
    w_columns = calls[0].rows if len(calls) == 1 and not whole_groups else range(rows)
    kept_positions = [_overlap(c.inputs, p) for c, p in zip(found, positions, strict=True)]
    made = []
    for call in calls:
        computed = Rows(call.groups, range(rows)) if whole_groups else call
        count = len(call.groups)
        geometry = Geometry(len(images), count * len(computed.rows), count * columns, count, _axes(found))
        read = _within(_channels(call.groups, columns), gy_channels)
        result = (images, computed.channels(rows), *(c.inputs for c in found))
        kept = (images, call.channels(rows), *kept_positions)
        b = (read, _within(computed.rows, w_columns))
        crop = _crop(kept, result)
        made.append(Call(geometry, (slice(None), read), b, geometry.input_shape, crop, _box(kept, wanted)))
    gy = (images, gy_channels, *(c.outputs for c in found))
    w = (gy_channels, w_columns, *map(range, g.kernel_size))
    return Reading(Piece(_shape(wanted), tuple(made), filled=kept_positions == positions), gy, w)


def weight_grad_piece(g: Geometry, wanted: Region, images: range, cuts: Sequence[Cut | None]) -> Reading:
    """What `images` and some outputs add to the chunk `wanted` of gw, from gy and x.

    cuts: of each spatial axis, for those outputs.
    """
    channels, columns, *_ = wanted
    found = _all(cuts)
    if not found or not images or not channels or not columns:
        return Reading(Piece(_shape(wanted)))
    rows, all_columns = g.out_channels_per_group, range(g.in_channels_per_group)
    calls = rows_of(channels, rows)
    if columns != all_columns:  # neighbouring columns of one group only
        calls = [Rows(range(group, group + 1), call.rows) for call in calls for group in call.groups]
    groups = _groups(calls)
    x_channels = _channels(groups, len(all_columns))
    if len(groups) == 1:
        x_channels = Rows(groups, columns).channels(len(all_columns))
    made = []
    for call in calls:
        read = Rows(call.groups, columns).channels(len(all_columns))
        count = len(call.groups)
        geometry = Geometry(len(images), len(read), count * len(call.rows), count, _axes(found))
        result = (call.channels(rows), *wanted[1:])
        gy = (slice(None), _within(call.channels(rows), channels))
        x = (slice(None), _within(read, x_channels))
        made.append(Call(geometry, gy, x, geometry.weight_shape, None, _box(result, wanted)))
    gy_read = (images, channels, *(c.outputs for c in found))
    x_read = (images, x_channels, *(c.inputs for c in found))
    return Reading(Piece(_shape(wanted), tuple(made), filled=True), gy_read, x_read)


def _all(cuts: Sequence[Cut | None]) -> list[Cut]:
    """The cuts, if there is one on every axis; else none."""
    found = [cut for cut in cuts if cut is not None]
    return found if len(found) == len(cuts) else []


def _axes(cuts: Iterable[Cut]) -> tuple[Axis, ...]:
    return tuple(cut.axis for cut in cuts)


def _groups(calls: Sequence[Rows]) -> range:
    return range(calls[0].groups.start, calls[-1].groups.stop)


def _channels(groups: range, per_group: int) -> range:
    return range(groups.start * per_group, groups.stop * per_group)


def _shape(region: Region) -> tuple[int, ...]:
    return tuple(map(len, region))


def _overlap(a: range, b: range) -> range:
    return range(max(a.start, b.start), min(a.stop, b.stop))


def _within(part: range, whole: range) -> slice:
    """Where `part` lies, counted from the begin of `whole`."""
    return slice(part.start - whole.start, part.stop - whole.start)


def _box(part: Region, whole: Region) -> Box:
    return tuple(_within(p, w) for p, w in zip(part, whole, strict=True))


def _crop(kept: Region, computed: Region) -> Box | None:
    """What of a result is kept; None for all of it."""
    return None if kept == computed else _box(kept, computed)
