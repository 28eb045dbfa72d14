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
    """|got - exact| <= plan.error_bound * eps * definition(|a|, |b|), entry by entry."""
    define, wide = DEFINITIONS[plan.role], np.longdouble if plan.dtype == "float64" else np.float64
    exact = define(a.astype(wide), b.astype(wide), plan.geometry)
    scale = define(np.abs(a).astype(wide), np.abs(b).astype(wide), plan.geometry)
    error, allowed = np.abs(got - exact), plan.error_bound * np.finfo(plan.dtype).eps * scale
    worst = np.max(error - allowed, initial=0)
    assert worst <= 0, f"an entry is {worst} beyond its bound"
