"""From a plan and arrays to finished kernels: prepares launches once per layout of the arrays, then fires them.

Everything that depends on the batch, on strides and on threads happens here, and changes no bit: how many images share
an item, and into how many ranges of rows an item is cut, so that every thread finds work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...geometry import Geometry
from ..record import Array
from ..shifted.fields import common_fields, tiles_along
from ..shifted.launch import Kernel, Launch, prepared
from ..shifted.passes import Pass, triple
from ..shifted.record import AXES
from .instructions import SIDE, configuration
from .lanes import lanes_of
from .layout import STEP, DataLayout, WeightLayout, weight_words

ITEMS_PER_THREAD = 3  # so that threads end at about the same time
LEAST_ITEMS = 16  # of the weight kernel: fewer blocks than these are cut into ranges of tiles
Strides = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DataLaunch:
    """One pass over the positions `every` of the output: weights into tiles, then products; without taps, zeros."""

    every: tuple[slice, ...]
    weights: Launch | None = None
    products: Launch | None = None
    packed_words: int = 0
    by_rows: bool = False  # channels of the input lie beside each other


def prepare_data(
    g: Geometry,
    steps: tuple[tuple[Pass, DataLayout], ...],
    transposed: bool,
    source: Strides,
    target: Strides,
    itemsize: int,
    threads: int,
) -> list[DataLaunch]:
    """forward, or input_grad (transposed: rows are input channels), for arrays with these byte strides."""
    taps = math.prod(g.kernel_size)
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    rows, channels = (ic, oc) if transposed else (oc, ic)
    w_row, w_channel = (taps, ic * taps) if transposed else (ic * taps, taps)
    by_rows = source[1] == itemsize
    launches = []
    for p, layout in steps:
        residues, step = p.residue[3 - g.rank :], p.step[3 - g.rank :]
        every = (slice(None), slice(None), *map(slice, residues, (None,) * g.rank, step))
        if not p.places:
            launches.append(DataLaunch(every))
            continue
        walked = (*target[:2], *(stride * s for stride, s in zip(target[2:], step, strict=True)))
        panels, pitch = layout.panels, layout.buffer_rows
        fields = common_fields(g, p, panels, source, walked, itemsize)
        alone = g.groups * math.prod(tiles_along(p, panels))
        together, splits = _shares(g.batch, alone, panels.together, rows, layout, threads)
        rows_together = -(-rows // (splits * STEP)) * STEP
        splits = -(-rows // rows_together)
        fields |= {
            "items": -(-g.batch // together) * alone * splits,
            "together": together,
            "rows": rows,
            "channels": channels,
            "w_group": oc * ic * taps,
            "w_row": w_row,
            "w_channel": w_channel,
            "rows_together": rows_together,
            "row_splits": splits,
            "pair_pitch": layout.pair_pitch,
            "image_panel": (SIDE if by_rows else 1) * panels.panel_size if layout.joined else layout.image_panel,
            "out_image": (pitch if by_rows else 1) * panels.panel_size if layout.joined else pitch * layout.run,
            "column_pitch": pitch,
            "runs_apart": int(not layout.joined),
            "run": layout.run,
            "buffer_at": layout.buffer_at,
            "extremes_at": layout.extremes_at,
            "sums_at": layout.sums_at,
            "all_channels": int(layout.all_channels),
            "channel_step": layout.channel_step,
        }
        tables: dict[str, Array] = {
            "shifts": np.array(panels.shifts, np.int32),
            "places": np.array(p.places, np.int32),
            "phases": np.array(panels.phases, np.int64),
            "tile_config": configuration(),
        }
        blocks = g.groups * -(-rows // STEP) * 2
        filters = fields | {"items": blocks, "extremes_at": 0}
        launches.append(
            DataLaunch(
                every,
                prepared(filters, tables, 2 * SIDE, 4, threads),
                prepared(fields, tables, layout.scratch, 4, threads),
                g.groups * weight_words(rows, channels, len(p.places), layout.parts),
                by_rows,
            )
        )
    return launches


def _shares(batch: int, alone: int, together: int, rows: int, layout: DataLayout, threads: int) -> tuple[int, int]:
    """(images of an item, ranges of rows), so that there are items for all threads."""
    fewest = -(-rows // layout.rows_together)
    if threads == 1:
        return together, fewest
    wanted = ITEMS_PER_THREAD * threads
    while together > 1 and -(-batch // together) * alone * fewest < wanted:
        together -= 1
    items = -(-batch // together) * alone
    return together, max(fewest, min(-(-rows // STEP), -(-wanted // max(1, items))))


def run_data(
    launches: list[DataLaunch], kernels: tuple[Kernel, Kernel], a: Array, w: Array, out: Array
) -> Array | None:
    """Fill `out`; which images hold numbers that tiles do not keep, or None where a weight is one."""
    pack, multiply = kernels
    strange = np.zeros(1 + len(a), np.int64)
    if any(one.products is None for one in launches):
        out[...] = 0  # positions that no tap meets, and with them the others: faster than these alone
    for one in launches:
        if one.weights is None or one.products is None:
            continue
        target = out[one.every]
        whole = np.empty(one.packed_words + SIDE, np.int32)
        packed = whole[-(whole.ctypes.data // 4) % SIDE :]  # tiles begin at cache lines
        one.weights.fire(pack, w=w, y=packed, flags=strange[:1])
        if strange[0]:
            return None
        one.products.fire(multiply, x=a, w=packed, y=target, flags=strange[1:])
    found: Array = strange[1:] != 0
    return found


@dataclass(frozen=True, slots=True)
class WeightLaunch:
    """The weight kernel, with the shapes of what its items share: totals, and a count for each block."""

    launch: Launch
    totals: int
    blocks: int
    by_positions: tuple[bool, bool]  # whether the channels of gy, and of x, lie beside each other


def prepare_weight(
    g: Geometry, p: Pass, layout: WeightLayout, gradient: Strides, source: Strides, itemsize: int, threads: int
) -> WeightLaunch:
    """weight_grad, for gy and x with these byte strides."""
    rows, channels, taps = g.out_channels_per_group, g.in_channels_per_group, len(p.offsets)
    panels = layout.panels
    row_blocks, channel_blocks = weight_blocks(rows, channels, layout)
    blocks = g.groups * row_blocks * channel_blocks
    pieces = -(-g.batch // panels.together) * math.prod(tiles_along(p, panels))
    ranges = min(most_ranges(blocks), pieces)
    fields = common_fields(g, p, panels, source, gradient, itemsize) | {
        "items": blocks * ranges,
        "rows": rows,
        "channels": channels,
        "ranges": ranges,
        "row_blocks": row_blocks,
        "channel_blocks": channel_blocks,
        "w_row": channels * taps,
    }
    own = ("rows_together", "run", "image_panel", "panel_part", "block_panel", "turned", "parities", "temp_pitch")
    of_gy = ("gy_image", "gy_part", "gy_pitch")
    places = ("gy_at", "temp_at", "sums_at", "totals_at", "extremes_at")
    fields |= {name: getattr(layout, name) for name in (*own, *of_gy, *places)}
    tables: dict[str, Array] = {
        "shifts": np.array([_pair_row(shift, layout) for shift in panels.shifts], np.int64),
        "phases": np.array(panels.phases, np.int64),
        "tile_config": configuration(),
    }
    planes = {
        "x": (p.before, p.input, layout.temp_pitch, panels.tile == p.output and p.stride == (1, 1, 1)),
        "y": ((0, 0, 0), panels.tile, layout.run, True),
    }
    for array, (before, extent, length, whole) in planes.items():
        strides = triple(fields[f"{array}_{axis}"] for axis in AXES)
        table = lanes_of(panels.panel, before, extent, strides, length) if whole else None
        if table is not None:
            fields[f"{array}_groups"], tables[f"{array}_lanes"] = table.shape[1], table
    launch = prepared(fields, tables, layout.scratch, 4, threads)
    by_positions = gradient[1] == itemsize, source[1] == itemsize
    return WeightLaunch(launch, 2 * layout.entries * blocks * ranges if ranges > 1 else 0, blocks, by_positions)


def _pair_row(shift: int, layout: WeightLayout) -> int:
    """The row of pairs of positions at which a tap begins, in blocks of 16 channels that follow those of even pairs."""
    blocks = layout.panels.channels_together // SIDE
    return shift // 2 + shift % 2 * blocks * layout.turned // 2


def run_weight(weight: WeightLaunch, kernel: Kernel, gy: Array, x: Array, gw: Array) -> bool:
    """Fill `gw`; whether gy and x hold only numbers that tiles keep."""
    target = gw if gw.flags.c_contiguous else np.empty(gw.shape, gw.dtype)
    totals = np.empty(weight.totals, np.float32)
    done, strange = np.zeros(weight.blocks, np.int64), np.zeros(1, np.int64)
    weight.launch.fire(kernel, x=x, y=gy, w=target, totals=totals, done=done, flags=strange)
    if target is not gw:
        gw[...] = target
    return not strange[0]


def weight_blocks(rows: int, channels: int, layout: WeightLayout) -> tuple[int, int]:
    """Blocks of a group: of its output channels, of its input channels."""
    return -(-rows // layout.rows_together), -(-channels // layout.panels.channels_together)


def most_ranges(blocks: int) -> int:
    """How many ranges of tiles are summed apart, so that threads can share them; one where blocks are enough."""
    return -(-LEAST_ITEMS // blocks)
