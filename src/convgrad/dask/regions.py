"""A chunk of a result as calls of the core: which regions of the arguments they read, and where their results go.

The whole's plan cuts a convolution with any border into plain ones (`convgrad.pieces`); each of them is cut again at
the chunk, and gives its part of it in the plan's order. Pure index arithmetic; one plain axis stands in `cuts`. Nothing
here knows how arrays are stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from .. import pieces
from ..boundary import Run
from ..geometry import Axis, Geometry
from ..piecewise import cell, parts
from ..plan import Plan
from .cuts import Cut, Rows, inputs_cut, outputs_cut, rows_of

Region = tuple[range, ...]  # positions of an array, one range for each axis
Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A region of an array, and where it goes in what is put together of it."""

    region: Region
    place: Box
    turned: tuple[int, ...]  # axes that are read backwards


@dataclass(frozen=True, slots=True)
class Fetch:
    """What is put together of regions of an array; an entry that stands at many positions is read once."""

    shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    constants: tuple[tuple[Box, complex], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One plain convolution: what it takes of what was fetched, what of its result is kept, and where that is added."""

    part: int  # of the whole's plan
    geometry: Geometry
    fetched: int
    a: Box
    b: Box
    kept: Box
    place: Box
    turned: tuple[int, ...] = ()  # axes that are added backwards
    summed: tuple[int, ...] = ()  # axes of which all positions are added to one


@dataclass(frozen=True, slots=True)
class Reading:
    """One chunk of a result: what it reads of the first argument, once for each part, and of the second, and calls."""

    shape: tuple[int, ...]
    a: tuple[Fetch, ...] = ()
    b: Region | None = None
    calls: tuple[Call, ...] = ()


def forward_chunk(plan: Plan, wanted: Region) -> Reading:
    """The chunk `wanted` of y, from x and w."""
    g = plan.geometry
    images, channels, *positions = wanted
    shares = rows_of(channels, g.out_channels_per_group)
    x_channels = _channels(_groups(shares), g.in_channels_per_group)
    fetches: list[Fetch] = []
    calls: list[Call] = []
    for number, (piece, plan_of) in enumerate(parts(plan)):
        local = [_counted_in(part.outputs, p) for part, p in zip(piece.parts, positions, strict=True)]
        cuts = _cuts(outputs_cut, piece, local, cell(plan_of)[1:])
        if cuts is None:
            continue
        outputs = [_moved(p, part.outputs.start) for p, part in zip(local, piece.parts, strict=True)]
        kept = _box(local, [cut.outputs for cut in cuts])
        given = _Given(number, len(fetches), piece, cuts, kept, _box(outputs, positions))
        fetches.append(_fetch((images, x_channels), piece, cuts))
        calls += _calls(plan, wanted, shares, given)
    w = (_w_rows(plan, channels, _groups(shares)), range(g.in_channels_per_group), *map(range, g.kernel_size))
    return _reading(wanted, fetches, w, calls)


def input_grad_chunk(plan: Plan, wanted: Region) -> Reading:
    """The chunk `wanted` of gx, from gy and w: what its entries are given wherever they stand, in the border too."""
    g = plan.geometry
    images, channels, *entries = wanted
    shares = rows_of(channels, g.in_channels_per_group)
    gy_channels = _channels(_groups(shares), g.out_channels_per_group)
    fetches: list[Fetch] = []
    calls: list[Call] = []
    for number, (piece, plan_of) in enumerate(parts(plan)):
        for block in piece.blocks:
            runs = [_where(run, e) for run, e in zip(block, entries, strict=True)]
            local = [
                range(r.start - p.positions.start, r.stop - p.positions.start)
                for r, p in zip(runs, piece.parts, strict=True)
            ]
            cuts = _cuts(inputs_cut, piece, local, cell(plan_of)[1:])
            if cuts is None:
                continue
            found = [_overlap(cut.inputs, p) for cut, p in zip(cuts, local, strict=True)]
            given_to = [
                _entries(_part_of(run, _moved(f, part.positions.start)))
                for run, f, part in zip(runs, found, piece.parts, strict=True)
            ]
            kept = _box(found, [cut.inputs for cut in cuts])
            given = _Given(
                number, len(fetches), piece, cuts, kept, _box(given_to, entries), tuple(run.step for run in runs)
            )
            outputs = [_moved(cut.outputs, part.outputs.start) for cut, part in zip(cuts, piece.parts, strict=True)]
            fetches.append(all_of((images, gy_channels, *outputs)))
            calls += _calls(plan, wanted, shares, given)
    w = (gy_channels, range(g.in_channels_per_group), *map(range, g.kernel_size))
    return _reading(wanted, fetches, w, calls)


def weight_grad_chunk(plan: Plan, wanted: Region, gradients: Region) -> Reading:
    """What the entries `gradients` (images, *positions) of gy add to the chunk `wanted` of gw, from x and gy."""
    g = plan.geometry
    channels, columns, *_ = wanted
    images, *positions = gradients
    shares = rows_of(channels, g.out_channels_per_group)
    if columns != range(g.in_channels_per_group):  # neighbouring columns of one group only
        shares = [Rows(range(group, group + 1), share.rows) for share in shares for group in share.groups]
    groups = _groups(shares)
    x_channels = _channels(groups, g.in_channels_per_group)
    if len(groups) == 1:
        x_channels = Rows(groups, columns).channels(g.in_channels_per_group)
    fetches: list[Fetch] = []
    calls: list[Call] = []
    for number, (piece, _) in enumerate(parts(plan)):
        local = [_counted_in(part.outputs, p) for part, p in zip(piece.parts, positions, strict=True)]
        cuts = _cuts(outputs_cut, piece, local, (1,) * g.rank)
        if cuts is None:
            continue
        outputs = _box([_moved(p, part.outputs.start) for p, part in zip(local, piece.parts, strict=True)], positions)
        for share in shares:
            read, rows = (
                Rows(share.groups, columns).channels(g.in_channels_per_group),
                share.channels(g.out_channels_per_group),
            )
            calls.append(
                Call(
                    part=number,
                    geometry=Geometry(len(images), len(read), len(rows), len(share.groups), _axes(cuts)),
                    fetched=len(fetches),
                    a=(slice(None), _within(read, x_channels)),
                    b=(slice(None), _within(rows, channels), *outputs),
                    kept=(),
                    place=(_within(rows, channels), slice(None), *_taps(piece)),
                )
            )
        fetches.append(_fetch((images, x_channels), piece, cuts))
    return _reading(wanted, fetches, (images, channels, *positions), calls)


@dataclass(frozen=True, slots=True)
class _Given:
    """What one part gives to a chunk, on the spatial axes."""

    part: int
    fetched: int
    piece: pieces.Piece
    cuts: list[Cut]
    kept: Box
    place: Box
    steps: tuple[int | None, ...] = ()  # of the entries that are added to, one for each axis


def _calls(plan: Plan, wanted: Region, shares: Sequence[Rows], given: _Given) -> Iterator[Call]:
    """The calls of forward or input_grad that give `given`: one for each share of the channels."""
    g, forward = plan.geometry, plan.role == "forward"
    rows, columns = g.out_channels_per_group, g.in_channels_per_group
    if not forward:
        rows, columns = columns, rows
    images, channels, *_ = wanted
    groups = _groups(shares)
    read_channels = _channels(groups, columns)
    whole_groups = cell(parts(plan)[given.part][1])[0] > 1
    for share in shares:
        computed = Rows(share.groups, range(rows)) if whole_groups else share
        results, read = computed.channels(rows), _channels(share.groups, columns)
        ic, oc = (len(read), len(results)) if forward else (len(results), len(read))
        if forward:
            w = (_within(results, _w_rows(plan, channels, groups)), slice(None))
        else:
            w = (_within(read, read_channels), _slice(computed.rows))
        yield Call(
            part=given.part,
            geometry=Geometry(len(images), ic, oc, len(share.groups), _axes(given.cuts)),
            fetched=given.fetched,
            a=(slice(None), _within(read, read_channels)),
            b=(*w, *_taps(given.piece)),
            kept=(slice(None), _within(share.channels(rows), results), *given.kept),
            place=(slice(None), _within(share.channels(rows), channels), *given.place),
            turned=tuple(axis for axis, step in enumerate(given.steps, start=2) if step == -1),
            summed=tuple(axis for axis, step in enumerate(given.steps, start=2) if step == 0),
        )


def _w_rows(plan: Plan, channels: range, groups: range) -> range:
    """The output channels of w that forward reads: those of the chunk, or of whole groups where a part must."""
    if any(cell(plan_of)[0] > 1 for _, plan_of in parts(plan)):
        return _channels(groups, plan.geometry.out_channels_per_group)
    return channels


def _reading(wanted: Region, fetches: list[Fetch], b: Region, calls: list[Call]) -> Reading:
    shape = tuple(map(len, wanted))
    return Reading(shape, tuple(fetches), b, tuple(calls)) if calls and 0 not in shape else Reading(shape)


def _cuts(
    cut_axis: Callable[[Axis, range, int], Cut | None], piece: pieces.Piece, local: list[range], cells: Sequence[int]
) -> list[Cut] | None:
    """Every axis of a piece, cut; None where nothing is wanted of it, or nothing read."""
    if not all(local):
        return None
    cuts = [cut_axis(part.axis, p, c) for part, p, c in zip(piece.parts, local, cells, strict=True)]
    found = [cut for cut in cuts if cut is not None]
    return found if len(found) == len(cuts) else None


def _fetch(first: tuple[range, range], piece: pieces.Piece, cuts: list[Cut]) -> Fetch:
    """The inputs of `cuts` in the box of a piece, put together of entries and constants."""
    boxes = [_moved(cut.inputs, part.positions.start) for cut, part in zip(cuts, piece.parts, strict=True)]
    runs = [
        [_part_of(run, box) for run in part.runs if _overlap(range(run.start, run.stop), box)]
        for part, box in zip(piece.parts, boxes, strict=True)
    ]
    blocks, constants = [], []
    for block in itertools.product(*runs):
        place = (slice(None), slice(None), *_box([range(run.start, run.stop) for run in block], boxes))
        constant = next((number for number in reversed(range(len(block))) if block[number].step is None), None)
        if constant is None:
            turned = tuple(axis for axis, run in enumerate(block, start=2) if run.step == -1)
            blocks.append(Block((*first, *map(_entries, block)), place, turned))
        else:  # axes are padded one after the other: in a corner the last of them decides
            constants.append((place, piece.parts[constant].fill))
    return Fetch(tuple(map(len, (*first, *boxes))), tuple(blocks), tuple(constants))


def all_of(region: Region) -> Fetch:
    """A region as it lies."""
    return Fetch(tuple(map(len, region)), (Block(region, (slice(None),) * len(region), ()),))


def _part_of(run: Run, positions: range) -> Run:
    """A run from and to some of its positions."""
    start, stop = max(run.start, positions.start), min(run.stop, positions.stop)
    return replace(run, start=start, stop=stop, first=run.first + (run.step or 0) * (start - run.start))


def _where(run: Run, entries: range) -> Run:
    """The part of a run at which some of `entries` stand; an empty one where none do."""
    there = _overlap(_entries(run), entries) if run.step is not None else range(0)
    if not there:
        return replace(run, stop=run.start)
    if run.step == 0:
        return run
    near = there.start - run.first if run.step == 1 else run.first - there.stop + 1
    return _part_of(run, range(run.start + near, run.start + near + len(there)))


def _entries(run: Run) -> range:
    """The entries that a run reads, upwards."""
    length = run.stop - run.start
    if run.step == -1:
        return range(run.first - length + 1, run.first + 1)
    return range(run.first, run.first + (length if run.step else 1))


def _taps(piece: pieces.Piece) -> Box:
    return tuple(_slice(part.taps) for part in piece.parts)


def _axes(cuts: Iterable[Cut]) -> tuple[Axis, ...]:
    return tuple(cut.axis for cut in cuts)


def _groups(shares: Sequence[Rows]) -> range:
    return range(shares[0].groups.start, shares[-1].groups.stop) if shares else range(0)


def _channels(groups: range, per_group: int) -> range:
    return range(groups.start * per_group, groups.stop * per_group)


def _overlap(a: range, b: range) -> range:
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))


def _counted_in(whole: range, part: range) -> range:
    """What of `part` lies in `whole`, counted from the begin of that."""
    return _moved(_overlap(whole, part), -whole.start)


def _moved(positions: range, by: int) -> range:
    return range(positions.start + by, positions.stop + by)


def _within(part: range, whole: range) -> slice:
    """Where `part` lies, counted from the begin of `whole`."""
    return slice(part.start - whole.start, part.stop - whole.start)


def _slice(positions: range) -> slice:
    return slice(positions.start, positions.stop)


def _box(parts_of: Sequence[range], wholes: Sequence[range]) -> Box:
    return tuple(_within(part, whole) for part, whole in zip(parts_of, wholes, strict=True))
