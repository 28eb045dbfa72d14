"""How a pass is cut for the matrix unit, and where everything lies in a thread's scratch memory.

Chosen from the pass, the channels and the cache budgets below; never from the batch or the number of threads. Lengths
count words of 4 bytes, which hold a float32 or a pair of bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..shifted.layout import Layout, panels_of
from ..shifted.passes import Pass
from .instructions import DEPTH, SIDE

# bytes: panels of all channels of a tile, and the weights of 32 rows, share the second-level cache
PANEL_BYTES = 1 << 20
WEIGHT_BYTES = 128 << 10
BUFFER_BYTES = 512 << 10
FEWEST_POSITIONS, MOST_POSITIONS = 256, 1024
# of the weight gradient: positions between two additions to the totals; these, panel and gy of a block share that cache
GRADIENT_POSITIONS = 784
GRADIENT_ROWS = 128
GRADIENT_ENTRIES = 72 << 10
GRADIENT_PANEL_BYTES = 512 << 10
STEP = 2 * SIDE  # rows and positions of a register tile


@dataclass(frozen=True, slots=True)
class DataLayout:
    """Panels of pairs of channels: for each block of 32 channels and each part, 16 rows of positions."""

    panels: Layout
    parts: int
    channel_step: int  # channels whose weights are used for all positions of a tile before the next
    pair_pitch: int
    joined: bool  # whether the images of an item follow each other as one run of positions
    run: int  # from one row of the buffer to the next
    image_panel: int
    rows_together: int  # of an item

    @property
    def all_channels(self) -> bool:
        """Whether the panels hold all channels, so that the buffer holds 32 rows at a time."""
        return self.panels.channels_together >= self.channels

    channels: int

    @property
    def buffer_rows(self) -> int:
        return STEP if self.all_channels else self.rows_together

    @property
    def buffer_at(self) -> int:
        panels = 1 if self.joined else self.panels.together
        return _up(panels * self.image_panel + STEP, SIDE)

    @property
    def extremes_at(self) -> int:
        runs = 1 if self.joined else self.panels.together
        return self.buffer_at + runs * self.buffer_rows * self.run

    @property
    def sums_at(self) -> int:
        return _up(self.extremes_at + 2 * SIDE, SIDE)

    @property
    def scratch(self) -> int:
        return self.sums_at + SIDE * SIDE


def data_layout(p: Pass, rows: int, channels: int, parts: int) -> DataLayout:
    """For out[m, q] = sum of w[m, c, t] * panel[c, q + shift(t)] with `rows` m and `channels` c per group."""
    taps, padded = max(len(p.offsets), 1), _up(channels, DEPTH)
    each = 2 * parts  # bytes of a number
    positions = max(FEWEST_POSITIONS, min(MOST_POSITIONS, PANEL_BYTES // (each * padded)))
    panels = panels_of(p, 0, channels, SIDE, positions, channels, 1 << 40)
    size = panels.together * panels.panel_size
    together = min(padded, max(DEPTH, PANEL_BYTES * 3 // 2 // (each * size) // DEPTH * DEPTH))
    joined = taps == 1 and panels.together > 1
    length = ((panels.tile[0] - 1) * panels.panel[1] + panels.tile[1] - 1) * panels.panel[2] + panels.tile[2]
    pair_pitch = _odd((size if joined else panels.panel_size) + STEP)
    run = _odd(_up(size if joined else length, STEP))
    most_rows = max(STEP, BUFFER_BYTES // 4 // (run * (1 if joined else panels.together)) // STEP * STEP)
    padded_rows = _up(rows, STEP)
    return DataLayout(
        panels=replace(panels, channels_together=together),
        parts=parts,
        channel_step=min(together, max(DEPTH, WEIGHT_BYTES // (STEP * each * taps) // DEPTH * DEPTH)),
        pair_pitch=pair_pitch,
        joined=joined,
        run=run,
        image_panel=together // 2 * parts * pair_pitch,
        rows_together=padded_rows if together >= channels else min(padded_rows, most_rows),
        channels=channels,
    )


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """Panels of halves: a row of positions for each part and channel; gy as tiles of 16 rows x 32 positions."""

    panels: Layout
    parts: int
    rows_together: int
    taps: int
    run: int  # positions of an image's tile, whole steps of 32
    panel_pitch: int  # halves from one channel to the next

    @property
    def panel_part(self) -> int:
        """Halves of all channels in one part."""
        return self.panels.channels_together * self.panel_pitch

    @property
    def image_panel(self) -> int:
        """In words."""
        return self.parts * self.panel_part // 2

    @property
    def gy_part(self) -> int:
        return self.rows_together * self.run // 2

    @property
    def gy_image(self) -> int:
        return self.parts * self.gy_part

    @property
    def gy_at(self) -> int:
        return self.panels.together * self.image_panel + STEP

    @property
    def temp_at(self) -> int:
        return self.gy_at + self.panels.together * self.gy_image

    @property
    def temp_pitch(self) -> int:
        return _odd(self.run + STEP)

    @property
    def sums_at(self) -> int:
        """Behind 16 rows of gy, and the words of 16 rows in each part."""
        return self.temp_at + SIDE * self.temp_pitch + self.parts * SIDE * SIDE

    @property
    def columns(self) -> int:
        """A channel and a tap each."""
        return self.panels.channels_together * self.taps

    @property
    def column_pitch(self) -> int:
        return _up(self.columns, SIDE)

    @property
    def totals_at(self) -> int:
        return self.sums_at + self.column_pitch * STEP

    @property
    def entries(self) -> int:
        return self.column_pitch * self.rows_together

    @property
    def extremes_at(self) -> int:
        return self.totals_at + 2 * self.entries

    @property
    def scratch(self) -> int:
        return self.extremes_at + 2 * SIDE


def weight_layout(p: Pass, rows: int, channels: int, parts: int) -> WeightLayout:
    """For gw[m, c, t] = sum of gy[m, q] * panel[c, q + shift(t)] with `rows` m and `channels` c per group."""
    taps = max(len(p.offsets), 1)
    panels = panels_of(p, 0, channels, DEPTH, GRADIENT_POSITIONS, channels, 1 << 40)
    rows_together = _even(rows, GRADIENT_ROWS)
    size = panels.together * (panels.panel_size + STEP) * 2 * parts
    most = min(GRADIENT_ENTRIES // (rows_together * taps), GRADIENT_PANEL_BYTES // size)
    channels_together = _even(channels, max(STEP, most // STEP * STEP))
    return WeightLayout(
        panels=replace(panels, channels_together=channels_together),
        parts=parts,
        rows_together=rows_together,
        taps=taps,
        run=panels.run,
        panel_pitch=2 * _odd((panels.panel_size + STEP + 1) // 2),
    )


def _even(size: int, most: int) -> int:
    """The length of even cuts of `size`, multiples of a step of a register tile, and at most `most`."""
    return _up(-(-size // -(-size // most)), STEP)


def _odd(words: int) -> int:
    """At least so many words, an odd number of cache lines: rows that far apart spread over the sets of a cache."""
    return (-(-words // SIDE) | 1) * SIDE


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def weight_words(rows: int, channels: int, taps: int, parts: int) -> int:
    """Of the packed weights of a group."""
    return _up(rows, STEP) * _up(channels, DEPTH) * taps * parts // 2
