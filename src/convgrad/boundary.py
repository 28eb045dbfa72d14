"""What stands beyond the ends of the input: padding modes as maps from positions to input positions.

An axis of n entries is continued to every whole number. Each mode says which entry stands at a position, so a padded
convolution reads an index map of its input, and its adjoint adds back through the same map. Geometry decides which
positions are read; nothing here knows about kernels.

    ...                      -3 -2 -1 | 0  1  2  3 | 4  5  6
    zeros, constant           .  .  . | a  b  c  d | .  .  .
    edge                      a  a  a | a  b  c  d | d  d  d
    reflect                   d  c  b | a  b  c  d | c  b  a
    symmetric                 c  b  a | a  b  c  d | d  c  b
    circular                  b  c  d | a  b  c  d | a  b  c
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .errors import GeometryError

CONSTANT = ("zeros", "constant")
MODES = (*CONSTANT, "edge", "reflect", "symmetric", "circular")
# the same things elsewhere
ELSEWHERE = {
    "replicate": "edge",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "circular",
    "periodic": "circular",
    "grid-wrap": "circular",
    "grid-mirror": "symmetric",
    "symm": "symmetric",
    "fill": "constant",
}


def check_mode(argument: str, mode: object) -> str:
    """`mode`, if it has a meaning here."""
    if mode not in MODES:
        accepted = ", ".join(MODES)
        if isinstance(mode, str) and mode in ELSEWHERE:
            accepted = f"{ELSEWHERE[mode]!r}, which means the same; all: {accepted}"
        raise GeometryError(argument, mode, "is no way to continue an input", accepted)
    return str(mode)


def entry(mode: str, position: int, size: int) -> int | None:
    """The input position whose entry stands at `position`; None where a constant does.

    >>> [entry("reflect", position, 4) for position in range(-3, 7)]
    [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    if mode in CONSTANT:
        return position if 0 <= position < size else None
    if mode == "edge":
        return min(max(position, 0), size - 1)
    if mode == "circular":
        return position % size
    if mode == "symmetric":
        there = position % (2 * size)
        return min(there, 2 * size - 1 - there)
    if size == 1:  # a mirror in the middle of the only entry
        return 0
    there = position % (2 * size - 2)
    return min(there, 2 * size - 2 - there)


@dataclass(frozen=True, slots=True)
class Run:
    """Positions [start, stop) that read entries first, first + step, ...; step 0 repeats one, None is a constant."""

    start: int
    stop: int
    first: int
    step: int | None

    @property
    def entries(self) -> slice:
        """The entries that are read, in the order of the positions."""
        if not self.step:
            return slice(self.first, self.first + 1)
        end = self.first + self.step * (self.stop - self.start)
        return slice(self.first, None if end < 0 else end, self.step)


def runs(mode: str, positions: range, size: int) -> Iterator[Run]:
    """The index map of consecutive positions as its longest straight pieces.

    >>> [(run.start, run.stop, run.first, run.step) for run in runs("reflect", range(-2, 5), 4)]
    [(-2, 1, 2, -1), (1, 4, 1, 1), (4, 5, 2, 1)]
    """
    read = [entry(mode, position, size) for position in positions]
    start = 0
    while start < len(read):
        first, stop = read[start], start + 1
        if first is None:
            step = None
            while stop < len(read) and read[stop] is None:
                stop += 1
        else:
            following = read[stop] if stop < len(read) else None
            step = following - first if following is not None and abs(following - first) <= 1 else 1
            while stop < len(read) and read[stop] == first + step * (stop - start):
                stop += 1
        yield Run(positions[start], positions[start] + stop - start, first or 0, step)
        start = stop
