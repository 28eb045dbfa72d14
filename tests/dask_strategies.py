"""What hypothesis draws of chunked problems: the lattice of geometries, each array cut anyhow along every axis."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from oracles import Array, Problem
from strategies import bordered_problems, problems

from convgrad.geometry import Geometry

Chunks = tuple[tuple[int, ...], ...]


@st.composite
def cuts(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """Lengths that add up to `size`: uneven, often shorter than a kernel, sometimes one for all."""
    borders = draw(st.sets(st.integers(1, size - 1), max_size=4)) if size > 1 else set()
    edges = [0, *sorted(borders), size]
    return tuple(b - a for a, b in itertools.pairwise(edges))


@dataclass(frozen=True)
class Chunked:
    """A problem, the chunks of its arrays, and those of two results; None where the call leaves them out."""

    problem: Problem
    x: Chunks
    w: Chunks | None  # None: a NumPy array
    gy: Chunks
    y: Chunks | None
    gx: Chunks | None


@st.composite
def chunked(draw: st.DrawFn, max_rank: int = 3, real: bool = False) -> Chunked:
    """Whole numbers, or real ones whose sums round."""
    problem = draw(st.one_of(problems(max_rank), bordered_problems()))
    if real:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        problem = Problem(problem.geometry, *(_real(a, rng) for a in (problem.x, problem.w, problem.gy)))

    def cut(shape: tuple[int, ...]) -> Chunks:
        return tuple(draw(cuts(size)) for size in shape)

    def maybe(shape: tuple[int, ...]) -> Chunks | None:
        return cut(shape) if draw(st.booleans()) else None

    x, w, gy = (array.shape for array in (problem.x, problem.w, problem.gy))
    return Chunked(problem, cut(x), maybe(w), cut(gy), maybe(gy), maybe(x))


def options(g: Geometry) -> dict[str, Any]:
    """The geometry as the options of a call."""
    return {
        "stride": tuple(axis.stride for axis in g.axes),
        "padding": tuple((axis.before, axis.after) for axis in g.axes),
        "dilation": tuple(axis.dilation for axis in g.axes),
        "groups": g.groups,
        "padding_mode": tuple(axis.mode for axis in g.axes),
        "padding_value": max((axis.fill for axis in g.axes), key=abs),
    }


def _real(array: Array, rng: np.random.Generator) -> Array:
    return rng.standard_normal(array.shape).astype(array.dtype)
