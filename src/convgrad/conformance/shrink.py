"""From a failing case to a small one that fails in the same way: one simplification at a time, the bold ones first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ..errors import GeometryError
from ..geometry import Axis, Geometry
from .case import DATA, Case
from .sampler import shorter

Fails = Callable[[Case], bool]


def shrink(case: Case, fails: Fails, allowed: Callable[[Case], bool], seconds: float) -> Case:
    """The simplest case found within `seconds` for which `fails` still holds.

    allowed: whether the backend takes a case at all; others are not tried.
    """
    deadline = time.monotonic() + seconds
    tried = {case}
    improved = True
    while improved:
        improved = False
        for candidate in simpler(case):
            if candidate in tried or cost(candidate) >= cost(case) or not allowed(candidate):
                continue
            if time.monotonic() > deadline:
                return case
            tried.add(candidate)
            if fails(candidate):
                case, improved = candidate, True
                break
    return case


def cost(case: Case) -> int:
    """How much a reader has to take in."""
    g = case.geometry
    axes = sum(
        a.input + 3 * a.kernel + 5 * (a.stride - 1) + 5 * (a.dilation - 1) + 4 * (a.before + a.after) for a in g.axes
    )
    setting = 20 * sum(layout != "contiguous" for layout in case.layouts) + 20 * bool(case.algorithm)
    setting += 10 * (case.threads - 1) + 20 * bool(case.isa) + 10 * DATA.index(case.data)
    return 50 * g.rank + axes + 3 * g.batch + 2 * (g.in_channels + g.out_channels) + 4 * g.groups + setting


def simpler(case: Case) -> Iterator[Case]:
    """Cases that differ from `case` in one respect and are easier to read."""
    for data in DATA[: DATA.index(case.data)]:
        yield replace(case, data=data)
    yield replace(case, layouts=("contiguous", "contiguous"))
    yield replace(case, layouts=("contiguous", case.layouts[1]))
    yield replace(case, layouts=(case.layouts[0], "contiguous"))
    yield from (replace(case, threads=threads) for threads in (1, 2))
    yield replace(case, isa="")
    yield replace(case, algorithm="")
    yield from (replace(case, geometry=g) for g in _simpler_geometries(case.geometry))


def _simpler_geometries(g: Geometry) -> Iterator[Geometry]:
    if g.rank > 1:
        for position in range(g.rank):
            yield replace(g, axes=g.axes[:position] + g.axes[position + 1 :])
    yield from (g.with_batch(n) for n in _less(g.batch, 1))
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    for groups, i, o in (
        *((n, ic, oc) for n in _less(g.groups, 1)),
        *((g.groups, n, oc) for n in _less(ic, 1)),
        *((g.groups, ic, n) for n in _less(oc, 1)),
    ):
        yield replace(g, groups=groups, in_channels=i * groups, out_channels=o * groups)
    for position, axis in enumerate(g.axes):
        for other in _simpler_axes(axis):
            yield replace(g, axes=(*g.axes[:position], other, *g.axes[position + 1 :]))


def _simpler_axes(a: Axis) -> Iterator[Axis]:
    yield from (shorter(a, outputs) for outputs in _less(a.output, 1))
    for name, least in (("stride", 1), ("dilation", 1), ("kernel", 1), ("before", 0), ("after", 0)):
        for number in _less(getattr(a, name), least):
            yield from _valid(a, input=_length(a, name, number), **{name: number})
            yield from _valid(a, **{name: number})
    for number in _less(min(a.before, a.after), 0):
        yield from _valid(a, before=number, after=number)
    for number in _less(a.input, 1):
        yield from _valid(a, input=number)


def _length(a: Axis, name: str, number: int) -> int:
    """The input that keeps the outputs of `a` with another option."""
    now: dict[str, int] = {field: getattr(a, field) for field in ("kernel", "stride", "dilation", "before", "after")}
    now[name] = number
    span = (now["kernel"] - 1) * now["dilation"] + 1
    return (a.output - 1) * now["stride"] + span - now["before"] - now["after"]


def _valid(a: Axis, **options: Any) -> Iterator[Axis]:
    with contextlib.suppress(GeometryError):
        yield replace(a, **options)


def _less(number: int, least: int) -> list[int]:
    """Smaller numbers to try: the least, half, one less."""
    return [n for n in dict.fromkeys((least, number // 2, number - 1)) if least <= n < number]
