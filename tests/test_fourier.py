"""Convolution by transforms: within a bound in norms, with bits that only the problem decides."""

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, assert_within_bound, excess
from strategies import axes, every_axis, problems

import convgrad
from convgrad.algorithms import fourier
from convgrad.algorithms.fourier import tiling as tiling_module
from convgrad.algorithms.fourier.lengths import good_lengths, stages, twiddles
from convgrad.algorithms.fourier.split import Walk, split
from convgrad.algorithms.fourier.tiling import Tiling
from convgrad.choose import choose
from convgrad.execute import execute
from convgrad.geometry import Axis
from convgrad.jit import compile as jit
from convgrad.machine import Machine
from convgrad.plan import ROLES, Plan
from convgrad.spelling import parse

HERE = Machine.here()
SERVER = Machine("avx512", 2, (49152, 2097152), "a server")
compiled = pytest.mark.skipif(jit.available() is not None, reason=str(jit.available()))
every_role = pytest.mark.parametrize("role", ROLES)


def planned(role: str, text: str, dtype: str = "float32", algorithm: str = "fourier") -> Plan:
    return choose(role, parse(text), dtype, HERE, algorithm)


def real_numbers(text: str, dtype: str = "float32", seed: int = 0) -> Problem:
    g, rng = parse(text), np.random.default_rng(seed)
    return Problem(g, *(rng.standard_normal(s).astype(dtype) for s in (g.input_shape, g.weight_shape, g.output_shape)))


def computed(plan: Plan, problem: Problem) -> np.ndarray:
    return execute(plan, *problem.arguments(plan.role), np.full(problem.result_shape(plan.role), np.nan, plan.dtype))


# --- index arithmetic


def positions(walk: Walk, lane: int, phase: int) -> dict[int, int]:
    """Where each number of a tile lies."""
    first, last = (int(bound[phase][lane]) for bound in (walk.first, walk.last))
    return {i: int(walk.start[lane]) + phase * walk.phase_step + i * walk.step for i in range(first, last)}


def check_split(axis: Axis, role: str) -> None:
    """Products of circular convolutions, collected tile by tile, are the triples of the definition, each once."""
    whole = split(axis, role)
    expected = sorted((axis.source(o, k), k, o) for k in range(axis.kernel) for o in axis.readers(k))
    for length in {whole.taps, (whole.taps + whole.length) // 2, whole.length}:
        one = dataclasses.replace(whole, length=length)
        lanes = list(itertools.product(range(one.residues), range(one.tiles)))
        residue, tile = (np.array(numbers) for numbers in zip(*lanes, strict=True))
        inputs, outputs, weights = one.input(residue, tile), one.output(residue, tile), one.weight(1)
        found = []
        for lane, phase in itertools.product(range(len(lanes)), range(one.phases)):
            x, y, w = positions(inputs, lane, phase), positions(outputs, lane, 0), positions(weights, 0, phase)
            assert all(0 <= i < length for numbers in (x, y, w) for i in numbers)
            first, second, result = {"forward": (x, w, y), "input_grad": (y, w, x), "weight_grad": (y, x, w)}[role]
            for i, j in itertools.product(first, second):
                into = (i + j) % length
                if into in result:
                    at = {id(first): i, id(second): j, id(result): into}
                    found.append((x[at[id(x)]], w[at[id(w)]], y[at[id(y)]]))
        assert sorted(found) == expected


@every_role
def test_the_tiles_of_an_axis_meet_each_term_once_exhaustive(role: str) -> None:
    for axis in every_axis(range(1, 6), range(1, 4), range(1, 5), range(1, 4), range(3)):
        check_split(axis, role)


@every_role
@given(axis=axes())
def test_the_tiles_of_an_axis_meet_each_term_once_drawn(role: str, axis: Axis) -> None:
    check_split(axis, role)


def test_lengths_have_stages_and_exact_quarter_turns() -> None:
    lengths = list(itertools.islice(good_lengths(), 24))
    assert lengths == sorted(set(lengths)) and all(np.prod(stages(n)) == n for n in lengths)
    turned = twiddles(8 * 4, "float64").reshape(-1, 2)
    assert [0.0, -1.0] in turned.tolist() and np.abs(np.hypot(*turned.T) - 1).max() <= 2**-52


# --- numbers


@compiled
@every_role
@given(problem=problems())
def test_every_option_stays_within_the_bound(role: str, problem: Problem) -> None:
    plan = choose(role, problem.geometry, problem.x.dtype.name, HERE, "fourier")
    assert_within_bound(computed(plan, problem), plan, *problem.arguments(role))


TEXTS = [
    "n2 ic1 oc1 i40x31 k7x6 p3x2",
    "n1 ic3 oc18 i12x14 k5x4 s2x1 p1x2",  # more results than lanes
    "n3 ic1 oc1 i200 k40 s3 p20+3",
    "n1 ic2 oc2 i40x20 k6x4 d3x2 p5",
    "n2 ic40 oc20 i11x13 k6x5 p2 g20",
    "n1 ic1 oc2 i12x9x8 k4x3x3 s1x2x1 p1",
]


@compiled
@every_role
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound_holds_and_is_not_absurdly_far(role: str, text: str, dtype: str) -> None:
    plan, problem = planned(role, text, dtype), real_numbers(text, dtype)
    worst = excess(computed(plan, problem), plan, *problem.arguments(role)).max()
    assert 1e-4 < worst <= 1


@compiled
@every_role
@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 384, 512, 1024, 3072])
def test_every_length_transforms(role: str, length: int) -> None:
    text = f"ic1 oc1 i{3 * length + 1} k{min(length, 4)}"
    plan = planned(role, text, "float64")
    tiling = plan.parameters
    assert isinstance(tiling, Tiling)
    axis = dataclasses.replace(tiling.splits[2], length=length)
    forced = dataclasses.replace(tiling, splits=(*tiling.splits[:2], axis))
    plan = dataclasses.replace(plan, parameters=forced, error_bound=fourier.error_bound(forced))
    problem = real_numbers(text, "float64")
    assert_within_bound(computed(plan, problem), plan, *problem.arguments(role))


@compiled
def test_the_bound_counts_the_roundings_on_the_path_of_an_entry() -> None:
    tiling = planned("forward", "ic1 oc1 i1024x1024 k31x31", "float64").parameters
    assert isinstance(tiling, Tiling)
    splits = (tiling.splits[0], *(dataclasses.replace(one, length=64) for one in tiling.splits[1:]))
    # three transforms of 6 + 6 levels, a product, a channel, the scale; two tiles of a pair may share numbers
    roundings = 3 * 12 * (1 + 5**0.5 + 0.5**0.5) + 5**0.5 + 1 + 2
    assert abs(fourier.error_bound(dataclasses.replace(tiling, splits=splits)) - 0.5 * roundings * 2**0.5) < 1e-9


@compiled
def test_the_weight_gradient_keeps_its_digits_over_thousands_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling_module, "MOST_RANGES", 1)
    g, rng = parse("ic1 oc1 i200000 k2"), np.random.default_rng(3)
    x, gy = (rng.uniform(0.5, 1, shape).astype("float32") for shape in (g.input_shape, g.output_shape))
    plan = planned("weight_grad", "ic1 oc1 i200000 k2")
    assert isinstance(plan.parameters, Tiling)
    splits = (*plan.parameters.splits[:2], dataclasses.replace(plan.parameters.splits[2], length=4))
    forced = dataclasses.replace(plan, parameters=dataclasses.replace(plan.parameters, splits=splits))
    got = execute(forced, gy, x, np.empty(g.weight_shape, "float32")).ravel()
    wide, gradient = x[0, 0].astype("float64"), gy[0, 0].astype("float64")
    exact = np.array([np.sum(gradient * wide[k : k + gradient.size]) for k in range(2)])
    assert (np.abs(got - exact) / np.spacing(got)).max() <= 2


# --- bits


@compiled
@every_role
@pytest.mark.parametrize(
    "text", ["n5 ic1 oc1 i300x280 k15x9 p3", "n4 ic40 oc40 i70x40 k9x9 g40 p4", "n2 ic3 oc5 i9000 k200"]
)
def test_bits_do_not_depend_on_threads(role: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, problem = planned(role, text), real_numbers(text)
    assert plan.operations > fourier.SMALL_OPERATIONS
    results = []
    for threads in (1, 2, 3, 5, 8, 64):
        monkeypatch.setenv("CONVGRAD_NUM_THREADS", str(threads))
        results.append(computed(plan, problem))
    for other in results[1:]:
        assert_same(other, results[0])


@compiled
@pytest.mark.parametrize("role", ["forward", "input_grad"])
@pytest.mark.parametrize("text", TEXTS)
def test_an_image_alone_has_the_bits_that_it_has_among_others(role: str, text: str) -> None:
    problem = real_numbers(text.replace("n1", "n9").replace("n2", "n9").replace("n3", "n9"))
    g = problem.geometry
    whole = computed(choose(role, g, "float32", HERE, "fourier"), problem)
    for part in (slice(0, 1), slice(3, 7), slice(8, 9)):
        alone = Problem(g.with_batch(part.stop - part.start), problem.x[part], problem.w, problem.gy[part])
        assert_same(computed(choose(role, alone.geometry, "float32", HERE, "fourier"), alone), whole[part])


@compiled
@every_role
def test_bits_do_not_depend_on_how_arrays_lie_in_memory(role: str) -> None:
    text = "n2 ic3 oc4 i40x30 k7x5 p2"
    plan, problem = planned(role, text), real_numbers(text)
    expected = computed(plan, problem)
    a, b = problem.arguments(role)

    def misaligned(array: np.ndarray) -> np.ndarray:
        memory = np.empty(array.nbytes + 1, np.uint8)[1:]
        copy = memory.view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    ways = {
        "reversed": lambda array: np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "transposed": np.asfortranarray,
        "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
        "misaligned": misaligned,
    }
    for way in ways.values():
        assert_same(execute(plan, way(a), way(b), np.empty_like(expected)), expected)
        if way is not ways["big-endian"]:
            out = way(np.full_like(expected, np.nan))
            assert execute(plan, a, b, out) is out
            assert_same(np.array(out), expected)


# --- special values


@compiled
@every_role
@given(problem=problems(max_rank=2), special=st.sampled_from([np.nan, np.inf, -np.inf]), data=st.data())
def test_nan_and_infinity_go_where_the_sums_put_them_and_nowhere_else(
    role: str, problem: Problem, special: float, data: st.DataObject
) -> None:
    plan = choose(role, problem.geometry, problem.x.dtype.name, HERE, "fourier")
    clean = computed(plan, problem)
    arrays = [array.copy() for array in problem.arguments(role)]
    which = data.draw(st.integers(0, 1))
    place = data.draw(st.integers(0, arrays[which].size - 1))
    arrays[which].flat[place] = special
    with np.errstate(all="ignore"):
        expected = DEFINITIONS[role](*arrays, problem.geometry)
    got = execute(plan, *arrays, np.empty(problem.result_shape(role), plan.dtype))
    if which == 0 and role != "weight_grad":
        image = np.unravel_index(place, arrays[0].shape)[0]
        others = np.arange(problem.geometry.batch) != image
        assert_same(got[others], clean[others])  # no image changes another
        got, expected = got[image], expected[image]
    if not np.isfinite(expected).all():
        assert_same(got, expected)


@compiled
@every_role
@pytest.mark.parametrize("largest", [3e38, 1e37, 1e30])
def test_sums_that_fit_are_finite_although_their_transforms_overflow(role: str, largest: float) -> None:
    text = "n2 ic1 oc1 i30x20 k5x5"
    plan, problem = planned(role, text), real_numbers(text)
    a, b = (array / np.abs(array).max() for array in problem.arguments(role))
    a[0, 0, 0, 0] = largest / 100
    b *= np.float32(0.5)
    got = execute(plan, a, b, np.empty(problem.result_shape(role), "float32"))
    assert np.isfinite(got).all()
    assert_within_bound(got, plan, a, b)


@compiled
def test_inputs_that_no_window_reads_get_exactly_zero() -> None:
    for text in ("ic1 oc1 i50 k3 s5", "ic1 oc1 i50 k3 s4 d6", "ic1 oc1 i50 k20 s7", "ic1 oc1 i9x30 k2x5 s3x2 p1"):
        plan, problem = planned("input_grad", text), real_numbers(text)
        ones = DEFINITIONS["input_grad"](np.ones_like(problem.gy), np.ones_like(problem.w), problem.geometry)
        assert not computed(plan, problem)[ones == 0].any()


@compiled
def test_a_transform_that_is_needed_by_no_thread_raises_what_its_task_raised() -> None:
    from convgrad.algorithms.fourier.runs import share

    def task(number: int, scratch: np.ndarray) -> None:
        if number == 3:
            raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        share(8, task, 2, (1, 1), np.dtype("float32"))


# --- workspace and choice


@compiled
@every_role
@pytest.mark.parametrize(
    "text",
    [
        "n2 ic1 oc1 i600x500 k21x21",
        "n1 ic16 oc16 i4096 k512",
        "n2 ic48 oc48 i64x64 k15x15 g48",
        "n2 ic9 oc5 i40x40 k9x9 s2",
    ],
)
def test_memory_stays_within_the_declared_workspace(role: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "1")
    plan, problem = planned(role, text), real_numbers(text)
    out = computed(plan, problem)
    tracemalloc.start()
    execute(plan, *problem.arguments(role), out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= plan.workspace_bytes + (1 << 18) and plan.workspace_bytes <= 32 << 20


@compiled
@every_role
@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        ("ic1 oc1 i1024x1024 k3x3 p1", "shifted"),
        ("ic64 oc64 i56x56 k3x3 p1", "shifted"),
        ("ic96 oc96 i56x56 k7x7 p3 g96", "shifted"),
        ("ic1 oc1 i20 k20 p5", "shifted"),
        ("ic1 oc1 i1024x1024 k31x31 p15", "fourier"),
        ("ic16 oc16 i16384 k1024", "fourier"),
        ("n2 ic32 oc32 i64x64 k31x31 p15 g32", "fourier"),
    ],
)
def test_transforms_are_taken_for_large_kernels_only(role: str, text: str, algorithm: str) -> None:
    plan = choose(role, parse(text), "float32", SERVER)
    assert plan.algorithm == algorithm
    other = "shifted" if algorithm == "fourier" else "fourier"
    assert any(row.algorithm == other and row.reason.startswith("estimated") for row in plan.rejected)


@compiled
def test_the_plan_says_that_its_bound_is_in_norms() -> None:
    plan = planned("forward", "ic1 oc1 i512x512 k31x31")
    assert plan.error_scale == "norm" and " eps x norm(a) norm(b)" in str(plan)
    assert "transforms of" in str(plan) and "tiles an image, lanes hold tiles" in str(plan)


def test_what_cannot_be_transformed_says_why() -> None:
    assert fourier.propose("forward", parse("ic0 oc1 i3 k2"), "float32", SERVER, 1 << 25).startswith("no channels")
    assert fourier.propose("forward", parse("ic1 oc1 i3x3x3x3 k2"), "float32", SERVER, 1 << 25).startswith("4 spatial")
    reason = fourier.propose("forward", parse("ic512 oc512 i99x99 k9x9"), "float32", SERVER, 1 << 20)
    assert jit.available() is not None or reason == "its spectra take more than the limit of 1.0 MiB"


@compiled
@settings(max_examples=20)
@given(st.sampled_from([1, 2, 3, 5]), st.integers(0, 2**31))
def test_the_functions_take_it_by_name(batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((batch, 2, 30)), rng.standard_normal((3, 2, 7))
    plan = choose("forward", parse(f"n{batch} ic2 oc3 i30 k7"), "float64", HERE, "fourier")
    assert_within_bound(convgrad.conv(x, w, algorithm="fourier"), plan, x, w)
