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
# for so many parts: three keep sums short, one leaves room in the first-level cache
WEIGHT_BYTES = {3: 128 << 10, 2: 256 << 10, 1: 37 << 10}
BUFFER_BYTES = 512 << 10
FEWEST_POSITIONS, MOST_POSITIONS = 256, 1024
# of the weight gradient: positions between two additions to the totals, for so many parts, and where there is one tap;
# longer sums cost digits, and totals, panel and gy of a block share that cache
GRADIENT_POSITIONS = {3: 1568, 2: 1568, 1: 3136}
ONE_TAP_POSITIONS = {3: 800, 2: 800, 1: 1600}
GRADIENT_ROWS = 256
GRADIENT_ENTRIES = 160 << 10
GRADIENT_PANEL_BYTES = 1 << 20
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
        channel_step=min(together, max(DEPTH, WEIGHT_BYTES[parts] // (STEP * each * taps) // DEPTH * DEPTH)),
        pair_pitch=pair_pitch,
        joined=joined,
        run=run,
        image_panel=together // 2 * parts * pair_pitch,
        rows_together=padded_rows if together >= channels else min(padded_rows, most_rows),
        channels=channels,
    )


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """gy as rows of halves; panels turned: for each part, parity and 16 channels, pairs of positions x channels."""

    panels: Layout
    parts: int
    rows_together: int
    taps: int
    run: int  # positions of an image's tile, whole steps of 32
    parities: int  # pairs begin at even positions, and where a shift is odd, at odd ones as well

    @property
    def turned(self) -> int:
        """Positions of a panel that are turned: so far does the last step read, where gy is zero."""
        return _up(self.panels.panel_size + STEP, STEP)

    @property
    def temp_pitch(self) -> int:
        """Halves of one channel before it is turned."""
        return self.turned + STEP

    @property
    def block_panel(self) -> int:
        """Words of 16 channels."""
        return self.turned // 2 * SIDE

    @property
    def panel_part(self) -> int:
        return self.parities * self.panels.channels_together // SIDE * self.block_panel

    @property
    def image_panel(self) -> int:
        return self.parts * self.panel_part

    @property
    def gy_pitch(self) -> int:
        """Halves from one row to the next."""
        return 2 * _odd((self.run + STEP) // 2)

    @property
    def gy_part(self) -> int:
        """In words."""
        return self.rows_together * self.gy_pitch // 2

    @property
    def gy_image(self) -> int:
        return self.parts * self.gy_part

    @property
    def gy_at(self) -> int:
        return self.panels.together * self.image_panel

    @property
    def temp_at(self) -> int:
        return self.gy_at + self.panels.together * self.gy_image

    @property
    def sums_at(self) -> int:
        """Behind 16 channels in each part; or 16 float32 of every position, and a tile of each part."""
        halves, floats = self.parts * SIDE * self.temp_pitch // 2, SIDE * (self.temp_pitch + self.parts * SIDE)
        return self.temp_at + _up(max(halves, floats), SIDE)

    @property
    def columns(self) -> int:
        """A tap and a channel each."""
        return self.taps * self.panels.channels_together

    @property
    def totals_at(self) -> int:
        """Behind the sums of 32 rows."""
        return self.sums_at + self.columns * STEP

    @property
    def entries(self) -> int:
        return self.columns * self.rows_together

    @property
    def extremes_at(self) -> int:
        return self.totals_at + 2 * self.entries

    @property
    def scratch(self) -> int:
        return self.extremes_at + 2 * SIDE


def weight_layout(p: Pass, rows: int, channels: int, parts: int) -> WeightLayout:
    """For gw[m, c, t] = sum of gy[m, q] * panel[c, q + shift(t)] with `rows` m and `channels` c per group."""
    taps = max(len(p.offsets), 1)
    positions = (GRADIENT_POSITIONS if taps > 1 else ONE_TAP_POSITIONS)[parts]
    panels = panels_of(p, 0, channels, DEPTH, positions, channels, 1 << 40)
    rows_together = _even(rows, GRADIENT_ROWS)
    parities = 2 if any(shift % 2 for shift in panels.shifts) else 1
    size = panels.together * (panels.panel_size + STEP) * 2 * parts * parities
    most = min(GRADIENT_ENTRIES // (rows_together * taps), GRADIENT_PANEL_BYTES // size)
    channels_together = _even(channels, max(STEP, most // STEP * STEP))
    panels = replace(panels, channels_together=channels_together)
    return WeightLayout(panels, parts, rows_together, taps, panels.run, parities)


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
