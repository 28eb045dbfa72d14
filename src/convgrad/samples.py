"""Weight gradients of each image apart, and their squared norms without keeping them.

Each image is computed as if it were alone, so that its numbers do not depend on the images beside it. Small images are
groups of one convolution, which threads share as they share groups; of large ones, each has all the threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UnsupportedError
from .execute import execute, ready, stacked
from .plan import Plan

Array = NDArray[Any]

REDUCTIONS = ("sum", "none", "sqnorm")
BUFFER_BYTES = 1 << 20  # of gradients whose norms are taken together
BLOCK = 1 << 14  # entries that are squared at a time, in cache


def each(plan: Plan, gy: Array, x: Array, out: Array) -> Array:
    """Fill out (N, OC, IC/groups, *K) with the weight gradient of every image; `plan` is that of one image."""
    images = len(gy)
    lie_well = gy.flags.carray and x.flags.carray and out.flags.carray
    many = stacked(plan, images) if images > 1 and lie_well else None
    if many is not None:
        g = many.geometry
        shapes = g.output_shape, g.input_shape, g.weight_shape
        execute(many, *(array.reshape(shape) for array, shape in zip((gy, x, out), shapes, strict=True)))
        return out
    quick = ready(plan) if lie_well and gy.dtype == x.dtype == plan.dtype else None
    for n in range(images):
        one = gy[n : n + 1], x[n : n + 1], out[n]
        if quick is None or not quick(*one):
            execute(plan, *one)
    return out


def squared_norms(plan: Plan, gy: Array, x: Array, out: Array) -> Array:
    """Fill out (N,) with the sum of the squared entries of the weight gradient of every image."""
    shape, dtype = plan.geometry.weight_shape, np.dtype(plan.dtype)
    together = max(1, BUFFER_BYTES // max(1, math.prod(shape) * dtype.itemsize))
    buffer = np.empty((min(together, len(gy)), *shape), dtype)
    for start in range(0, len(gy), together):
        images = slice(start, start + together)
        found = buffer[: len(gy[images])]
        out[images] = _squared_norms(each(plan, gy[images], x[images], found))
    return out


def norm_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a squared norm: real."""
    return np.empty(0, dtype).real.dtype


def _squared_norms(gw: Array) -> Any:
    """Of each image, added pairwise in float64; of integers exactly."""
    rows = gw.reshape(len(gw), math.prod(gw.shape[1:]))
    if rows.dtype.kind in "iu":
        exact = [sum(int(number) ** 2 for number in row) for row in rows]
        most = int(np.iinfo(rows.dtype).max)
        if max(exact) > most:
            rule = f"has the squared norm {max(exact)}, and {rows.dtype.name} holds {most}"
            raise UnsupportedError("gw", "of an image", rule, "floats, as from gy.astype('float64')")
        return exact
    if rows.dtype.kind == "c":
        rows = rows.view(rows.real.dtype)
    # row by row, so that the order of a sum does not depend on how many rows there are
    return [_squared_norm(row) for row in rows]


def _squared_norm(row: Array) -> Any:
    if row.size <= BLOCK:
        return np.square(row, dtype=np.float64).sum()
    blocks = row[: row.size // BLOCK * BLOCK].reshape(-1, BLOCK)
    sums = [np.square(block, dtype=np.float64).sum() for block in blocks]
    return np.sum(sums) + np.square(row[blocks.size :], dtype=np.float64).sum()
