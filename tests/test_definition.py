"""The definition: digits that one can check by eye, and one property per option that defines it by removing it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from oracles import Problem, assert_same
from strategies import problems

from convgrad import definition
from convgrad.geometry import Axis, Geometry

X = np.array([[[1.0, 2, 3, 4, 5]]])
W = np.array([[[1.0, 10, 100]]])


def line(**numbers: int) -> Geometry:
    return Geometry(1, 1, 1, 1, (Axis(**numbers),))


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ({"input": 5, "kernel": 3}, [321, 432, 543]),
        ({"input": 5, "kernel": 3, "stride": 2}, [321, 543]),
        ({"input": 5, "kernel": 3, "dilation": 2}, [531]),
        ({"input": 5, "kernel": 3, "before": 1, "after": 1}, [210, 321, 432, 543, 54]),
        ({"input": 5, "kernel": 3, "before": 2}, [100, 210, 321, 432, 543]),
    ],
)
def test_a_digit_kernel_spells_each_window_from_its_last_tap(axis: dict[str, int], expected: list[int]) -> None:
    assert definition.forward(X, W, line(**axis)).ravel().tolist() == expected


def test_the_input_gradient_stamps_the_kernel_where_the_output_was() -> None:
    gy = np.array([[[0.0, 1, 0]]])
    assert definition.input_grad(gy, W, line(input=5, kernel=3)).ravel().tolist() == [0, 1, 10, 100, 0]


def test_the_weight_gradient_reads_the_window_that_each_tap_saw() -> None:
    gy = np.array([[[1.0, 10, 100]]])
    assert definition.weight_grad(gy, X, line(input=5, kernel=3)).ravel().tolist() == [321, 432, 543]


def test_the_bias_gradient_sums_each_channel() -> None:
    gy = np.arange(12.0).reshape(2, 2, 3)
    assert definition.bias_grad(gy).tolist() == [0 + 1 + 2 + 6 + 7 + 8, 3 + 4 + 5 + 9 + 10 + 11]


@given(problems())
def test_the_three_functions_are_one_trilinear_form(p: Problem) -> None:
    g = p.geometry
    y, gx, gw = (
        definition.forward(p.x, p.w, g),
        definition.input_grad(p.gy, p.w, g),
        definition.weight_grad(p.gy, p.x, g),
    )
    assert np.vdot(y, p.gy) == np.vdot(p.x, gx) == np.vdot(p.w, gw)


@given(problems())
def test_padding_is_zeros_around_the_input(p: Problem) -> None:
    g = p.geometry
    wide = np.pad(p.x, [(0, 0), (0, 0), *((a.before, a.after) for a in g.axes)])
    bare = replace(g, axes=tuple(replace(a, input=a.padded, before=0, after=0) for a in g.axes))
    assert_same(definition.forward(p.x, p.w, g), definition.forward(wide, p.w, bare))


@given(problems())
def test_stride_is_a_subsample_of_stride_one(p: Problem) -> None:
    g = p.geometry
    dense = replace(g, axes=tuple(replace(a, stride=1) for a in g.axes))
    every = (..., *(slice(None, None, a.stride) for a in g.axes))
    assert_same(definition.forward(p.x, p.w, g), definition.forward(p.x, p.w, dense)[every])


@given(problems())
def test_dilation_is_a_kernel_with_holes(p: Problem) -> None:
    g = p.geometry
    holes = np.zeros(p.w.shape[:2] + tuple(a.span for a in g.axes), p.w.dtype)
    holes[(..., *(slice(None, None, a.dilation) for a in g.axes))] = p.w
    tight = replace(g, axes=tuple(replace(a, kernel=a.span, dilation=1) for a in g.axes))
    assert_same(definition.forward(p.x, p.w, g), definition.forward(p.x, holes, tight))


@given(problems())
def test_groups_are_convolutions_side_by_side(p: Problem) -> None:
    g = p.geometry
    one = replace(g, groups=1, in_channels=g.in_channels_per_group, out_channels=g.out_channels_per_group)
    xs, ws = np.split(p.x, g.groups, axis=1), np.split(p.w, g.groups, axis=0)
    parts = [definition.forward(x, w, one) for x, w in zip(xs, ws, strict=True)]
    assert_same(definition.forward(p.x, p.w, g), np.concatenate(parts, axis=1))


@given(problems())
def test_batch_entries_do_not_see_each_other(p: Problem) -> None:
    g = p.geometry
    parts = [definition.forward(p.x[n : n + 1], p.w, g.with_batch(1)) for n in range(g.batch)]
    assert_same(definition.forward(p.x, p.w, g), np.concatenate(parts))


@given(problems(max_rank=2))
def test_a_kernel_of_one_tap_is_a_matrix_product(p: Problem) -> None:
    g = replace(p.geometry, groups=1, axes=tuple(Axis(a.input, 1) for a in p.geometry.axes))
    w = np.resize(p.w, g.weight_shape)
    expected = np.einsum("oi,ni...->no...", w.reshape(w.shape[:2]), p.x)
    assert_same(definition.forward(p.x, w, g), expected)


@given(problems())
def test_reversing_the_axes_of_everything_reverses_those_of_the_output(p: Problem) -> None:
    g = p.geometry
    turn = (0, 1, *range(g.rank + 1, 1, -1))
    turned = replace(g, axes=g.axes[::-1])
    got = definition.forward(p.x.transpose(turn), p.w.transpose(turn), turned)
    assert_same(got.transpose(turn), definition.forward(p.x, p.w, g))


@given(problems())
def test_a_unit_step_in_the_input_changes_the_loss_by_the_gradient(p: Problem) -> None:
    g = p.geometry
    gx, before = definition.input_grad(p.gy, p.w, g), np.vdot(definition.forward(p.x, p.w, g), p.gy)
    for index in list(np.ndindex(p.x.shape))[:: max(1, p.x.size // 5)]:
        step = p.x.copy()
        step[index] += 1
        assert np.vdot(definition.forward(step, p.w, g), p.gy) - before == gx[index]


@given(problems(max_rank=1))
def test_scipy_agrees_about_one_channel(p: Problem) -> None:
    from scipy.signal import correlate

    g = Geometry(1, 1, 1, 1, (replace(p.geometry.axes[0], stride=1, dilation=1),))
    wide = np.pad(p.x[0, 0], (g.axes[0].before, g.axes[0].after))
    expected = correlate(wide, p.w[0, 0], mode="valid", method="direct")
    assert_same(definition.forward(p.x[:1, :1], p.w[:1, :1], g)[0, 0], expected)


def test_the_definition_works_on_exact_fractions() -> None:
    from fractions import Fraction

    x = np.array([[[Fraction(1, 3), Fraction(1, 7), Fraction(2, 5)]]])
    w = np.array([[[Fraction(3), Fraction(7)]]])
    assert definition.forward(x, w, line(input=3, kernel=2)).ravel().tolist() == [2, Fraction(113, 35)]
