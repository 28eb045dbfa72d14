"""What hypothesis draws: every draw is valid, every remainder of a stride occurs, nothing is filtered."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st
from oracles import Problem

from convgrad.boundary import MODES
from convgrad.errors import GeometryError
from convgrad.geometry import Axis, Geometry


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    """Draw the output size and the remainder, derive the input."""
    kernel, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    output, remainder = draw(st.integers(1, 4)), draw(st.integers(0, stride - 1))
    padded = (output - 1) * stride + (kernel - 1) * dilation + 1 + remainder
    before = draw(st.integers(0, min(4, padded - 1)))
    after = draw(st.integers(0, min(4, padded - 1 - before)))
    return Axis(padded - before - after, kernel, stride, dilation, before, after)


@st.composite
def bordered_axes(draw: st.DrawFn, fill: float) -> Axis:
    """Any mode, with padding wider than the input and below zero; draw the output size, derive what is read."""
    kernel, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    output, remainder = draw(st.integers(1, 4)), draw(st.integers(0, stride - 1))
    padded = (output - 1) * stride + (kernel - 1) * dilation + 1 + remainder
    size, before, mode = draw(st.integers(1, 6)), draw(st.integers(-4, 8)), draw(st.sampled_from(MODES))
    return Axis(size, kernel, stride, dilation, before, padded - size - before, mode, fill * (mode == "constant"))


@st.composite
def bordered_problems(draw: st.DrawFn, dtype: str | None = None) -> Problem:
    """As `problems`, with every kind of border."""
    groups, fill = draw(st.integers(1, 2)), float(draw(st.integers(1, 3)))
    batch, ic, oc = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    drawn = tuple(draw(bordered_axes(fill)) for _ in range(draw(st.integers(1, 3))))
    geometry = Geometry(batch, groups * ic, groups * oc, groups, drawn)
    while geometry.products > 6000:
        geometry = _smaller(geometry)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return whole_numbers(geometry, rng, dtype or draw(st.sampled_from(["float32", "float64"])))


@st.composite
def geometries(draw: st.DrawFn, max_rank: int = 3) -> Geometry:
    groups = draw(st.integers(1, 3))
    batch, ic, oc = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rank = draw(st.integers(1, max_rank))
    drawn = tuple(draw(axes()) for _ in range(rank))
    return Geometry(batch, groups * ic, groups * oc, groups, drawn)


@st.composite
def problems(draw: st.DrawFn, max_rank: int = 3, dtype: str | None = None) -> Problem:
    """A geometry of at most some thousand products, with whole numbers in -8..8 stored as floats."""
    geometry = draw(geometries(max_rank))
    while geometry.products > 6000:  # shrink the problem, not the lattice: options stay as drawn
        geometry = _smaller(geometry)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return whole_numbers(geometry, rng, dtype or draw(st.sampled_from(["float32", "float64"])))


def whole_numbers(geometry: Geometry, rng: np.random.Generator, dtype: str = "float64") -> Problem:
    def draw(shape: tuple[int, ...]) -> Any:
        return rng.integers(-8, 9, shape).astype(dtype)

    return Problem(geometry, draw(geometry.input_shape), draw(geometry.weight_shape), draw(geometry.output_shape))


def every_axis(inputs: range, kernels: range, strides: range, dilations: range, paddings: range) -> list[Axis]:
    """Every valid axis with numbers in the given ranges."""
    found = []
    for numbers in itertools.product(inputs, kernels, strides, dilations, paddings, paddings):
        try:
            found.append(Axis(*numbers))
        except GeometryError:
            continue
    return found


def _smaller(g: Geometry) -> Geometry:
    if g.batch > 1:
        return g.with_batch(g.batch - 1)
    if g.rank > 1:
        return Geometry(1, g.in_channels, g.out_channels, g.groups, g.axes[1:])
    return Geometry(1, g.groups, g.groups, g.groups, g.axes)
