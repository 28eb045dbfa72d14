"""Arrays of bfloat16: products are exact in float32, sums are float32's to the end, the result is rounded once.

Matrix tiles read and write such arrays as they are. Everything else is computed in float32, some images at a time.
NumPy gets the dtype from `ml_dtypes`, as JAX's arrays have it; nothing here needs it before such an array comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithms.compensated import CompensatedSum
from .geometry import Geometry
from .plan import Plan, of_batch

Array = NDArray[Any]
Execute = Callable[[Plan, Array, Array, Array], Array]

DTYPE = "bfloat16"
WIDE = "float32"
EPS_OF_WIDE = 2.0**-16  # float32's eps, in that of bfloat16
TOGETHER_BYTES = 4 << 20  # of the images that are converted together
SECONDS_PER_NUMBER = 1e-9  # converted


@dataclass(frozen=True, slots=True)
class Widened:
    """The parameters of a plan that converts: the float32 plan, for one image."""

    plan: Plan

    @property
    def together(self) -> int:
        """Images that are converted together."""
        return max(1, TOGETHER_BYTES // max(1, 4 * _numbers(self.plan.geometry)))

    def __str__(self) -> str:
        return f"in float32: {self.plan.parameters}"


def plan(role: str, geometry: Geometry, wide: Plan) -> Plan:
    """The plan that computes by this float32 plan."""
    widened = Widened(wide)
    weights = 3 * math.prod(geometry.weight_shape)  # a copy, or a result and the sums of others
    return Plan(
        role=role,
        geometry=geometry,
        dtype=DTYPE,
        algorithm=wide.algorithm,
        parameters=widened,
        workspace_bytes=wide.workspace_bytes + 4 * (widened.together * _numbers(wide.geometry) + weights),
        # the last rounding, and one more for every block of images of a weight gradient
        error_bound=(wide.error_bound + 2) * EPS_OF_WIDE + 0.5,
        why=wide.why,
        rejected=wide.rejected,
        operations=2 * geometry.products,
        error_scale=wide.error_scale,
    )


def seconds(geometry: Geometry) -> float:
    """What converting one image and the weights is estimated to take."""
    return (_numbers(geometry) + math.prod(geometry.weight_shape)) * SECONDS_PER_NUMBER


def run(plan: Plan, a: Array, b: Array, out: Array, execute: Execute) -> None:
    """Compute `plan.role` of `a` and `b` into `out`."""
    widened = plan.parameters
    assert isinstance(widened, Widened)
    summed = plan.role == "weight_grad"
    total = CompensatedSum(out.shape, np.dtype(WIDE)) if summed else None
    weights = b if summed else b.astype(WIDE)
    for start in range(0, len(a), widened.together):
        images = slice(start, start + widened.together)
        first, second = a[images].astype(WIDE), b[images].astype(WIDE) if summed else weights
        found = np.empty(out.shape if summed else out[images].shape, WIDE)
        execute(of_batch(widened.plan, len(first)), first, second, found)
        if total is None:
            out[images] = found
        else:
            total.add(found)
    if total is not None:
        out[...] = total.value()


def _numbers(g: Geometry) -> int:
    """Of the input and the output of one image."""
    one = g.with_batch(1)
    return math.prod(one.input_shape) + math.prod(one.output_shape)
