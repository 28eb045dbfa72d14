"""Forward and input gradient, from a plan and arrays to finished kernels: launches, and how they are fired.

Launches are prepared once per layout of the arrays. Everything that depends on the batch, on strides and on threads
happens here, and changes no bit; everything else is in the plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...geometry import Geometry
from ...jit.builtin import address
from ..record import Array
from .fields import Strides, common_fields, tiles_along
from .launch import CACHE_LINE, Kernel, Launch, prepared
from .layout import DenseLayout, Layout
from .passes import Pass, Triple

ITEMS_PER_THREAD = 2  # of images that would be computed together, so that threads end at about the same time
PANEL_WORTH = 4  # weights that are packed in the time of one number of a panel


@dataclass(frozen=True, slots=True)
class DataLaunch:
    """One pass over the positions `every` of the output; without taps it writes zeros."""

    every: tuple[slice, ...]
    products: Launch | None
    weights: Launch | None = None  # packs them first, for the dense kernel
    packed: int = 0


def prepare_data(
    g: Geometry,
    steps: tuple[tuple[Pass, Layout | DenseLayout], ...],
    transposed: bool,
    in_place: bool,
    source: Strides,
    target: Strides,
    itemsize: int,
    threads: int,
) -> list[DataLaunch]:
    """forward, or input_grad (transposed: rows are input channels), for arrays with these byte strides.

    With `in_place` the kernel may add up outputs where they belong.
    """
    taps = math.prod(g.kernel_size)
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    rows, channels = (ic, oc) if transposed else (oc, ic)
    w_row, w_channel = (taps, ic * taps) if transposed else (ic * taps, taps)
    of_weights = {
        "rows": rows,
        "channels": channels,
        "w_group": oc * ic * taps,
        "w_row": w_row,
        "w_channel": w_channel,
        "terms_in_order": int(not transposed),
    }
    launches = []
    for p, layout in steps:
        residues, step = p.residue[3 - g.rank :], p.step[3 - g.rank :]
        every = (slice(None), slice(None), *map(slice, residues, (None,) * g.rank, step))
        if not p.places:
            launches.append(DataLaunch(every, None))
            continue
        walked = (*target[:2], *(stride * s for stride, s in zip(target[2:], step, strict=True)))
        panels = layout if isinstance(layout, Layout) else layout.panels
        fields = common_fields(g, p, panels, source, walked, itemsize) | of_weights
        if isinstance(layout, Layout):
            launches.append(DataLaunch(every, _along_positions(g, p, layout, fields, in_place, itemsize, threads)))
        else:
            launches.append(DataLaunch(every, *_along_rows(g, p, layout, fields, itemsize, threads)))
    return launches


def _along_positions(
    g: Geometry, p: Pass, layout: Layout, fields: dict[str, int], in_place: bool, itemsize: int, threads: int
) -> Launch:
    """One pass of the data kernel."""
    alone = g.groups * math.prod(tiles_along(p, layout))
    together = _together(g.batch, alone, layout.together, threads)
    fields |= {"items": -(-g.batch // together) * alone, "together": together}
    fields |= _image_places(fields, layout, in_place)
    fields |= _sliding(p, layout, fields)
    block = np.arange(layout.channels_together)[:, None]
    tables = {  # of a term: a channel of a block, and a tap
        "shifts": (block * layout.panel_size + np.array(layout.shifts)).astype(np.int32),
        "places": (block * fields["w_channel"] + np.array(p.places)).astype(np.int32),
        "phases": np.array(layout.phases, np.int64),
    }
    return prepared(fields, tables, layout.scratch, itemsize, threads)


def _along_rows(
    g: Geometry, p: Pass, layout: DenseLayout, fields: dict[str, int], itemsize: int, threads: int
) -> tuple[Launch, Launch | None, int]:
    """One pass of the dense kernel; what packs the weights for it, and how many numbers that makes.

    An item that shares its weights with no other packs them itself, step by step.
    """
    panels, blocks = layout.panels, -(-fields["rows"] // layout.row_pitch)
    tiles = math.prod(tiles_along(p, panels))
    together, splits = _shares(g, tiles, layout, blocks, threads)
    rows_together = -(-blocks // splits) * layout.row_pitch
    splits = -(-fields["rows"] // rows_together)
    sharing = -(-g.batch // together) * tiles
    fields |= {
        "items": sharing * g.groups * splits,
        "together": together,
        "row_splits": splits,
        "rows_together": rows_together,
        "image_panel": panels.channels_together * panels.panel_size,
        "row_pitch": layout.row_pitch,
        "channel_step": layout.channel_step,
        "temp_at": layout.temp_at,
        "positions_at": layout.positions_at,
        "weights_at": layout.weights_at,
        "own_weights": int(sharing == 1),
    }
    block = np.arange(layout.channel_step)[:, None]
    tables = {  # shifts of a term: a channel of a step, and a tap
        "shifts": (block * panels.panel_size + np.array(panels.shifts)).astype(np.int32),
        "places": np.array(p.places, np.int32),
        "phases": np.array(panels.phases, np.int64),
    }
    products = prepared(fields, tables, layout.scratch, itemsize, threads)
    if sharing == 1:
        return products, None, 0
    weights = prepared(fields | {"items": g.groups * blocks}, tables, 0, itemsize, threads)
    return products, weights, g.groups * layout.packed


def _together(batch: int, alone: int, most: int, threads: int) -> int:
    """Images of an item, so that there are items for all threads."""
    wanted = ITEMS_PER_THREAD * threads if threads > 1 else 1
    return max(1, min(most, batch * alone // wanted))


def _shares(g: Geometry, tiles: int, layout: DenseLayout, blocks: int, threads: int) -> tuple[int, int]:
    """(images of an item, ranges of blocks of rows), so that there are items for all threads.

    Ranges of rows pack the same input once each, images that are computed apart the same weights: first the cheaper.
    """
    panels, alone = layout.panels, g.groups * tiles
    wanted = ITEMS_PER_THREAD * threads if threads > 1 else 1
    together = panels.together
    if layout.packed < PANEL_WORTH * together * panels.channels_together * panels.panel_size:
        together = _together(g.batch, alone, together, threads)
    splits = min(blocks, -(-wanted // (-(-g.batch // together) * alone)))
    return _together(g.batch, alone * splits, together, threads), splits


def _image_places(fields: Mapping[str, int], layout: Layout, in_place: bool) -> dict[str, int]:
    """Where the images of an item lie in its panel, and the outputs of a tile: in its buffer, or where they belong.

    There they are added up if they are one run.
    """
    if layout.joined:
        return {
            "runs_apart": 0,
            "image_panel": layout.plane,
            "in_place": 0,
            "out_image": layout.plane,
            "out_row": layout.run,
        }
    apart = {"runs_apart": 1, "image_panel": layout.channels_together * layout.panel_size}
    one_row = layout.tile[:2] == (1, 1)
    if in_place and (one_row or layout.panel[1:] == layout.tile[1:]) and _runs_along(fields, "y", layout.tile):
        return apart | {"in_place": 1, "out_image": fields["y_n"], "out_row": fields["y_c"]}
    return apart | {"in_place": 0, "out_image": fields["rows"] * layout.run, "out_row": layout.run}


def _sliding(p: Pass, layout: Layout, fields: Mapping[str, int]) -> dict[str, int]:
    """How rows slide along an image: down, or up where an input gradient walks its taps backwards."""
    if not layout.slides or fields["y_w"] != 1:
        return {}
    width = len(p.offsets) // layout.slides
    down = p.offsets[-1][1] > 0
    step = p.offsets[1][2] - p.offsets[0][2] if width > 1 else 0
    return {"in_place": 1, "slides": layout.slides, "slide_turn": 1 if down else -1, "slide_step": step}


def _runs_along(fields: Mapping[str, int], array: str, block: Triple) -> bool:
    """Whether the positions of a block lie behind each other in memory."""
    depth, height, width = block
    return (
        fields[f"{array}_w"] == 1
        and (height == 1 or fields[f"{array}_h"] == width)
        and (depth == 1 or fields[f"{array}_d"] == height * width)
    )


def run_data(launches: list[DataLaunch], kernels: tuple[Kernel, ...], a: Array, w: Array, out: Array) -> None:
    """Fill `out`; the kernels are that of the products and, where weights are packed, the one before it."""
    for one in launches:
        target = out[one.every]
        if one.products is None:
            target[...] = 0
        elif one.weights is None:
            one.products.fire(kernels[0], x=a, w=w, y=target)
        else:
            whole = np.empty(one.packed + CACHE_LINE // w.itemsize, w.dtype)
            packed = whole[-(address(whole) // w.itemsize) % (CACHE_LINE // w.itemsize) :]
            one.weights.fire(kernels[1], w=w, y=packed)
            one.products.fire(kernels[0], x=a, w=packed, y=target)
