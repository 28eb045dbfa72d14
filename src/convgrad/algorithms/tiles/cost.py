"""What the matrix unit is expected to take: the products of whole tiles, and everything that is brought into them.

Measured on one core of a server with AMX; coarse, as the estimates of the other algorithms are, and as cautious:
tiles are to be taken only where they win.
"""

from __future__ import annotations

import math

from ...geometry import Geometry
from ..shifted.fields import tiles_along
from ..shifted.passes import Pass
from .instructions import DEPTH
from .layout import STEP, DataLayout, WeightLayout
from .sources import Source

# additions and multiplications a second, for so many products of parts
OPERATIONS_PER_SECOND = {6: 3.2e11, 3: 5.5e11, 1: 1.2e12}
WEIGHT_OPERATIONS_PER_SECOND = {6: 3.0e11, 3: 4.5e11, 1: 1e12}
# seconds a number
SPLIT = 0.37e-9
SPLIT_APART = 0.7e-9  # where numbers do not lie beside each other
ROW_APART = 12e-9  # and for each row of them
SPLIT_AND_TURNED = 0.5e-9  # of the weight gradient: of gy, and of the panel for each parity
SPLIT_AND_TURNED_APART = 1.4e-9
FINISHED, FINISHED_APART = 0.4e-9, 0.6e-9
WEIGHT_PACKED = 0.15e-9  # for each of some images
STRIDED_GRADIENT = 1.15  # times as long: rows of residues are narrow
SECONDS_PER_CALL = 15e-6


def data_seconds(
    g: Geometry, source: Source, steps: tuple[tuple[Pass, DataLayout], ...], rows: int, channels: int
) -> float:
    """Of one image of forward or input gradient, with `rows` and `channels` of each group."""
    total = SECONDS_PER_CALL * len(steps)
    for p, layout in steps:
        if not p.places:  # zeros
            total += g.groups * rows * math.prod(p.output) * FINISHED
            continue
        tiles = g.groups * math.prod(tiles_along(p, layout.panels))
        depth, taps = _up(channels, DEPTH), len(p.offsets)
        positions = math.prod(layout.panels.tile) if layout.joined else _up(layout.panels.run, STEP // 2)
        operations = 2 * tiles * positions * _up(rows, STEP) * depth * taps
        dense = p.stride[2] == 1
        total += operations / OPERATIONS_PER_SECOND[source.products]
        numbers, width = tiles * channels * layout.panels.panel_size, layout.panels.panel[2]
        total += numbers * (SPLIT if dense else SPLIT_APART + ROW_APART / width)
        total += g.groups * rows * math.prod(p.output) * (FINISHED if p.step[2] == 1 else FINISHED_APART)
        total += g.groups * _up(rows, STEP) * depth * taps * WEIGHT_PACKED
    return total


def weight_seconds(g: Geometry, source: Source, p: Pass, layout: WeightLayout, blocks: tuple[int, int]) -> float:
    """Of one image of the weight gradient, for blocks of rows and of channels of each group."""
    tiles = g.groups * math.prod(tiles_along(p, layout.panels))
    row_blocks, channel_blocks = blocks
    rows, channels = row_blocks * layout.rows_together, channel_blocks * layout.panels.channels_together
    entries = rows * channels * layout.taps
    split = (
        row_blocks
        * channels
        * layout.panels.panel_size
        * (SPLIT_AND_TURNED if p.stride[2] == 1 else SPLIT_AND_TURNED_APART)
    )
    turned = channel_blocks * rows * layout.run * SPLIT_AND_TURNED
    added = entries * FINISHED / layout.panels.together
    products_of_tile = 2 * layout.run * entries / WEIGHT_OPERATIONS_PER_SECOND[source.products]
    total = tiles * (products_of_tile + split + turned + added) + g.groups * entries * WEIGHT_PACKED
    return SECONDS_PER_CALL + total * (STRIDED_GRADIENT if math.prod(p.stride) > 1 else 1)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
