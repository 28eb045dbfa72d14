"""In the child process: what a wrong result looks like. Each line compares it with a mistake that people make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .case import Case
from .judge import Bench, exact
from .oracle import tap_by_tap

Array = np.ndarray[Any, Any]


def diagnose(bench: Bench, case: Case) -> str:
    """The mistakes that would give this very result, and where the wrong entries lie; empty where nothing fits."""
    different = replace(case, data="whole")  # ones would look like many mistakes at once
    if case.data == "ones" and not bench.judge(different).ok:
        case = different
    a, b = bench.operands(case)
    got, expected = np.asarray(bench.compute(case, a, b)), exact(case, a, b)
    if got.shape != expected.shape:
        return ""
    with np.errstate(all="ignore"):
        mistakes = [name for name, other in _mistakes(case, a, b) if _close(got, other) and not _close(other, expected)]
        return "; ".join(mistakes[:3] or _looks(got.astype(np.float64), expected))


def _mistakes(case: Case, a: Array, b: Array) -> Iterator[tuple[str, Array]]:
    g = case.geometry
    options = {name: [getattr(axis, name) for axis in g.axes] for name in ("stride", "before", "dilation", "after")}

    def computed(a: Array = a, b: Array = b, **other: list[int]) -> Array:
        now = options | other
        return tap_by_tap(case.role, a, b, case.result_shape, now["stride"], now["before"], now["dilation"], g.groups)

    spatial = tuple(range(2, 2 + g.rank))
    if case.role == "weight_grad":
        yield "the kernel is flipped", np.flip(computed(), spatial)
    else:
        yield "the kernel is flipped", computed(b=np.flip(b, spatial))
    yield "padding before and after are exchanged", computed(before=options["after"])
    yield "stride is ignored", computed(stride=[1] * g.rank)
    yield "dilation is ignored", computed(dilation=[1] * g.rank)
    yield "padding is ignored", computed(before=[0] * g.rank)
    for name, by in (("one early", 1), ("one late", -1)):
        yield f"windows begin {name}", computed(before=[n + by for n in options["before"]])
    if g.groups > 1:
        yield "all groups read the first one's operand", computed(a=_first_group(a, 1, g.groups))
        if case.role != "weight_grad":
            yield "all groups read the first one's weight", computed(b=_first_group(b, 0, g.groups))
    if g.batch > 1:
        yield "all images are the first", computed(a=np.repeat(a[:1], g.batch, axis=0))


def _first_group(array: Array, axis: int, groups: int) -> Array:
    part = np.split(array, groups, axis)[0]
    return np.concatenate([part] * groups, axis)


def _looks(got: Array, expected: Array) -> list[str]:
    wrong = ~_near(got, expected)
    if not wrong.any():
        return []
    told = []
    garbage = ~np.isfinite(got[wrong]) | (np.abs(got[wrong]) > 1e6 * (1 + np.abs(expected[wrong])))
    if garbage.any():
        told.append("memory that was never written, or not its own")
    elif not got[wrong].any():
        told.append("the wrong entries are zero: never added")
    elif wrong.all() and expected.all() and np.ptp(got / expected) == 0:
        told.append(f"every entry is {float((got / expected).flat[0]):g} times too large")
    for axis in range(got.ndim):
        hit = np.flatnonzero(wrong.any(tuple(k for k in range(got.ndim) if k != axis)))
        if got.shape[axis] > 2 and len(hit) == 1 and hit[0] in (0, got.shape[axis] - 1):
            told.append(f"only the {'first' if hit[0] == 0 else 'last'} position of axis {axis} is wrong")
    return told


def _close(got: Array, other: Array) -> bool:
    return bool(_near(got.astype(np.float64), other.astype(np.float64)).all())


def _near(got: Array, other: Array) -> Array:
    """Entries that agree to float32's rounding: enough to recognise a mistake by."""
    near: Array = (got == other) | (np.abs(got - other) <= 1e-5 * np.abs(other)) | (np.isnan(got) & np.isnan(other))
    return near
