"""Weight gradients, from a plan and arrays to finished kernels: launches, and how they are fired.

Launches are prepared once per layout of the arrays. How sums are cut into ranges is fixed by the geometry, never by
the threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...geometry import Geometry
from ..compensated import CompensatedSum
from ..record import Array
from .fields import Strides, common_fields, tiles_along
from .launch import Kernel, Launch, prepared
from .layout import Layout, OuterLayout
from .passes import Pass
from .record import AXES

MOST_RANGES = 16
LEAST_ITEMS = 16  # of the outer kernel: fewer blocks than these are cut into ranges of tiles
TOTALS_BYTES = 8 << 20
ADDED_TOGETHER = 16 << 10  # entries of the totals of several groups that are added up at a time


@dataclass(frozen=True, slots=True)
class WeightLaunch:
    """The weight kernel, and how the totals of its items lie: (groups, blocks, ranges, 2, rows, pitch)."""

    launch: Launch
    totals: tuple[int, int, int, int, int, int]
    channels_together: int


def prepare_weight(
    g: Geometry, p: Pass, layout: Layout, gradient: Strides, source: Strides, itemsize: int, threads: int
) -> WeightLaunch:
    """weight_grad, for gy and x with these byte strides."""
    rows, channels, taps = g.out_channels_per_group, g.in_channels_per_group, len(p.offsets)
    blocks = -(-channels // layout.channels_together)
    pitch = _total_pitch(layout, taps)
    pieces = -(-g.batch // layout.together) * math.prod(tiles_along(p, layout))
    ranges = min(_most_ranges(g, layout, itemsize), pieces)
    fields = common_fields(g, p, layout, source, gradient, itemsize) | {
        "items": g.groups * blocks * ranges,
        "rows": rows,
        "channels": channels,
        "ranges": ranges,
        "channel_blocks": blocks,
        "column_pitch": pitch,
        "slack": layout.slack,
    }
    columns = np.arange(layout.channels_together)[:, None] * layout.panel_size + np.array(layout.shifts)
    tables = {"shifts": columns.astype(np.int64), "phases": np.array(layout.phases, np.int64)}
    launch = prepared(fields, tables, layout.scratch, itemsize, threads)
    return WeightLaunch(launch, (g.groups, blocks, ranges, 2, rows, pitch), layout.channels_together)


def run_weight(weight: WeightLaunch, kernel: Kernel, gy: Array, x: Array, gw: Array) -> None:
    """Items sum apart, then their totals are added in order."""
    groups, blocks, _, _, rows, _ = weight.totals
    totals = np.empty(weight.totals, gw.dtype)
    weight.launch.fire(kernel, x=x, y=gy, totals=totals)
    target = gw.reshape(groups, rows, *gw.shape[1:])
    taps = math.prod(gw.shape[2:])
    for block in range(blocks):
        part = target[:, :, block * weight.channels_together : (block + 1) * weight.channels_together]
        found = totals[:, block, :, 0, :, : part.shape[2] * taps]
        if found.shape[1] == 1:
            part[...] = found[:, 0].reshape(part.shape)
            continue
        together = max(1, ADDED_TOGETHER // (rows * found.shape[-1]))
        for start in range(0, groups, together):
            some = slice(start, start + together)
            part[some] = _added(np.moveaxis(found[some], 1, 0)).reshape(part[some].shape)


@dataclass(frozen=True, slots=True)
class OuterLaunch:
    """The outer kernel, with the shapes of what its items share: totals, and a count for each block."""

    launch: Launch
    totals: int
    blocks: int


def prepare_outer(
    g: Geometry, p: Pass, layout: OuterLayout, gradient: Strides, source: Strides, itemsize: int, threads: int
) -> OuterLaunch:
    """weight_grad, for gy and x with these byte strides."""
    rows, channels, taps = g.out_channels_per_group, g.in_channels_per_group, len(p.offsets)
    panels = layout.panels
    row_blocks, channel_blocks = _outer_blocks(g, layout)
    blocks = g.groups * row_blocks * channel_blocks
    pieces = -(-g.batch // panels.together) * math.prod(tiles_along(p, panels))
    ranges = min(_outer_ranges(g, layout), pieces)
    fields = common_fields(g, p, panels, source, gradient, itemsize) | {
        "items": blocks * ranges,
        "rows": rows,
        "channels": channels,
        "ranges": ranges,
        "channel_blocks": channel_blocks,
        "row_blocks": row_blocks,
        "w_row": channels * taps,
        "slack": panels.slack,
        "run": layout.run,
    }
    own = ("rows_together", "total_pitch", "column_pitch", "gy_pitch", "temp_pitch", "temp_at", "positions_at")
    fields |= {name: getattr(layout, name) for name in (*own, "totals_at")}
    if g.clips:
        pitch, shifts = panels.panel_size, panels.shifts
        axes = (panels.panel[1] * panels.panel[2], panels.panel[2], 1)
        walked = (walk * axis for walk, axis in zip(panels.walk, axes, strict=True))
        steps: Strides = (panels.channels_together * pitch, *walked)
    else:  # every tap of every position lies inside the input: it is read where it is
        pitch, *strides = (fields[f"x_{axis}"] for axis in ("c", *AXES))
        shifts = tuple(sum(o * axis for o, axis in zip(offset, strides, strict=True)) for offset in p.offsets)
        steps = (fields["x_n"], *(s * axis for s, axis in zip(p.stride, strides, strict=True)))
    fields["in_place"] = int(not g.clips)
    fields |= {f"step_{axis}": step for axis, step in zip(("n", *AXES), steps, strict=True)}
    columns = np.arange(panels.channels_together)[:, None] * pitch + np.array(shifts)
    tables = {"shifts": columns.astype(np.int64), "phases": np.array(panels.phases, np.int64)}
    launch = prepared(fields, tables, layout.scratch, itemsize, threads)
    return OuterLaunch(launch, 2 * layout.entries * blocks * ranges if ranges > 1 else 0, blocks)


def run_outer(outer: OuterLaunch, kernel: Kernel, gy: Array, x: Array, gw: Array) -> None:
    target = gw if gw.flags.c_contiguous else np.empty(gw.shape, gw.dtype)
    totals, done = np.empty(outer.totals, gw.dtype), np.zeros(outer.blocks, np.int64)
    outer.launch.fire(kernel, x=x, y=gy, w=target, totals=totals, done=done)
    if target is not gw:
        gw[...] = target


def outer_totals_bytes(g: Geometry, layout: OuterLayout, itemsize: int) -> int:
    """Bytes that the totals of all items take."""
    ranges = _outer_ranges(g, layout)
    return 2 * layout.entries * g.groups * math.prod(_outer_blocks(g, layout)) * ranges * itemsize if ranges > 1 else 0


def _outer_blocks(g: Geometry, layout: OuterLayout) -> tuple[int, int]:
    """Blocks of a group: of its output channels, of its input channels."""
    return (
        -(-g.out_channels_per_group // layout.rows_together),
        -(-g.in_channels_per_group // layout.panels.channels_together),
    )


def _outer_ranges(g: Geometry, layout: OuterLayout) -> int:
    """How many ranges of tiles are summed apart, so that threads can share them; one where blocks are enough."""
    return -(-LEAST_ITEMS // max(1, g.groups * math.prod(_outer_blocks(g, layout))))


def totals_bytes(g: Geometry, layout: Layout, itemsize: int) -> int:
    """Bytes that the totals of all items take, and the sum that adds them up."""
    ranges = _most_ranges(g, layout, itemsize)
    entries = g.out_channels_per_group * _total_pitch(layout, math.prod(g.kernel_size))
    adding = 7 * max(entries, min(ADDED_TOGETHER, g.groups * entries)) if ranges > 1 else 0
    return (2 * ranges * _entries(g, layout) + adding) * itemsize


def _added(totals: Array) -> Array:
    """The sum over the first axis, in order."""
    total = CompensatedSum(totals.shape[1:], totals.dtype)
    for found in totals:
        total.add(found.copy())
    return total.value()


def _most_ranges(g: Geometry, layout: Layout, itemsize: int) -> int:
    """How many ranges of tiles are summed apart, so that threads can share them; as many as their totals may fill."""
    return max(1, min(MOST_RANGES, TOTALS_BYTES // max(1, 2 * _entries(g, layout) * itemsize)))


def _entries(g: Geometry, layout: Layout) -> int:
    blocks = -(-g.in_channels_per_group // layout.channels_together)
    return g.out_channels * blocks * _total_pitch(layout, math.prod(g.kernel_size))


def _total_pitch(layout: Layout, taps: int) -> int:
    """Entries of one row of totals: a channel and a tap each, up to whole vectors."""
    return -(-layout.channels_together * taps // layout.lanes) * layout.lanes
