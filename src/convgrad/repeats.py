"""Calls that repeat: from the look of a call straight to its plan, past the gates that a call like it has passed.

Two calls of a function are alike where their options are equal and their arrays have the same shapes and one dtype;
looked up are contiguous, aligned arrays of no subclass. Nothing is decided here: a call that is not found, or not
certain to pass, goes through the gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithms.record import Ready
from .choose import REMEMBERED
from .execute import execute, ready
from .plan import Plan

Array = NDArray[Any]
Options = tuple[object, ...]  # of a call, as written, those that were left out included

_WELL_LAID = 0x0101  # bits of `flags.num`: contiguous in C's order, aligned


@dataclass(frozen=True, slots=True)
class Passed:
    """What has been decided for a call that passed the gates."""

    plan: Plan
    shape: tuple[int, ...]  # of the result
    dtype: np.dtype[Any]
    run: Ready | None


Seen = dict[tuple[object, ...], Passed | None]


def repeat(seen: Seen, a: object, b: object, options: Options, out: object) -> Array | None:
    """The result of a call like one that `remember` was told of; None where the gates must look at it."""
    if type(a) is not np.ndarray or type(b) is not np.ndarray or not _comparable(options):
        return None
    passed = seen.get((a.shape, b.shape, a.dtype, options))
    if passed is None or b.dtype is not passed.dtype or not _well_laid(a, b):
        return None
    if out is None:
        result = np.empty(passed.shape, passed.dtype)
    elif type(out) is np.ndarray and out.shape == passed.shape and out.dtype is passed.dtype and out.flags.carray:
        result = out
    else:
        return None
    if passed.run is not None:
        return result if passed.run(a, b, result) else None
    if out is not None and (np.may_share_memory(a, out) or np.may_share_memory(b, out)):
        return None
    return execute(passed.plan, a, b, result)


def remember(seen: Seen, a: Array, b: Array, options: Options, plan: Plan, result: Array) -> None:
    """Note a call that has passed the gates; it is made ready the second time, because many come only once."""
    if _comparable(options) and a.dtype is b.dtype is result.dtype and _well_laid(a, b):
        if len(seen) >= REMEMBERED:
            seen.clear()
        key = a.shape, b.shape, a.dtype, options
        seen[key] = Passed(plan, result.shape, result.dtype, ready(plan)) if key in seen else None


def _well_laid(a: Array, b: Array) -> bool:
    return a.flags.num & b.flags.num & _WELL_LAID == _WELL_LAID


def _comparable(options: tuple[Any, ...]) -> bool:
    """Whether equal options mean the same: 1, 1.0 and True are equal, but only one of them is a stride."""
    for option in options:
        kind = type(option)
        if kind is not int and option is not None and kind is not str and not (kind is tuple and _comparable(option)):
            return False
    return True
