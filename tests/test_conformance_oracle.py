"""The kit's oracle is the definition: exhaustively where everything is small, and at random points of the lattice."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given
from oracles import DEFINITIONS, Problem, assert_same
from strategies import every_axis, problems, whole_numbers

from convgrad.conformance.oracle import tap_by_tap
from convgrad.geometry import Axis, Geometry
from convgrad.plan import ROLES


def by_taps(role: str, problem: Problem) -> np.ndarray:
    g = problem.geometry
    stride, before, dilation = ([getattr(axis, name) for axis in g.axes] for name in ("stride", "before", "dilation"))
    shape = problem.result_shape(role)
    return tap_by_tap(role, *problem.arguments(role), shape, stride, before, dilation, g.groups)


SMALL = every_axis(range(1, 5), range(1, 4), range(1, 4), range(1, 3), range(3))


@pytest.mark.parametrize("role", ROLES)
def test_every_small_axis_gives_the_definition(role: str) -> None:
    assert len(SMALL) > 500
    for axis in SMALL:
        problem = whole_numbers(Geometry(1, 2, 2, 2, (axis,)), np.random.default_rng(3))
        assert_same(by_taps(role, problem), DEFINITIONS[role](*problem.arguments(role), problem.geometry))


@pytest.mark.parametrize("role", ROLES)
def test_every_pair_of_tiny_axes_gives_the_definition(role: str) -> None:
    tiny = [Axis(2, 2, 2, 1, 1, 0), Axis(3, 2, 1, 2), Axis(1, 2, 1, 1, 0, 1), Axis(4, 1, 3), Axis(2, 3, 1, 1, 2, 2)]
    for pair in itertools.product(tiny, tiny):
        for n, ic, oc, groups in ((2, 1, 1, 1), (1, 2, 3, 1), (1, 2, 4, 2), (2, 3, 3, 3)):
            problem = whole_numbers(Geometry(n, ic, oc, groups, pair), np.random.default_rng(4))
            assert_same(by_taps(role, problem), DEFINITIONS[role](*problem.arguments(role), problem.geometry))


@pytest.mark.parametrize("role", ROLES)
@given(problem=problems(dtype="float64"))
def test_any_geometry_gives_the_definition(role: str, problem: Problem) -> None:
    assert_same(by_taps(role, problem), DEFINITIONS[role](*problem.arguments(role), problem.geometry))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("empty", [(0, 2, 2), (1, 0, 2), (1, 2, 0)])
def test_no_images_and_no_channels_give_zeros(role: str, empty: tuple[int, int, int]) -> None:
    problem = whole_numbers(Geometry(*empty, 1, (Axis(3, 2),)), np.random.default_rng(5))
    assert_same(by_taps(role, problem), np.zeros(problem.result_shape(role)))


def test_it_is_small_enough_to_be_read_and_needs_numpy_alone() -> None:
    source = inspect.getsource(tap_by_tap)
    assert len(source.splitlines()) < 45
    names: dict[str, object] = {"np": np}
    exec(source.replace("np.ndarray[Any, Any]", "np.ndarray").replace("wide: Any", "wide: type"), names)
