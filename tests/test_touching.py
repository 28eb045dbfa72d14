"""touches: for every entry exactly the products of the definition in which it stands, in their order."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from oracles import Problem
from strategies import bordered_problems, geometries

from convgrad import Geometry, GeometryError, definition, touches


@given(geometries())
def test_touches_are_the_terms_of_the_definition_that_hold_the_entry(g: Geometry) -> None:
    terms = list(definition.terms(g))
    for name, place, shape in (("x", 0, g.input_shape), ("w", 1, g.weight_shape), ("y", 2, g.output_shape)):
        wanted: dict[tuple[int, ...], list[object]] = {index: [] for index in np.ndindex(*shape)}
        for term in terms:
            wanted[term[place]].append(term)
        for index, products in wanted.items():
            assert [(t.x, t.w, t.y) for t in touches(g, **{name: index})] == products


@given(bordered_problems())
def test_touches_are_the_terms_with_any_border(problem: Problem) -> None:
    g = problem.geometry
    terms = list(definition.terms(g))
    for name, place, shape in (("x", 0, g.input_shape), ("w", 1, g.weight_shape), ("y", 2, g.output_shape)):
        for index in list(np.ndindex(*shape))[:: max(1, math.prod(shape) // 7)]:
            found = [(t.x, t.w, t.y) for t in touches(g, **{name: index})]
            assert found == [term for term in terms if term[place] == index]


def test_a_pixel_at_the_end_is_met_where_it_is_repeated() -> None:
    found = touches("i4 k2 p1 medge", x=(0, 0, 0))
    assert [(touch.y[2], touch.w[2]) for touch in found] == [(0, 0), (0, 1), (1, 0)]


def test_a_pixel_in_the_middle_meets_the_taps_backwards() -> None:
    found = touches("i5x5 k3x3", x=(0, 0, 2, 2))
    assert [touch.y[2:] for touch in found] == list(np.ndindex(3, 3))
    assert [touch.w[2:] for touch in found] == list(np.ndindex(3, 3))[::-1]


def test_an_unread_pixel_meets_nobody() -> None:
    assert touches("i6 k3 s2", x=(0, 0, 5)) == []


def test_a_gradient_is_the_sum_over_its_touches() -> None:
    g = Geometry(2, 4, 6, 2, convgrad_axes())
    rng = np.random.default_rng(0)
    gy, w = rng.integers(-9, 9, g.output_shape), rng.integers(-9, 9, g.weight_shape)
    gx = definition.input_grad(gy, w, g)
    for index in ((0, 0, 0, 0), (1, 3, 2, 4), (1, 2, 5, 6)):
        assert sum(int(gy[touch.y] * w[touch.w]) for touch in touches(g, x=index)) == gx[index]


def convgrad_axes() -> tuple[definition.Axis, ...]:
    return definition.Axis(6, 3, stride=2, before=1, after=2), definition.Axis(7, 2, dilation=3, before=2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "x, w, y = 'none': the entries of 0 arrays are asked for"),
        ({"x": (0, 0, 0), "w": (0, 0, 0)}, "x, w, y = 'x, w': the entries of 2 arrays are asked for"),
        ({"x": (0, 0, 5)}, "x = (0, 0, 5): lies outside of x, whose shape is 1x1x5"),
        ({"x": (0, 0, -1)}, "x = (0, 0, -1): lies outside of x"),
        ({"w": (0, 0)}, "w = (0, 0): lies outside of w, whose shape is 1x1x3"),
        ({"y": (0, 0, 0.5)}, "y = (0, 0, 0.5): is not a tuple of whole numbers"),
        ({"y": 3}, "y = 3: is not a tuple of whole numbers"),
    ],
)
def test_what_names_no_entry_is_refused(asked: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(GeometryError, match=re.escape(message)):
        touches("i5 k3", **asked)
