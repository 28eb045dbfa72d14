"""Arrays of bfloat16: the definition rounded once, however computed, in the dtype that NumPy would promote to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, assert_within_bound
from strategies import bordered_problems, problems, whole_numbers

import convgrad as cg
from convgrad import bfloat16
from convgrad.api import compute
from convgrad.choose import choose
from convgrad.execute import execute
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse

BF16 = np.dtype(ml_dtypes.bfloat16)
WITHOUT_TILES = replace(Machine.here(), amx=False)


def narrow(problem: Problem) -> Problem:
    """The same whole numbers: they have five bits."""
    return replace(problem, **{name: getattr(problem, name).astype(BF16) for name in ("x", "w", "gy")})


def rounded(exact: np.ndarray) -> np.ndarray:
    return exact.astype("float32").astype(BF16)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("algorithm", [None, "shifted", "im2col"])
@given(problem=problems(dtype="float32"))
def test_whole_numbers_give_the_definition_rounded_once(problem: Problem, algorithm: str | None, role: str) -> None:
    exact = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    got = compute(role, problem.geometry, *narrow(problem).arguments(role), algorithm=algorithm)
    assert_same(got, rounded(exact))


@pytest.mark.parametrize("role", ROLES)
@given(problem=bordered_problems("float32"))
def test_every_border_is_the_definition(problem: Problem, role: str) -> None:
    exact = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    assert_same(compute(role, problem.geometry, *narrow(problem).arguments(role)), rounded(exact))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("machine", [Machine.here(), WITHOUT_TILES], ids=["here", "without tiles"])
@pytest.mark.parametrize("spelling", ["n3 ic40 oc36 i8x9 k3x3 p1", "n2 ic2 oc3 i40x41 k15x15 p7", "n4 ic1 oc1 i300 k5"])
def test_real_numbers_stay_within_the_bound_that_the_plan_states(role: str, machine: Machine, spelling: str) -> None:
    g, rng = parse(spelling), np.random.default_rng(1)
    arrays = (rng.standard_normal(shape).astype(BF16) for shape in (g.input_shape, g.weight_shape, g.output_shape))
    problem = Problem(g, *arrays)
    plan = choose(role, g, "bfloat16", machine)
    got = execute(plan, *problem.arguments(role), np.empty(problem.result_shape(role), BF16))
    assert_within_bound(got, plan, *problem.arguments(role))
    assert plan.error_scale == "norm" or plan.error_bound < 0.6


def test_a_weight_gradient_is_summed_in_float32_over_all_images() -> None:
    # in bfloat16 such a sum would stop at 256; blocks of images are converted apart
    g = parse("n40 ic1 oc1 i220x220 k1x1")
    x, gy = np.ones(g.input_shape, BF16), np.ones(g.output_shape, BF16)
    for machine in (Machine.here(), WITHOUT_TILES):
        plan = choose("weight_grad", g, "bfloat16", machine)
        got = execute(plan, gy, x, np.empty(g.weight_shape, BF16))
        assert_same(got, rounded(np.full(g.weight_shape, 40.0 * 220 * 220)))
    assert isinstance(plan.parameters, bfloat16.Widened) and plan.parameters.together < 40


def test_blocks_of_images_keep_what_bfloat16_has_no_digits_for() -> None:
    g = parse("n2 ic1 oc1 i1000x600 k1x1")
    x, gy = np.zeros(g.input_shape, BF16), np.zeros(g.output_shape, BF16)
    x[0, 0, 0, :2] = gy[0, 0, 0, :2] = 1024, 1
    x[1, 0, 0, 0], gy[1, 0, 0, 0] = -1024, 1024
    plan = choose("weight_grad", g, "bfloat16", WITHOUT_TILES)
    assert isinstance(plan.parameters, bfloat16.Widened) and plan.parameters.together == 1
    assert_same(execute(plan, gy, x, np.empty(g.weight_shape, BF16)), np.ones(g.weight_shape, BF16))


@given(problem=problems(dtype="float32"), threads=st.sampled_from(["1", "3"]))
def test_an_image_has_the_bits_that_it_has_alone(problem: Problem, threads: str) -> None:
    problem = narrow(replace(problem, x=problem.x / 3, w=problem.w / 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVGRAD_NUM_THREADS", threads)
        together = compute("forward", problem.geometry, problem.x, problem.w)
    for n in range(len(together)):
        alone = compute("forward", problem.geometry.with_batch(1), problem.x[n : n + 1], problem.w)
        assert_same(alone, together[n : n + 1])


def draw(spelling: str) -> Problem:
    return narrow(whole_numbers(parse(spelling), np.random.default_rng(0)))


def test_every_public_function_takes_such_arrays() -> None:
    p = draw("n2 ic3 oc4 i9x8 k3x2 s2x1 p1")
    x, w, gy = (array.astype("float64") for array in (p.x, p.w, p.gy))
    bias = np.arange(4).astype(BF16)
    step: dict[str, Any] = {"stride": (2, 1), "padding": 1}
    pairs = [
        (cg.conv(p.x, p.w, **step), cg.conv(x, w, **step)),
        (
            cg.conv_input_grad(p.gy, p.w, input_size=(9, 8), **step),
            cg.conv_input_grad(gy, w, input_size=(9, 8), **step),
        ),
        (
            cg.conv_weight_grad(p.gy, p.x, kernel_size=(3, 2), **step),
            cg.conv_weight_grad(gy, x, kernel_size=(3, 2), **step),
        ),
        (cg.conv_bias_grad(p.gy), cg.conv_bias_grad(gy)),
        (cg.conv_transpose(p.gy, p.w, **step), cg.conv_transpose(gy, w, **step)),
    ]
    pairs += [
        (
            cg.conv_weight_grad(p.gy, p.x, kernel_size=(3, 2), reduce=reduce, **step),
            cg.conv_weight_grad(gy, x, kernel_size=(3, 2), reduce=reduce, **step),
        )
        for reduce in ("none",)
    ]
    for got, exact in pairs:
        assert_same(got, rounded(exact))
    with_bias = cg.conv(p.x, p.w, bias, **step)
    assert_same(with_bias, cg.conv(p.x, p.w, **step) + bias.reshape(-1, 1, 1))
    norms = cg.conv_weight_grad(p.gy, p.x, kernel_size=(3, 2), reduce="sqnorm", **step)
    gw = cg.conv_weight_grad(p.gy, p.x, kernel_size=(3, 2), reduce="none", **step).astype("float64")
    assert_same(norms, rounded((gw**2).sum(axis=(1, 2, 3, 4))))


def test_results_go_where_they_are_asked_to() -> None:
    p = draw("n2 ic3 oc4 i9 k3")
    out = np.empty((2, 4, 7), BF16)
    assert cg.conv(p.x, p.w, out=out) is out
    assert_same(out, cg.conv(p.x, p.w))
    with pytest.raises(cg.UnsupportedError, match="the result is bfloat16"):
        cg.conv(p.x, p.w, out=np.empty((2, 4, 7), "float32"))


@pytest.mark.parametrize("other", ["float32", "float64", "complex64"])
def test_other_floats_meet_bfloat16_as_numpy_promotes(other: str) -> None:
    p = draw("n2 ic3 oc4 i9 k3")
    got = cg.conv(p.x, p.w.astype(other))
    assert_same(got, cg.conv(p.x.astype(other), p.w.astype(other)))


def test_dtypes_that_nothing_holds_together_are_refused() -> None:
    p = draw("n1 ic3 oc4 i9 k3")
    with pytest.raises(
        cg.UnsupportedError, match="dtypes = 'bfloat16 and int64': have no common dtype; accepted: arrays of"
    ):
        cg.conv(p.x, p.w.astype("int64"))


def test_plans_say_in_what_they_sum() -> None:
    plan = choose("forward", parse("ic64 oc64 i56x56 k3x3 p1"), "bfloat16", WITHOUT_TILES)
    assert "in float32: " in str(plan) and str(plan).splitlines()[0].endswith("bfloat16")
    tiles = choose("forward", parse("ic64 oc64 i56x56 k3x3 p1"), "bfloat16", replace(Machine.here(), amx=True))
    assert tiles.algorithm == "tiles" and "amx, 1 product of bfloat16" in str(tiles)
    assert "in float32, estimated" in str(tiles)
    named = choose(
        "forward", parse("ic64 oc64 i56x56 k3x3 p1"), "bfloat16", replace(Machine.here(), amx=True), "shifted"
    )
    assert named.algorithm == "shifted" and "in float32" in str(named)
