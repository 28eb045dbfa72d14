"""Every algorithm, every role, against the definition: `==` on whole numbers, the plan's bound on real ones."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, assert_within_bound
from strategies import problems, whole_numbers

from convgrad.algorithms import ALGORITHMS, shifted
from convgrad.choose import choose
from convgrad.errors import UnsupportedError
from convgrad.execute import execute
from convgrad.geometry import Geometry
from convgrad.machine import Machine
from convgrad.plan import ROLES, Plan
from convgrad.spelling import parse

HERE = Machine.here()
NAMES = [algorithm.name for algorithm in ALGORITHMS]
DIRECT = [name for name in NAMES if name != "fourier"]  # exact on whole numbers; `test_fourier` has the other
direct_algorithms = pytest.mark.parametrize("algorithm", DIRECT)
every_algorithm = pytest.mark.parametrize("algorithm", NAMES)
every_role = pytest.mark.parametrize("role", ROLES)


def planned(role: str, g: Geometry, dtype: str, algorithm: str, limit: int = 32 << 20) -> Plan | None:
    """The plan, or None where the algorithm says that it does not apply."""
    try:
        return choose(role, g, dtype, HERE, algorithm, limit)
    except UnsupportedError:
        return None


def computed(plan: Plan, problem: Problem) -> np.ndarray:
    """The result, written over NaN: an entry that is never written shows."""
    out = np.full(problem.result_shape(plan.role), np.nan, plan.dtype)
    return execute(plan, *problem.arguments(plan.role), out)


@every_role
@direct_algorithms
@given(problem=problems(), limit=st.sampled_from([32 << 20, 20_000, 3_000, 1]))
def test_whole_numbers_give_the_definition_bit_for_bit(role: str, algorithm: str, problem: Problem, limit: int) -> None:
    plan = planned(role, problem.geometry, problem.x.dtype.name, algorithm, limit)
    if plan is not None:
        expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
        assert_same(computed(plan, problem), expected)


@every_role
@direct_algorithms
@given(problem=problems())
def test_memory_that_held_nan_shows_nowhere(role: str, algorithm: str, problem: Problem) -> None:
    plan, real = planned(role, problem.geometry, problem.x.dtype.name, algorithm), np.empty

    def held_nan(shape: tuple[int, ...], dtype: Any = float) -> np.ndarray:
        array = real(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = 255
        return array

    if plan is not None:
        expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np, "empty", held_nan)
            # what is made for infinities that meet zeros would repair it, at a price
            patch.setattr(shifted, "_run_without_zeros", lambda *_: pytest.fail("memory was read that nobody wrote"))
            got = computed(plan, problem)
        assert_same(got, expected)


@every_role
@every_algorithm
@pytest.mark.parametrize(
    "text",
    [
        "n2 ic16 oc17 i5x6 k3x3 p1",
        "n1 ic3 oc8 i15x13 k7x7 s2 p3",
        "n3 ic8 oc8 i15x9 k5x3 p2x1 g8",
        "n2 ic6 oc4 i40 k9 d3 p4+0 g2",
        "n1 ic2 oc3 i9x8x7 k3 s1x2x3 p1",
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_numbers_stay_within_the_bound_that_the_plan_states(
    role: str, algorithm: str, text: str, dtype: str
) -> None:
    g, rng = parse(text), np.random.default_rng(5)
    draw = lambda shape: (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(dtype)  # noqa: E731
    problem = Problem(g, draw(g.input_shape), draw(g.weight_shape), draw(g.output_shape))
    plan = planned(role, g, dtype, algorithm)
    if plan is None and algorithm == "tiles":
        pytest.skip("tiles are for float32, on CPUs that have them")
    assert plan is not None
    assert_within_bound(computed(plan, problem), plan, *problem.arguments(role))


@every_role
@direct_algorithms
@given(problem=problems(max_rank=2), special=st.sampled_from([np.nan, np.inf, -np.inf]), data=st.data())
def test_nan_and_infinity_go_where_the_sums_put_them_and_nowhere_else(
    role: str, algorithm: str, problem: Problem, special: float, data: st.DataObject
) -> None:
    plan = planned(role, problem.geometry, problem.x.dtype.name, algorithm)
    if plan is None:
        return
    arrays = [array.copy() for array in problem.arguments(role)]
    chosen = arrays[data.draw(st.integers(0, 1))]
    chosen.flat[data.draw(st.integers(0, chosen.size - 1))] = special
    out = np.empty(problem.result_shape(role), plan.dtype)
    with np.errstate(all="ignore"):
        expected = DEFINITIONS[role](*arrays, problem.geometry)
    assert_same(execute(plan, *arrays, out), expected)


@every_algorithm
@pytest.mark.parametrize("role", ["forward", "input_grad"])
@pytest.mark.parametrize("text", ["n7 ic5 oc6 i12x13 k3x3 p1", "n9 ic16 oc32 i8x8 k3x3 p1", "n5 ic4 oc4 i300 k5 g4"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_image_has_the_same_bits_in_every_batch(algorithm: str, role: str, text: str, dtype: str) -> None:
    g, rng = parse(text), np.random.default_rng(7)
    draw = lambda shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    problem = Problem(g, draw(g.input_shape), draw(g.weight_shape), draw(g.output_shape))
    plan = planned(role, g, dtype, algorithm)
    if plan is None and algorithm == "tiles":
        pytest.skip("tiles are for float32, on CPUs that have them")
    assert plan is not None
    whole = computed(plan, problem)
    for part in (slice(0, 1), slice(2, 5), slice(g.batch - 1, g.batch)):
        count = part.stop - part.start
        alone = Problem(g.with_batch(count), problem.x[part], problem.w, problem.gy[part])
        again = planned(role, alone.geometry, dtype, algorithm)
        assert again is not None
        assert_same(computed(again, alone), whole[part])


@every_algorithm
def test_the_weight_gradient_keeps_its_digits_over_400_000_positive_terms(algorithm: str) -> None:
    g, rng = parse("n4 ic2 oc2 i317x317 k3x3"), np.random.default_rng(3)
    draw = lambda shape: rng.uniform(0.5, 1, shape).astype("float32")  # noqa: E731
    problem = Problem(g, draw(g.input_shape), draw(g.weight_shape), draw(g.output_shape))
    wide = Problem(g, problem.x.astype("float64"), problem.w.astype("float64"), problem.gy.astype("float64"))
    plan, exact_plan = planned("weight_grad", g, "float32", algorithm), planned("weight_grad", g, "float64", "im2col")
    if plan is None and algorithm == "tiles":
        pytest.skip("tiles are for CPUs that have them")
    assert plan is not None and exact_plan is not None
    got, exact = computed(plan, problem), computed(exact_plan, wide)
    ulps = np.abs(got - exact) / np.spacing(got)
    assert ulps.max() <= 4


@every_role
@every_algorithm
@pytest.mark.parametrize(
    "text",
    [
        "n4 ic32 oc32 i60x60 k3x3 p1",
        "n2 ic1 oc2 i3000x30 k15x3 p7x1",
        "n1 ic64 oc8 i20000 k33",
        "n2 ic256 oc128 i9x9 k3x3",  # the weight is the largest array
    ],
)
def test_memory_stays_within_the_declared_workspace(
    role: str, algorithm: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "1")  # the workspace is declared for each thread
    g = parse(text)
    problem = whole_numbers(g, np.random.default_rng(1), "float32")
    for limit in (1 << 20, 32 << 20):
        plan = planned(role, g, "float32", algorithm, limit)
        if plan is None:
            # it says that its panels would not fit, or that there is no matrix unit
            assert algorithm == "tiles" or (algorithm in {"shifted", "fourier"} and limit == 1 << 20)
            continue
        assert plan.workspace_bytes <= limit
        out = np.empty(problem.result_shape(role), "float32")
        execute(plan, *problem.arguments(role), out)  # kernels are compiled once, outside the account
        peaks = []
        for _ in range(2):  # once it may be Python that grows a table of its own
            tracemalloc.start()
            execute(plan, *problem.arguments(role), out)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        peak = min(peaks)
        # Python's own objects (tiles, taps, windows) come on top of the buffers
        assert peak <= plan.workspace_bytes + (1 << 18), (peak, plan.workspace_bytes)


@every_role
@direct_algorithms
@pytest.mark.parametrize(
    "text",
    [
        "n1 ic23 oc3 i10x9 k9x8 p1",  # several blocks of channels, each with many taps
        "n2 ic3 oc23 i10x9 k9x8 p1",
        "n11 ic2 oc3 i5x4 k3x3 p1",  # more images than an item takes
        "n1 ic2 oc2 i2600 k3 s2 p1",  # several tiles along the last axis
        "n1 ic1 oc2 i3x90x70 k2x3x2 p0x1x1",  # and along the others
        "n1 ic40 oc150 i4 k1",  # every remainder of the register tiles
        "n17 ic1 oc1 i1500 k2",  # one tile more than a weight gradient has ranges
    ],
)
def test_problems_of_several_blocks_give_the_definition_bit_for_bit(role: str, algorithm: str, text: str) -> None:
    g = parse(text)
    problem = whole_numbers(g, np.random.default_rng(2), "float32")
    plan = planned(role, g, "float32", algorithm)
    if plan is not None:
        assert_same(computed(plan, problem), DEFINITIONS[role](*problem.arguments(role), g))


def test_totals_of_many_tiles_are_added_without_losing_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    from convgrad.algorithms.shifted import weight_runs

    monkeypatch.setattr(weight_runs, "TOTALS_BYTES", 0)  # one range: thousands of tiles into one total
    g, rng = parse("ic1 oc1 i4000000 k2"), np.random.default_rng(3)
    x, gy = (rng.uniform(0.5, 1, shape).astype("float32") for shape in (g.input_shape, g.output_shape))
    plan = planned("weight_grad", g, "float32", "shifted")
    if plan is not None:
        got = execute(plan, gy, x, np.empty(g.weight_shape, "float32")).ravel()
        wide, gradient = x[0, 0].astype("float64"), gy[0, 0].astype("float64")
        exact = np.array([np.sum(gradient * wide[k : k + gradient.size]) for k in range(2)])
        assert (np.abs(got - exact) / np.spacing(got)).max() <= 1


def test_a_non_contiguous_weight_takes_no_more_workspace() -> None:
    g = parse("n1 ic256 oc256 i12x12 k3x3")
    problem = whole_numbers(g, np.random.default_rng(1), "float32")
    w = np.asfortranarray(problem.w)
    plan = planned("forward", g, "float32", "im2col", 1 << 20)
    assert plan is not None
    out = np.empty(g.output_shape, "float32")
    tracemalloc.start()
    execute(plan, problem.x, w, out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= plan.workspace_bytes + (1 << 18)
    assert_same(out, computed(plan, problem))
