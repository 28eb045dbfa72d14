"""Borders: every algorithm, cut either way, against the definition, and modes by what defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, assert_within_bound
from strategies import bordered_problems, whole_numbers

import convgrad as cg
from convgrad import api, choose, definition, pieces
from convgrad.api import compute, plan_for
from convgrad.assemble import Assembly, add_back, fetch
from convgrad.geometry import Axis, Geometry
from convgrad.plan import ROLES
from convgrad.spelling import parse, spell

WAYS = {"whole": (pieces.whole,), "borders": (pieces.borders,), "the quicker": (pieces.whole, pieces.borders)}
NUMPY = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric", "circular": "wrap", "zeros": "constant"}


@pytest.fixture(params=WAYS, scope="module")
def way(request: pytest.FixtureRequest) -> Any:
    """Each way to cut, with no plan remembered from another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "WAYS", WAYS[request.param])
        forget()
        yield request.param
    forget()


def forget() -> None:
    choose._choose.cache_clear()
    choose._choose_for_one_image.cache_clear()
    for function in (api._CONV, api._INPUT_GRAD, api._WEIGHT_GRAD):
        function.seen.clear()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("algorithm", ["shifted", "im2col", None])
@given(problem=bordered_problems())
def test_every_border_is_the_definition(role: str, algorithm: str | None, way: str, problem: Problem) -> None:
    a, b = problem.arguments(role)
    got = compute(role, problem.geometry, a, b, algorithm=algorithm)
    assert_same(got, DEFINITIONS[role](a, b, problem.geometry))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("algorithm", ["fourier", None])
@given(problem=bordered_problems(), seed=st.integers(0, 99))
def test_real_data_stays_within_the_bound(
    role: str, algorithm: str | None, way: str, problem: Problem, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dtype = problem.x.dtype
    a, b = (rng.standard_normal(array.shape).astype(dtype) for array in problem.arguments(role))
    try:
        plan = plan_for(role, problem.geometry, dtype=dtype, algorithm=algorithm)
    except cg.errors.UnsupportedError:  # without a compiler
        return
    got = compute(role, problem.geometry, a, b, algorithm=algorithm)
    assert_within_bound(got, plan, a, b)


@given(bordered_problems("float64"))
def test_one_trilinear_form_with_any_border(problem: Problem) -> None:
    g = problem.geometry.linear
    y = compute("forward", g, problem.x, problem.w)
    gx, gw = compute("input_grad", g, problem.gy, problem.w), compute("weight_grad", g, problem.gy, problem.x)
    assert np.sum(y * problem.gy) == np.sum(problem.x * gx) == np.sum(problem.w * gw)


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("batch", [1, 5])
def test_padding_is_what_numpy_pads_before(mode: str, batch: int, way: str) -> None:
    x, w = draw(batch, 4, 11, 13), draw(6, 2, 3, 5)
    padding = ((2, 1), (3, 4))
    wide = np.pad(x, ((0, 0), (0, 0), *padding), mode=NUMPY[mode])
    options: dict[str, Any] = {"stride": (1, 2), "dilation": (2, 1), "groups": 2}
    got = cg.conv(x, w, padding=padding, padding_mode=mode, **options)
    assert_same(got, cg.conv(wide, w, **options))
    gw = cg.conv_weight_grad(got, x, kernel_size=(3, 5), padding=padding, padding_mode=mode, **options)
    assert_same(gw, cg.conv_weight_grad(got, wide, kernel_size=(3, 5), **options))


def test_padding_below_zero_cuts_the_input_off(way: str) -> None:
    x, w = draw(2, 2, 9, 8), draw(3, 2, 3, 2)
    y = cg.conv(x, w, padding=((-2, -1), (1, -3)))
    assert_same(y, cg.conv(np.pad(x[:, :, 2:8, :5], ((0, 0), (0, 0), (0, 0), (1, 0))), w))
    gx = cg.conv_input_grad(y, w, input_size=(9, 8), padding=((-2, -1), (1, -3)))
    assert np.count_nonzero(gx[:, :, :2]) == np.count_nonzero(gx[:, :, 8:]) == np.count_nonzero(gx[..., 5:]) == 0
    assert_same(gx[:, :, 2:8, :5], cg.conv_input_grad(y, w, input_size=(6, 5), padding=((0, 0), (1, 0))))


def test_a_circular_convolution_commutes_with_rolling(way: str) -> None:
    x, w = draw(1, 2, 7, 6), draw(2, 2, 3, 3)
    options: dict[str, Any] = {"padding": "same", "padding_mode": "circular"}
    rolled = cg.conv(np.roll(x, (2, 5), (2, 3)), w, **options)
    assert_same(rolled, np.roll(cg.conv(x, w, **options), (2, 5), (2, 3)))


def test_circular_padding_wraps_as_often_as_needed(way: str) -> None:
    x, w = np.array([[[1.0, 2, 3]]]), np.ones((1, 1, 1))
    assert cg.conv(x, w, padding=(7,), padding_mode="circular")[0, 0].tolist() == [3, 1, 2] * 5 + [3, 1]


def test_a_constant_border_shifts_the_output_by_what_its_taps_weigh(way: str) -> None:
    x, w = draw(2, 3, 6, 5), draw(2, 3, 3, 3)
    constant: dict[str, Any] = {"padding": 1, "padding_mode": "constant", "padding_value": 2.5}
    # x - 2.5 with zeros around it is x with 2.5 around it, but for 2.5 times the whole kernel
    expected = cg.conv(x - 2.5, w, padding=1) + 2.5 * w.sum(axis=(1, 2, 3)).reshape(1, 2, 1, 1)
    assert_same(cg.conv(x, w, **constant), expected)


def test_in_a_corner_the_last_axis_decides(way: str) -> None:
    x, w = np.array([[[[5.0]]]]), np.ones((1, 1, 1, 1))
    y = cg.conv(x, w, padding=1, padding_mode=("constant", "zeros"), padding_value=3)
    assert y[0, 0].tolist() == [[0, 3, 0], [0, 5, 0], [0, 3, 0]]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("spelling", ["ic3 oc4 i40x40 k3x3 p2 mreflect", "ic2 oc2 i300 k5 p9 mcircular s2"])
def test_an_image_has_the_same_bits_in_any_batch(role: str, spelling: str, way: str) -> None:
    g = parse(spelling)
    rng = np.random.default_rng(3)
    one = Problem(g, *(rng.standard_normal(s) for s in (g.input_shape, g.weight_shape, g.output_shape)))
    a, b = one.arguments(role)
    alone = compute(role, g, a, b)
    if role == "weight_grad":
        assert_same(compute(role, g.with_batch(4), *(np.concatenate([z, *[0 * z] * 3]) for z in (a, b))), alone)
    else:
        assert_same(compute(role, g.with_batch(4), np.concatenate([a] * 4), b)[3:], alone)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "circular"])
@pytest.mark.parametrize("layout", ["C", "F", "negative"])
def test_results_are_written_where_they_are_wanted(mode: str, layout: str, way: str) -> None:
    x, w = draw(2, 2, 6, 7), draw(2, 2, 3, 3)
    out = np.full((2, 2, 6, 7), np.nan, order="F" if layout == "F" else "C")
    if layout == "negative":
        out = out[:, :, ::-1, ::-1]
    for role, a, b in (("forward", x, w), ("input_grad", x, w)):
        g = Geometry(2, 2, 2, 1, (Axis(6, 3, 1, 1, 1, 1, mode), Axis(7, 3, 1, 1, 1, 1, mode)))
        out[...] = np.nan
        assert compute(role, g, a, b, out=out) is out
        assert_same(out, DEFINITIONS[role](a, b, g))


def test_nothing_read_twice_is_counted_once_and_nothing_unread_counts() -> None:
    # the gradient by an input is the number of (output, tap) pairs that read it
    ones = np.ones((1, 1, 4))
    gx = cg.conv_input_grad(ones, ones[:, :, :3], input_size=4, padding=1, padding_mode="edge")
    assert gx[0, 0].tolist() == [3, 3, 3, 3]
    gx = cg.conv_input_grad(ones[:, :, :2], ones[:, :, :3], input_size=6, stride=2, padding_mode="reflect")
    assert gx[0, 0].tolist() == [1, 1, 2, 1, 1, 0]


@pytest.mark.parametrize("name", ["fetch", "add_back"])
def test_fetch_and_add_back_are_adjoint(name: str) -> None:
    g = Geometry(
        1, 1, 1, 1, tuple(Axis(n, 2, 1, 1, 5, 4, m) for n, m in ((3, "reflect"), (4, "edge"), (2, "circular")))
    )
    for piece in (*pieces.whole(g), *pieces.borders(g)):
        x = draw(*g.input_shape)
        box = fetch(x, piece)
        other, gx = draw(*box.shape), np.zeros_like(x)
        add_back(other, piece, gx)
        assert np.sum(box * other) == np.sum(x * gx)


def test_the_two_ways_are_both_taken() -> None:
    small, large = (plan_for("forward", f"ic1 oc1 i{n}x{n} k3x3 p1 mcircular").parameters for n in (8, 1024))
    assert isinstance(small, Assembly) and isinstance(large, Assembly)
    assert (small.way, large.way) == ("whole", "borders")
    assert len(large.parts) == 5


def test_cropping_alone_copies_nothing() -> None:
    plan = plan_for("forward", "ic1 oc1 i64x64 k3x3 p-2")
    assert isinstance(plan.parameters, Assembly) and len(plan.parameters.parts) == 1
    assert plan.parameters.parts[0].piece.in_place and "in place" in str(plan)


def test_a_window_of_zeros_only_gives_zeros() -> None:
    y = cg.conv(np.ones((1, 1, 3)), np.ones((1, 1, 1)), padding=((-5, 4),))
    assert y[0, 0].tolist() == [0, 0]


def test_the_extended_input_is_what_windows_read() -> None:
    g = parse("ic2 oc1 i5x4 k3x2 p2x-1 mcircular")
    x = whole_numbers(g, np.random.default_rng(0)).x
    w = np.zeros(g.weight_shape)
    w[0, 1, 0, 1] = 1
    read = definition.extended(x, g)
    assert_same(compute("forward", g, x, w)[0, 0], read[0, 1, :-2, 1:])


@given(bordered_problems("float64"))
def test_every_border_has_a_spelling(problem: Problem) -> None:
    assert parse(spell(problem.geometry)) == problem.geometry


def draw(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).integers(-8, 9, shape).astype("float64")
