"""Plan -> result: finds the algorithm that the plan names and lets it fill the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from . import assemble, bfloat16, complexes, integers
from .algorithms import ALGORITHMS
from .algorithms.record import Native, Ready
from .plan import Plan

Array = NDArray[Any]

# plans that hold plans
_COMPOSED: dict[type, Callable[..., None]] = {
    assemble.Assembly: assemble.run,
    bfloat16.Widened: bfloat16.run,
    complexes.Products: complexes.run,
    integers.Exactly: integers.run,
}
_NAMED = {algorithm.name: algorithm for algorithm in ALGORITHMS}


def execute(plan: Plan, a: Array, b: Array, out: Array) -> Array:
    """Fill `out` with `plan.role` of `a` and `b`, whose shapes are those of the plan's geometry."""
    if plan.operations == 0:
        out[...] = 0  # no terms: no images, no channels, or padding only
    elif type(plan.parameters) in _COMPOSED:
        _COMPOSED[type(plan.parameters)](plan, a, b, out, execute)
    else:
        _NAMED[plan.algorithm].run(plan, a, b, out)
    return out


def stacked(plan: Plan, images: int) -> Plan | None:
    """For the weight gradient of one image, that of many at once with the same bits, if its algorithm offers it."""
    if plan.operations == 0 or type(plan.parameters) in _COMPOSED:
        return None
    return _NAMED[plan.algorithm].stacked(plan, images)


def ready(plan: Plan) -> Ready | None:
    """What fills `out` quicker where calls of `plan` repeat, if its algorithm offers it."""
    if plan.operations == 0 or type(plan.parameters) in _COMPOSED:
        return None
    return _NAMED[plan.algorithm].ready(plan)


def native(plan: Plan) -> Native | None:
    """What computes `plan` without Python, if its algorithm offers it."""
    if plan.operations == 0 or type(plan.parameters) in _COMPOSED:
        return None
    return _NAMED[plan.algorithm].native(plan)
