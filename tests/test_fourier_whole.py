"""One transform of everything: the definition on every geometry, cut into any blocks, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, assert_within_bound
from strategies import problems

import convgrad
from convgrad.algorithms.fourier import FOURIER, whole
from convgrad.algorithms.fourier.whole import Whole, choose_whole, good_length
from convgrad.geometry import Geometry
from convgrad.plan import ROLES, Plan
from convgrad.spelling import parse

every_role = pytest.mark.parametrize("role", ROLES)


def planned(role: str, g: Geometry, dtype: str, limit: int) -> Plan | None:
    """A plan by one transform, also where another way would be taken."""
    found = choose_whole(role, g.with_batch(1), np.dtype(dtype).itemsize, limit)
    if found is None:
        return None
    bound, workspace = found.error_bound(), found.workspace(np.dtype(dtype).itemsize)
    return Plan(role, g, dtype, "fourier", found, workspace, bound, "", (), 2 * g.products, "norm")


@every_role
@given(problem=problems(), limit=st.sampled_from([32 << 20, 20_000, 5_000]))
def test_results_stay_within_the_bound(role: str, problem: Problem, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "LEAST_TAPS", 0)
        patch.setattr(whole, "LEAST_SPAN", 0)
        plan = planned(role, problem.geometry, problem.x.dtype.name, limit)
    if plan is None or plan.operations == 0:
        return
    a, b = problem.arguments(role)
    out = np.full(problem.result_shape(role), np.nan, plan.dtype)
    FOURIER.run(plan, a, b, out)
    assert_within_bound(out, plan, a, b)


@every_role
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "text", ["ic1 oc1 i300 k250 p249", "n2 ic2 oc3 i150 k120 s2 p30+7", "n2 ic2 oc2 g2 i24x20 k18x12 p6x9"]
)
def test_blocks_keep_within_any_workspace(text: str, dtype: str, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "LEAST_TAPS", 0)
    g = parse(text)
    entire = planned(role, g, dtype, 32 << 20)
    assert entire is not None and "one transform of" in str(entire.parameters) and "blocks" not in str(entire)
    cut = planned(role, g, dtype, entire.workspace_bytes // 3)
    assert cut is not None and cut.workspace_bytes <= entire.workspace_bytes // 3 and "blocks" in str(cut.parameters)
    rng = np.random.default_rng(0)
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in (g.input_shape, g.weight_shape, g.output_shape))
    a, b = {"forward": (x, w), "input_grad": (gy, w), "weight_grad": (gy, x)}[role]
    for plan in (entire, cut):
        out = np.full({"forward": g.output_shape, "input_grad": g.input_shape}.get(role, g.weight_shape), np.nan, dtype)
        FOURIER.run(plan, a, b, out)
        assert_within_bound(out, plan, a, b)


def test_the_plan_takes_it_where_tiles_would_be_dear() -> None:
    for text in ("ic1 oc1 i512x512 k512x512 p511", "ic1 oc1 i40x40x40 k40x40x40 p39", "ic1 oc1 i100000 k100000 p99999"):
        plan = convgrad.plan_for("forward", text)
        assert isinstance(plan.parameters, Whole) and plan.workspace_bytes <= 32 << 20
    assert not isinstance(convgrad.plan_for("forward", "ic1 oc1 i512x512 k31x31 p15").parameters, Whole)


@every_role
def test_threads_and_batches_change_no_bit(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "SMALL_ENTRIES", 1)
    monkeypatch.setattr(whole, "LEAST_TAPS", 0)
    g = parse("n3 ic2 oc2 i70x60 k60x64 p20")
    plan = planned(role, g, "float32", 32 << 20)
    assert plan is not None
    rng = np.random.default_rng(0)
    x, w, gy = (rng.standard_normal(s).astype("float32") for s in (g.input_shape, g.weight_shape, g.output_shape))
    a, b = {"forward": (x, w), "input_grad": (gy, w), "weight_grad": (gy, x)}[role]
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("CONVGRAD_NUM_THREADS", str(threads))
        out = np.empty({"forward": g.output_shape, "input_grad": g.input_shape}.get(role, g.weight_shape), "float32")
        FOURIER.run(plan, a, b, out)
        results.append(out)
    for other in results[1:]:
        assert_same(other, results[0])
    if role != "weight_grad":
        one = np.empty((1, *results[0].shape[1:]), "float32")
        alone = planned(role, g.with_batch(1), "float32", 32 << 20)
        assert alone is not None
        FOURIER.run(alone, a[1:2], b, one)
        assert_same(one[0], results[0][1])


@every_role
def test_a_number_that_is_not_finite_stays_where_it_is(role: str) -> None:
    g = parse("n2 ic1 oc1 i200 k150 p149")
    plan = planned(role, g, "float64", 32 << 20)
    assert plan is not None
    x, w, gy = (np.ones(shape) for shape in (g.input_shape, g.weight_shape, g.output_shape))
    x[0, 0, 3], gy[0, 0, 3] = np.nan, np.inf
    a, b = {"forward": (x, w), "input_grad": (gy, w), "weight_grad": (gy, x)}[role]
    expected = DEFINITIONS[role](a, b, g)
    out = np.empty_like(expected)
    FOURIER.run(plan, a, b, out)
    assert (np.isnan(out) == np.isnan(expected)).all() and (np.isinf(out) == np.isinf(expected)).all()


def test_lengths_are_good_and_long_enough() -> None:
    for least in range(2, 3000):
        length = good_length(least)
        assert least <= length <= 2 * least and length % 2 == 0
        for prime in (2, 3, 5):
            while length % prime == 0:
                length //= prime
        assert length == 1
