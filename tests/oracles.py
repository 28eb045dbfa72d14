"""The only two comparisons of numbers in this suite, and the problems that they judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgrad import definition
from convgrad.conformance.oracle import tap_by_tap
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
    wide = {"float64": np.longdouble, "complex64": np.complex128, "complex128": np.clongdouble}.get(
        plan.dtype, np.float64
    )
    a, b = a.astype(wide), b.astype(wide)
    error = np.abs(got - wide_result(plan, a, b))
    if plan.error_scale == "norm":
        scale = definition.norms(plan.role, a, b, plan.geometry)
    else:
        scale = wide_result(plan, np.abs(a), np.abs(b))
    allowed = plan.error_bound * eps(plan.dtype) * np.broadcast_to(scale, error.shape)
    with np.errstate(divide="ignore"):
        ratio: Array = np.divide(error, allowed, where=error > 0, out=np.zeros_like(error))
    return ratio


def wide_result(plan: Plan, a: Array, b: Array) -> Array:
    """The definition; where the border is zeros, by the conformance kit's oracle, which is it (and tested to be)."""
    g = plan.geometry
    if not g.is_plain:
        return DEFINITIONS[plan.role](a, b, g)
    shape = {"forward": g.output_shape, "input_grad": g.input_shape, "weight_grad": g.weight_shape}[plan.role]
    stride, before, dilation = ([getattr(axis, name) for axis in g.axes] for name in ("stride", "before", "dilation"))
    return tap_by_tap(plan.role, a, b, shape, stride, before, dilation, g.groups, wide=np.result_type(a, b))


def eps(dtype: str) -> float:
    return 2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps)
