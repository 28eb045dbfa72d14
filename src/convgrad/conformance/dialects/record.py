"""What a dialect is: how one library is asked for a role, in its own words.

A dialect writes lines of Python and nothing runs but those lines, so a reproduction is what was run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...geometry import Geometry
from ..capabilities import Capabilities
from ..case import Case


@dataclass(frozen=True, slots=True)
class Dialect:
    """A backend as the kit sees it. Lines may use `np` and the operands' names, and leave `result`."""

    name: str
    capabilities: Capabilities
    imports: tuple[str, ...]
    call: Callable[[Case], list[str]]
    set_threads: Callable[[int], str] | None = None
    libraries: tuple[str, ...] = ()  # distributions whose versions matter
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by instruction set
    # which of its algorithms computes a case, None: the one asked for by name does not
    algorithm_of: Callable[[Case], str | None] = lambda case: case.algorithm
    # what it promises, in eps times definition(|a|, |b|)
    error_bound: Callable[[Case], float] | None = None

    def transforms(self, case: Case) -> bool:
        """Whether a case is computed by an algorithm that is right to rounding in the norm only."""
        return self.algorithm_of(case) in self.capabilities.transforms


def numbers(g: Geometry, name: str) -> list[int]:
    """One option of every axis."""
    return [getattr(axis, name) for axis in g.axes]


def pairs(g: Geometry) -> list[tuple[int, int]]:
    """(before, after) of every axis."""
    return [(axis.before, axis.after) for axis in g.axes]
