"""How a problem fills lanes: its tiles in pairs, its pairs in lanes, its lanes in tasks; sizes of all buffers.

Pure arithmetic on a geometry; chosen for one image, never from the batch or the number of threads.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from ...geometry import Axis, Geometry, joined
from .split import Split

# tasks of a weight gradient are summed in ranges, so that threads can share them; as many as these bytes hold
MOST_RANGES = 8
RANGES_BYTES = 12 << 20


@dataclass(frozen=True)  # without slots: what the choice of lengths asks for again and again is kept
class Tiling:
    """The parameters of a plan."""

    isa: str
    lanes: int
    role: str
    geometry: Geometry  # of one image
    splits: tuple[Split, Split, Split]  # a lower rank has leading axes of one position
    apart: bool  # lanes hold groups; else tiles of one group

    def __str__(self) -> str:
        lengths = joined(split.length for split in self.splits[3 - self.geometry.rank :])
        phases = f", {self.phases} phases" if self.phases > 1 else ""
        return (
            f"{self.isa}, transforms of {lengths}, {self.tiles} tiles an image{phases}, lanes hold {self.filled_with}"
        )

    @property
    def filled_with(self) -> str:
        return "groups" if self.apart else "tiles"

    @functools.cached_property
    def lengths(self) -> tuple[int, ...]:
        return tuple(split.length for split in self.splits)

    @functools.cached_property
    def entries(self) -> int:
        """Numbers of one tile."""
        return math.prod(self.lengths)

    @functools.cached_property
    def tiles(self) -> int:
        """Tiles of one channel of one image."""
        return math.prod(split.residues * split.tiles for split in self.splits)

    @property
    def pairs(self) -> int:
        return -(-self.tiles // 2)

    @functools.cached_property
    def phases(self) -> int:
        return math.prod(split.phases for split in self.splits)

    @property
    def units(self) -> int:
        """What has a weight of its own: groups, or as many of them as lanes."""
        return -(-self.geometry.groups // self.lanes) if self.apart else self.geometry.groups

    def tasks(self, batch: int) -> int:
        """Tasks of one unit."""
        return batch * self.pairs if self.apart else -(-batch * self.pairs // self.lanes)

    @property
    def rows(self) -> int:
        """Channels per group that a spectrum is made for: those in the lanes of the weight."""
        g = self.geometry
        return g.in_channels_per_group if self.role == "input_grad" else g.out_channels_per_group

    @property
    def channels(self) -> int:
        """Channels per group on the other side."""
        g = self.geometry
        return g.out_channels_per_group if self.role == "input_grad" else g.in_channels_per_group

    @property
    def blocks(self) -> int:
        """Runs of lanes that the weight of a unit takes."""
        return 1 if self.apart else -(-self.rows // self.lanes)

    @property
    def weight_rows(self) -> int:
        """Rows of the weight's spectrum in one block."""
        return self.channels * self.phases * (self.rows if self.apart else 1)

    # --- in elements

    @property
    def pitch(self) -> int:
        """From line to line of a row: one entry more than needed, or a column would fill few sets of the cache."""
        extra = 1 if self.entries > self.lengths[2] else 0
        return (self.lengths[2] + extra) * 2 * self.lanes

    @functools.cached_property
    def row(self) -> int:
        return self.lengths[0] * self.lengths[1] * self.pitch

    @property
    def width(self) -> int:
        """Lanes that are kept of the weight's spectrum."""
        return self.lanes if self.apart else min(self.rows, self.lanes)

    @property
    def kept_line(self) -> int:
        """From line to line of it: as it was transformed, or without gaps where lanes are left out."""
        return self.pitch if self.width == self.lanes else self.lengths[2] * 2 * self.width

    @property
    def kept_row(self) -> int:
        return self.lengths[0] * self.lengths[1] * self.kept_line

    @property
    def inputs(self) -> int:
        """Rows that a task transforms forward; the weight gradient also its results."""
        return self.channels * (1 if self.role == "input_grad" else self.phases)

    @property
    def results(self) -> int:
        return self.rows * (self.phases if self.role == "input_grad" else 1)

    @property
    def in_place(self) -> bool:
        """Whether products overwrite what they multiply."""
        return self.inputs == self.results == 1 and self.role != "weight_grad"

    @property
    def scratch(self) -> int:
        """Of one thread: the spectra of both sides, or one row of the weight's."""
        return (self.inputs + (0 if self.in_place else self.results)) * self.row

    def ranges(self, tasks: int, itemsize: int) -> int:
        """Runs of tasks whose weight gradients are summed apart: their sums, and what rounding took from them."""
        fitting = RANGES_BYTES // (2 * self.units * self.blocks * self.weight_rows * self.row * itemsize)
        return max(1, min(MOST_RANGES, tasks, fitting))

    def shared(self, itemsize: int, tasks: int = MOST_RANGES) -> int:
        """Of all threads: the spectrum of the weight, or the sums of its gradient over so many tasks."""
        count = self.units * self.blocks * self.weight_rows
        if self.role == "weight_grad":
            return 2 * self.ranges(tasks, itemsize) * count * self.row
        return count * self.kept_row


def three_axes(g: Geometry) -> tuple[Axis, Axis, Axis]:
    first, second, third = (Axis(1, 1),) * (3 - g.rank) + g.axes
    return first, second, third
