"""Integers, exactly: by floating-point convolutions that cannot round, or an error where the result could overflow.

A float holds whole numbers up to 2^24 (float32) or 2^53 (float64) without rounding, so sums that stay below are exact
in any order. Larger operands are cut into limbs of few bits, whose products are added as 64-bit integers. How large the
sums can get follows from the largest operands and the number of terms; where that is more than the result holds, no
result is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pieces
from .assemble import fetch
from .errors import UnsupportedError
from .geometry import Geometry
from .plan import Plan, of_batch

Array = NDArray[Any]
Execute = Callable[[Plan, Array, Array, Array], Array]

DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
RESULTS = ("int64", "uint64")
HOLDS = {"float32": 24, "float64": 53}  # bits of a whole number
TOGETHER_BYTES = 4 << 20  # of the images that are converted together


@dataclass(frozen=True, slots=True)
class Exactly:
    """The parameters of an integer plan: the real plans, for one image, between which the operands' size decides."""

    narrow: Plan  # float32
    wide: Plan  # float64

    def __str__(self) -> str:
        return f"exact sums: float32 below 2^24, float64 below 2^53, else limbs; {self.wide.parameters}"


def result_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """uint64 if all are unsigned, else int64: as `numpy.sum` accumulates."""
    return np.dtype("uint64" if all(dtype.kind == "u" for dtype in dtypes) else "int64")


def plan(role: str, geometry: Geometry, dtype: str, narrow: Plan, wide: Plan) -> Plan:
    """The plan that computes integers by these real plans."""
    return Plan(
        role=role,
        geometry=geometry,
        dtype=dtype,
        algorithm=wide.algorithm,
        parameters=Exactly(narrow, wide),
        workspace_bytes=max(narrow.workspace_bytes, wide.workspace_bytes) + 3 * TOGETHER_BYTES,
        error_bound=0.0,
        why=wide.why,
        rejected=wide.rejected,
        operations=2 * geometry.products,
    )


def run(plan: Plan, a: Array, b: Array, out: Array, execute: Execute) -> None:
    """Compute `plan.role` of integer arrays into `out`, or say by how much the sums could overflow."""
    parameters = plan.parameters
    assert isinstance(parameters, Exactly)
    terms, fill = most_terms(plan.role, plan.geometry), abs(int(plan.geometry.fill.real))
    largest = [magnitude(a), magnitude(b)]
    if plan.role != "input_grad":
        place = 0 if plan.role == "forward" else 1
        largest[place] = max(largest[place], fill)
    bound = terms * largest[0] * largest[1]
    most = int(np.iinfo(out.dtype).max)
    if bound > most:
        a_name, b_name = {"forward": "xw", "input_grad": ("gy", "w"), "weight_grad": ("gy", "x")}[plan.role]
        raise UnsupportedError(
            f"{a_name}, {b_name}",
            f"up to {largest[0]} and {largest[1]}",
            f"sums of {terms} products can reach {bound}, and {out.dtype.name} holds {most}",
            "smaller numbers, or floats, as from x.astype('float64')",
        )
    one = parameters.narrow if bound < 1 << HOLDS["float32"] else parameters.wide
    spare = HOLDS[one.dtype] - terms.bit_length()
    cuts = [Cut.of(number.bit_length(), spare) for number in largest]
    out[...] = 0
    summed = plan.role == "weight_grad"
    together = max(1, TOGETHER_BYTES // max(1, math.prod(one.geometry.input_shape) * 8))
    border = pieces.whole(plan.geometry)[0] if plan.geometry.fill != 0 else None
    for start in range(0, len(a), together):
        images = slice(start, start + together)
        one_a, one_b = a[images], b[images] if summed else b
        if border is not None:
            one_a, one_b = (one_a, fetch(one_b, border)) if summed else (fetch(one_a, border), one_b)
        target = out if summed else out[images]
        batch = of_batch(one, len(one_a))
        for first, low in cuts[0].limbs(one_a, one.dtype):
            for second, high in cuts[1].limbs(one_b, one.dtype):
                found = execute(batch, first, second, np.empty(target.shape, one.dtype))
                # sums of limbs may pass the range in between, and come back: integers wrap
                target += found.astype("int64").astype(out.dtype) << out.dtype.type(low + high)


@dataclass(frozen=True, slots=True)
class Cut:
    """Whole numbers as `count` limbs of `bits` bits; the last one holds the sign and what is left."""

    count: int
    bits: int

    @classmethod
    def of(cls, size: int, spare: int) -> Cut:
        """For numbers of `size` bits, where two limbs may have `spare` bits together."""
        bits = max(1, spare // 2)
        return cls(max(1, -(-size // bits)), bits)

    def limbs(self, array: Array, dtype: str) -> Iterator[tuple[Array, int]]:
        """Each limb as floats, and the place of its lowest bit."""
        if self.count == 1:
            yield array.astype(dtype), 0
            return
        wide = array.astype("uint64" if array.dtype.kind == "u" else "int64")
        for number in range(self.count):
            place = number * self.bits
            limb = wide >> wide.dtype.type(place)
            if number < self.count - 1:
                limb &= wide.dtype.type((1 << self.bits) - 1)
            yield limb.astype(dtype), place


def magnitude(array: Array) -> int:
    """The largest absolute value."""
    return max(abs(int(array.min())), abs(int(array.max()))) if array.size else 0


def most_terms(role: str, g: Geometry) -> int:
    """How many products an entry of the result sums at most."""
    if role == "forward":
        return g.in_channels_per_group * math.prod(g.kernel_size)
    if role == "weight_grad":
        return g.batch * math.prod(g.output_size)
    return g.out_channels_per_group * math.prod(axis.kernel * axis.most_stands for axis in g.axes)
