"""How a pass is cut into tiles, and where everything lies in a thread's scratch memory.

Chosen from the pass, the channels and the cache budgets below; never from the batch or the number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container
from dataclasses import dataclass, replace

from .passes import Pass, Triple, triple

# bytes: a block of weights stays in the first-level cache, panel and buffer in the second
WEIGHT_BYTES = 20 << 10
PANEL_BYTES = 256 << 10
BUFFER_BYTES = 256 << 10
ONE_TAP_POSITIONS = 512
SLIDING_POSITIONS = 16 << 10
MOST_INDEX = (1 << 31) - 1  # of the tables of terms
# of the dense kernel: the panel of an item and a step of its weights share the second-level cache
DENSE_PANEL_BYTES = 1 << 20
DENSE_WEIGHT_BYTES = 24 << 10
DENSE_POSITIONS = 784
# of the outer kernel: positions between two additions to the totals; totals, panel and gy of a block share the
# second-level cache
OUTER_POSITIONS = 784
OUTER_ROWS = 128
OUTER_ENTRIES = 32 << 10
OUTER_PANEL_BYTES = 512 << 10
# of the weight kernel: positions that an accumulator sums, so that adding its lanes is a small part of the work
GRADIENT_POSITIONS = 1536
GRADIENT_PANEL_BYTES = 384 << 10
GRADIENT_ROWS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """Tiles of a pass; lengths count elements."""

    tile: Triple
    reach: Triple  # panel positions beyond the tile, per axis and phase
    panel: Triple
    phases: tuple[Triple, ...]  # the stride residues that taps read
    shifts: tuple[int, ...]  # of each tap, from a position in the panel
    panel_size: int  # per channel: a plane for each phase
    together: int  # images of one item
    channels_together: int
    run: int  # length of a row of the buffer (data) or of gy (weight)
    scratch: int
    lanes: int
    slack: int  # what vectors may read past the last panel
    joined: bool = False  # whether the images of an item follow each other as one run of positions
    walk: Triple = (1, 1, 1)  # from one output to the next, in the panel
    slides: int = 0  # taps along the height, where one channel is computed by rows that slide along it

    @property
    def buffer_at(self) -> int:
        """Where the buffer begins, in elements: behind the panels and their slack, at a whole vector."""
        panels = 1 if self.joined else self.together
        return _up(panels * self.channels_together * self.panel_size + self.slack, self.lanes)

    @property
    def plane(self) -> int:
        return math.prod(self.panel)


def data_layout(p: Pass, rows: int, channels: int, lanes: int, itemsize: int, sliding: Container[int] = ()) -> Layout:
    """For out[m, q] = sum of w[m, c, t] * panel[c, q + shift(t)] with `rows` m and `channels` c per group.

    sliding: taps along the height for which the kernel has sliding rows.
    """
    taps = max(len(p.offsets), 1)
    positions = max(4 * lanes, min(4096, BUFFER_BYTES // itemsize // max(rows, 1)))
    if rows == channels == 1 and (height := _height_of_a_window(p)) in sliding:
        return replace(panels_of(p, 1, 1, lanes, SLIDING_POSITIONS, 1, PANEL_BYTES // itemsize), slides=height)
    if taps == 1:  # outputs are mostly added up where they belong
        positions = min(max(positions, ONE_TAP_POSITIONS), 2 * ONE_TAP_POSITIONS)
    block = min(WEIGHT_BYTES // itemsize // (6 * taps), MOST_INDEX // (max(rows, channels, 1) * taps))
    layout = panels_of(p, rows, channels, lanes, positions, block, PANEL_BYTES // itemsize)
    return layout if taps > 1 else _joined(layout, rows, channels, block, PANEL_BYTES // itemsize)


def _height_of_a_window(p: Pass) -> int:
    """Taps along the height of a plane, if they are a full window of neighbouring rows at every position; else zero."""
    rows = list(dict.fromkeys(offset[1] for offset in p.offsets))
    width = len(p.offsets) // max(1, len(rows))
    apart = {b - a for a, b in itertools.pairwise(rows)}
    flat = p.output[0] == p.input[0] == 1 and p.stride == (1, 1, 1) and p.places == tuple(range(len(p.offsets)))
    return len(rows) if flat and len(rows) * width == len(p.offsets) and apart in ({1}, {-1}) else 0


def _joined(layout: Layout, rows: int, channels: int, block: int, panel_elements: int) -> Layout:
    """Panels of one tap: images beside each other, so that one vector holds positions of two; channels aligned."""
    size = _up(layout.together * layout.plane, layout.lanes)
    together = _even(max(1, channels), max(1, min(channels, block, panel_elements // size)), 1)
    return replace(
        layout,
        panel_size=size,
        run=size,
        channels_together=together,
        scratch=together * size + rows * size + 2 * layout.slack,
        joined=layout.together > 1,
    )


@dataclass(frozen=True, slots=True)
class DenseLayout:
    """How the dense kernel cuts a pass; lengths count elements."""

    panels: Layout
    row_pitch: int  # rows that lie beside each other in packed weights and in the buffer
    channel_step: int
    packed: int  # the weights of a group
    temp_at: int
    positions_at: int
    weights_at: int
    scratch: int


def dense_layout(p: Pass, rows: int, channels: int, lanes: int, itemsize: int, widest: int) -> DenseLayout:
    """The same sums as `data_layout`, for vectors along the rows, of which `widest` are computed together."""
    taps = max(len(p.offsets), 1)
    positions = max(4 * lanes, min(DENSE_POSITIONS, DENSE_PANEL_BYTES // (itemsize * channels)))
    panels = panels_of(p, 0, channels, lanes, positions, channels, 1 << 40)
    panels = _undivided(panels, p)
    pitch = min(widest, _up(rows, lanes))
    count = panels.together * math.prod(panels.tile) + lanes  # vectors that are turned reach past the last position
    temp_at = panels.buffer_at + count * pitch
    positions_at = temp_at + lanes * lanes
    weights_at = _up(positions_at + count * 8 // itemsize, lanes)
    step = _even(channels, max(1, DENSE_WEIGHT_BYTES // (itemsize * pitch * taps)), 1)
    return DenseLayout(
        panels=panels,
        row_pitch=pitch,
        channel_step=step,
        packed=-(-rows // pitch) * pitch * channels * taps,
        temp_at=temp_at,
        positions_at=positions_at,
        weights_at=weights_at,
        scratch=weights_at + step * taps * pitch,
    )


def _undivided(panels: Layout, p: Pass) -> Layout:
    """Panels that hold what a strided pass reads as it lies, where it reads every stride residue."""
    if not 1 < len(panels.phases) == math.prod(p.stride):
        return panels
    reach = triple(max(offset[axis] for offset in p.offsets) for axis in range(3))
    panel = triple((t - 1) * s + 1 + r for t, s, r in zip(panels.tile, p.stride, reach, strict=True))
    return replace(
        panels,
        reach=reach,
        panel=panel,
        phases=((0, 0, 0),),
        shifts=tuple((o[0] * panel[1] + o[1]) * panel[2] + o[2] for o in p.offsets),
        panel_size=math.prod(panel),
        walk=p.stride,
    )


def weight_layout(p: Pass, rows: int, channels: int, lanes: int, itemsize: int) -> Layout:
    """For gw[m, c, t] = sum of gy[m, q] * panel[c, q + shift(t)] with `rows` m and `channels` c per group."""
    positions = max(4 * lanes, min(GRADIENT_POSITIONS, GRADIENT_ROWS_BYTES // itemsize // max(rows, 1)))
    return panels_of(p, rows, channels, lanes, positions, channels, GRADIENT_PANEL_BYTES // itemsize)


@dataclass(frozen=True, slots=True)
class OuterLayout:
    """How the outer kernel cuts a weight gradient into blocks; lengths count elements."""

    panels: Layout
    rows_together: int
    total_pitch: int  # rows of a block, up to whole vectors
    column_pitch: int  # columns of a block, up to whole vectors
    gy_pitch: int  # rows that lie beside each other for a position of gy
    run: int  # positions of a block of gy
    temp_pitch: int
    temp_at: int
    positions_at: int
    totals_at: int
    scratch: int

    @property
    def entries(self) -> int:
        return self.total_pitch * self.column_pitch


def outer_layout(p: Pass, rows: int, channels: int, lanes: int, itemsize: int) -> OuterLayout:
    """The same sums as `weight_layout`, for vectors along the rows."""
    rows_together = _even(rows, OUTER_ROWS, lanes)
    pitch = _up(rows_together, lanes)
    taps = max(1, len(p.offsets))
    block = max(1, OUTER_ENTRIES * 4 // itemsize // (pitch * taps))
    panels = _undivided(panels_of(p, 0, channels, lanes, OUTER_POSITIONS, block, OUTER_PANEL_BYTES // itemsize), p)
    count = math.prod(panels.tile)
    # what is turned comes in whole vectors of positions, the last of them past the end
    run, temp_pitch = _up(panels.together * count, lanes) + lanes, _up(count, lanes) + lanes
    gy_pitch = min(4 * lanes, pitch)
    column_pitch = _up(panels.channels_together * taps, lanes)
    temp_at = panels.buffer_at + -(-pitch // (4 * lanes)) * run * gy_pitch
    positions_at = temp_at + max(lanes * temp_pitch, 2 * lanes * lanes)
    totals_at = _up(positions_at + run * 8 // itemsize, lanes)
    return OuterLayout(
        panels=panels,
        rows_together=rows_together,
        total_pitch=pitch,
        column_pitch=column_pitch,
        gy_pitch=gy_pitch,
        run=run,
        temp_pitch=temp_pitch,
        temp_at=temp_at,
        positions_at=positions_at,
        totals_at=totals_at,
        scratch=totals_at + 2 * pitch * column_pitch,
    )


def panels_of(
    p: Pass, rows: int, channels: int, lanes: int, positions: int, channel_block: int, panel_elements: int
) -> Layout:
    """Tiles of at most so many positions, in panels of blocks of channels; `scratch` has `rows` runs of outputs."""
    residues = [triple(o % s for o, s in zip(offset, p.stride, strict=True)) for offset in p.offsets]
    steps = [triple(o // s for o, s in zip(offset, p.stride, strict=True)) for offset in p.offsets]
    phases = tuple(dict.fromkeys(residues))
    reach = triple(max((step[axis] for step in steps), default=0) for axis in range(3))
    tile = _tile(p.output, reach, positions)
    panel = triple(t + r for t, r in zip(tile, reach, strict=True))
    plane = math.prod(panel)
    panel_size = max(1, len(phases)) * plane  # a pass without taps only writes zeros
    length = ((tile[0] - 1) * panel[1] + tile[1] - 1) * panel[2] + tile[2]
    run = -(-length // lanes) * lanes
    together = max(1, min(8, positions // run)) if tile == p.output else 1
    channels_together = max(1, min(channels, channel_block, panel_elements // (panel_size * together)))
    slack = 4 * lanes
    return Layout(
        tile=tile,
        reach=reach,
        panel=panel,
        phases=phases,
        shifts=tuple(
            phases.index(residue) * plane + (step[0] * panel[1] + step[1]) * panel[2] + step[2]
            for residue, step in zip(residues, steps, strict=True)
        ),
        panel_size=panel_size,
        together=together,
        channels_together=channels_together,
        run=run,
        scratch=together * (channels_together * panel_size + rows * run) + 2 * slack,
        lanes=lanes,
        slack=slack,
    )


def _even(size: int, most: int, multiple: int) -> int:
    """The length of even cuts of `size`, each a multiple but the last, and at most `most`."""
    return min(size, _up(-(-size // -(-size // most)), multiple))


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _tile(output: Triple, reach: Triple, positions: int) -> Triple:
    """Whole trailing axes while they fit, cut evenly."""
    tile = []
    for size, extra in zip(reversed(output), reversed(reach), strict=True):
        length = max(1, min(size, positions))
        length = -(-size // -(-size // length))  # even cuts
        tile.append(length)
        positions = max(1, positions // (length + extra))
    return triple(reversed(tile))
