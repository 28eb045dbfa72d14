"""From a plan and arrays to finished kernels: fills the argument records and lets the threads draw items.

Everything that depends on addresses, batch or threads happens here; everything else is in the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Geometry
from ...threads import run as run_on_threads
from ..compensated import CompensatedSum
from .layout import Layout
from .passes import Pass
from .record import AXES, FIELDS, POINTERS

Array = NDArray[Any]
Kernel = Callable[[int], None]  # takes the address of a record

MOST_RANGES = 16
TOTALS_BYTES = 8 << 20
CACHE_LINE = 64


def run_data(
    g: Geometry,
    steps: tuple[tuple[Pass, Layout], ...],
    transposed: bool,
    a: Array,
    w: Array,
    out: Array,
    kernel: Kernel,
    threads: int,
) -> None:
    """forward (a = x), or input_grad (a = gy, transposed: rows are input channels)."""
    taps = math.prod(g.kernel_size)
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    rows, channels = (ic, oc) if transposed else (oc, ic)
    w_row, w_channel = (taps, ic * taps) if transposed else (ic * taps, taps)
    for p, layout in steps:
        target = out[(slice(None), slice(None), *_every(p, g.rank))]
        if not p.places:
            target[...] = 0
            continue
        tiles = _tiles(p, layout)
        fields = _common(g, p, layout, a, target) | {
            "items": -(-g.batch // layout.together) * g.groups * math.prod(tiles),
            "rows": rows,
            "channels": channels,
            "w_group": oc * ic * taps,
            "w_row": w_row,
            "w_channel": w_channel,
        }
        tables = {
            "shifts": np.array(layout.shifts, np.int64),
            "places": np.array(p.places, np.int64),
            "phases": np.array(layout.phases, np.int64),
        }
        _run(fields, tables | {"x": a, "w": w, "y": target}, layout, out.dtype, kernel, threads)


def run_weight(
    g: Geometry, p: Pass, layout: Layout, gy: Array, x: Array, gw: Array, kernel: Kernel, threads: int
) -> None:
    """weight_grad: items sum apart, then their totals are added in order."""
    rows, channels, taps = g.out_channels_per_group, g.in_channels_per_group, len(p.offsets)
    blocks = -(-channels // layout.channels_together)
    pitch = total_pitch(layout, taps)
    pieces = -(-g.batch // layout.together) * math.prod(_tiles(p, layout))
    ranges = min(most_ranges(g, layout, gw.itemsize), pieces)
    totals = np.empty((g.groups, blocks, ranges, 2, rows, pitch), gw.dtype)
    fields = _common(g, p, layout, x, gy) | {
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
    _run(fields, tables | {"x": x, "y": gy, "totals": totals}, layout, gw.dtype, kernel, threads)
    target = gw.reshape(g.groups, rows, channels, *g.kernel_size)
    for block in range(blocks):
        part = target[:, :, block * layout.channels_together : (block + 1) * layout.channels_together]
        found = totals[:, block, :, 0, :, : part.shape[2] * taps]
        for groups in range(g.groups):
            part[groups] = _added(found[groups]).reshape(part.shape[1:])


def _added(totals: Array) -> Array:
    """The sum over the first axis, in order."""
    if len(totals) == 1:
        first: Array = totals[0]
        return first
    total = CompensatedSum(totals.shape[1:], totals.dtype)
    for found in totals:
        total.add(found.copy())
    return total.value()


def total_pitch(layout: Layout, taps: int) -> int:
    """Entries of one row of totals: a channel and a tap each, up to whole vectors."""
    return -(-layout.channels_together * taps // layout.lanes) * layout.lanes


def most_ranges(g: Geometry, layout: Layout, itemsize: int) -> int:
    """How many ranges of tiles are summed apart, so that threads can share them; as many as their totals may fill."""
    return max(1, min(MOST_RANGES, TOTALS_BYTES // max(1, 2 * _entries(g, layout) * itemsize)))


def totals_bytes(g: Geometry, layout: Layout, itemsize: int) -> int:
    """Bytes that the totals of all items take, and the sum that adds them up."""
    ranges = most_ranges(g, layout, itemsize)
    adding = 7 * g.out_channels_per_group * total_pitch(layout, math.prod(g.kernel_size)) if ranges > 1 else 0
    return (2 * ranges * _entries(g, layout) + adding) * itemsize


def _entries(g: Geometry, layout: Layout) -> int:
    blocks = -(-g.in_channels_per_group // layout.channels_together)
    return g.out_channels * blocks * total_pitch(layout, math.prod(g.kernel_size))


def _common(g: Geometry, p: Pass, layout: Layout, x: Array, y: Array) -> dict[str, int]:
    """Fields that both kernels read; a convolution of lower rank has leading axes of extent one."""
    missing = 3 - g.rank
    fields = {
        "images": g.batch,
        "together": layout.together,
        "groups": g.groups,
        "channels_together": layout.channels_together,
        "taps": len(p.offsets),
        "phase_count": len(layout.phases),
        "plane": layout.plane,
        "panel_size": layout.panel_size,
        "run": layout.run,
        "buffer_at": layout.buffer_at,
    }
    tiles = _tiles(p, layout)
    for k, axis in enumerate(AXES):
        sizes = {"in": p.input, "out": p.output, "tile": layout.tile, "tiles": tiles, "panel": layout.panel}
        sizes |= {"reach": layout.reach, "stride": p.stride, "before": p.before}
        fields |= {f"{what}_{axis}": numbers[k] for what, numbers in sizes.items()}
        for name, array in (("x", x), ("y", y)):
            fields[f"{name}_{axis}"] = array.strides[2 + k - missing] // array.itemsize if k >= missing else 0
    for name, array in (("x", x), ("y", y)):
        fields |= {f"{name}_n": array.strides[0] // array.itemsize, f"{name}_c": array.strides[1] // array.itemsize}
    return fields


def _run(
    fields: Mapping[str, int],
    arrays: Mapping[str, Array],
    layout: Layout,
    dtype: np.dtype[Any],
    kernel: Kernel,
    threads: int,
) -> None:
    counter = np.zeros(8, np.int64)
    threads = max(1, min(threads, fields["items"]))
    # a cache line for every start, so that vectors along a row of the buffer never cross two
    pitch = -(-layout.scratch * dtype.itemsize // CACHE_LINE) * CACHE_LINE
    scratch = np.empty(threads * pitch + CACHE_LINE, np.uint8)
    begin = -(-scratch.ctypes.data // CACHE_LINE) * CACHE_LINE
    addresses = {name: array.ctypes.data for name, array in arrays.items()} | {"counter": counter.ctypes.data}
    first = np.array([addresses.get(name, 0) if name in POINTERS else fields.get(name, 0) for name in FIELDS], np.int64)
    records = np.repeat(first[None], threads, axis=0)
    records[:, FIELDS.index("scratch")] = begin + np.arange(threads) * pitch
    counter_at, items = memoryview(counter.data), fields["items"]

    def unfinished() -> bool:
        return counter_at[0] < items

    def stop() -> None:
        counter_at[0] = items

    start = records.ctypes.data
    run_on_threads(kernel, range(start, start + records.nbytes, records.strides[0]), unfinished, stop)


def _tiles(p: Pass, layout: Layout) -> tuple[int, ...]:
    return tuple(-(-size // cut) for size, cut in zip(p.output, layout.tile, strict=True))


def _every(p: Pass, rank: int) -> tuple[slice, ...]:
    return tuple(slice(r, None, s) for r, s in zip(p.residue[3 - rank :], p.step[3 - rank :], strict=True))
