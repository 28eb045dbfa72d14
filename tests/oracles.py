"""The only two comparisons of numbers in this suite, and the problems that they judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgrad import definition
from convgrad.geometry import Geometry
from convgrad.plan import Plan

Array = NDArray[Any]

DEFINITIONS = {
    "forward": definition.forward,
    "input_grad": definition.input_grad,
    "weight_grad": definition.weight_grad,
}


@dataclass(frozen=True)
class Problem:
    """One geometry with arrays for its three roles."""

    geometry: Geometry
    x: Array
    w: Array
    gy: Array

    def arguments(self, role: str) -> tuple[Array, Array]:
        pairs = {"forward": (self.x, self.w), "input_grad": (self.gy, self.w), "weight_grad": (self.gy, self.x)}
        return pairs[role]

    def result_shape(self, role: str) -> tuple[int, ...]:
        g = self.geometry
        return {"forward": g.output_shape, "input_grad": g.input_shape, "weight_grad": g.weight_shape}[role]


def assert_same(got: Array, expected: Array) -> None:
    """Bit for bit, up to the sign of zero; NaN equals NaN."""
    assert got.shape == expected.shape, f"shape {got.shape}, expected {expected.shape}"
    assert got.dtype == expected.dtype, f"dtype {got.dtype}, expected {expected.dtype}"
    assert np.array_equal(got, expected, equal_nan=True), f"differs at {np.argwhere(got != expected)[:5].tolist()}"


def assert_within_bound(got: Array, plan: Plan, a: Array, b: Array) -> None:
    """|got - exact| <= plan.error_bound * eps * what the plan's `error_scale` names, entry by entry."""
    worst = np.max(excess(got, plan, a, b), initial=0)
    assert worst <= 1, f"an entry is off by {worst} times its bound"


def excess(got: Array, plan: Plan, a: Array, b: Array) -> Array:
    """Each entry's error as a multiple of its bound; infinite where the bound is zero and the error is not."""
    wide = np.longdouble if plan.dtype == "float64" else np.float64
    a, b = a.astype(wide), b.astype(wide)
    error = np.abs(got - DEFINITIONS[plan.role](a, b, plan.geometry))
    scale = _SCALES[plan.error_scale](plan.role, a, b, plan.geometry)
    allowed = plan.error_bound * np.finfo(plan.dtype).eps * np.broadcast_to(scale, error.shape)
    with np.errstate(divide="ignore"):
        ratio: Array = np.divide(error, allowed, where=error > 0, out=np.zeros_like(error))
    return ratio


def _entry_scale(role: str, a: Array, b: Array, g: Geometry) -> Array:
    scale: Array = DEFINITIONS[role](np.abs(a), np.abs(b), g)
    return scale


def _norm_scale(role: str, a: Array, b: Array, g: Geometry) -> Array:
    """The norms of the parts of both arrays that an entry sums over."""

    def norms(array: Array, kept: int) -> Array:
        found: Array = np.sqrt(np.sum(np.square(array), axis=tuple(range(kept, array.ndim))))
        return found

    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    if role == "forward":
        per_group = norms(a.reshape(g.batch, g.groups, -1), 2)
        scale = np.repeat(per_group, oc, axis=1) * norms(b, 1)
    elif role == "input_grad":
        per_group = norms(a.reshape(g.batch, g.groups, -1), 2)
        scale = np.repeat(per_group, ic, axis=1) * norms(b.reshape(g.groups, oc, ic, -1).swapaxes(1, 2), 2).ravel()
    else:
        gy, x = norms(a.swapaxes(0, 1), 1), norms(b.swapaxes(0, 1), 1)
        scale = gy[:, None] * np.repeat(x.reshape(g.groups, ic), oc, axis=0)
    return scale.reshape(*scale.shape, *(1,) * g.rank)


_SCALES = {"entry": _entry_scale, "norm": _norm_scale}
