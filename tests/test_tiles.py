"""Matrix tiles, for float32 and bfloat16: exact on whole numbers, within bounds on others, bits that never vary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, assert_within_bound
from strategies import geometries, problems, whole_numbers

import convgrad
from convgrad.algorithms.shifted.passes import passes
from convgrad.algorithms.tiles import data_kernel, filter_kernel, weight_kernel
from convgrad.algorithms.tiles.instructions import PARTS, PRODUCTS
from convgrad.algorithms.tiles.layout import DataLayout, WeightLayout, data_layout, weight_layout
from convgrad.algorithms.tiles.sources import BFLOAT16, float32
from convgrad.choose import choose
from convgrad.errors import UnsupportedError
from convgrad.execute import execute
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse

SERVER = Machine("avx512", 2, (49152, 2097152), "a server", amx=True)
BF16 = np.dtype(ml_dtypes.bfloat16)
here = pytest.mark.skipif(not Machine.here().amx, reason="this process has no matrix tiles (AMX)")
both = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])

SPELLINGS = [
    "n2 ic64 oc64 i14x14 k3x3 p1",
    "n9 ic33 oc40 i7x7 k1x1",  # images that follow each other as one run
    "n3 ic40 oc50 i9x11 k3x2 s2x1 p1 d1x2",
    "n2 ic35 oc33 i5x6x7 k2x3x2 s2 p1",
    "n2 ic96 oc64 i7x9 k3x3 g2",
    "n2 ic33 oc7 i50 k5 p2",
    "n5 ic200 oc130 i7x7 k3x3 p1",  # several steps of channels
    "n2 ic1100 oc70 i20x21 k1x1",  # several steps of channels, rows left over
    "n1 ic4500 oc40 i10x21 k1x1",  # several blocks of channels
    "n1 ic20 oc300 i60x61 k1x3 p1",  # several tiles, several blocks of rows
    "n2 ic33 oc40 i401x9 k3x3 p1",  # narrow rows, the last tile smaller than the others
    "n3 ic70 oc80 i12x13 k1x1 s2",
    "n2 ic16 oc16 i40 k1 s3 d2",
]


def draw(spelling: str, dtype: str = "float32") -> Problem:
    return whole_numbers(parse(spelling), np.random.default_rng(0), dtype)


def thirds(problem: Problem) -> Problem:
    """Numbers that no dtype holds."""
    return replace(problem, **{name: getattr(problem, name) / problem.x.dtype.type(3) for name in ("x", "w", "gy")})


def computed(problem: Problem, role: str, algorithm: str = "tiles", **options: str) -> np.ndarray:
    """The result in an array that held NaN before."""
    dtype = problem.x.dtype
    plan = choose(role, problem.geometry, dtype.name, Machine.here(), algorithm, **options)
    return execute(plan, *problem.arguments(role), np.full(problem.result_shape(role), np.nan, dtype))


def expected(problem: Problem, role: str) -> np.ndarray:
    a, b = (array.astype("float64") for array in problem.arguments(role))
    plan = choose(role, problem.geometry, "float64", Machine.here(), "im2col")
    return rounded(execute(plan, a, b, np.empty(problem.result_shape(role))), problem)


def rounded(exact: np.ndarray, problem: Problem) -> np.ndarray:
    return exact.astype("float32").astype(problem.x.dtype)


# --- exact


@here
@both
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_whole_numbers_are_computed_exactly(spelling: str, role: str, dtype: str) -> None:
    problem = draw(spelling, dtype)
    assert_same(computed(problem, role), expected(problem, role))


@here
@both
@pytest.mark.parametrize("role", ROLES)
@given(problem=problems(dtype="float32"))
def test_every_geometry_equals_the_definition(problem: Problem, role: str, dtype: str) -> None:
    exact = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    problem = replace(problem, **{name: getattr(problem, name).astype(dtype) for name in ("x", "w", "gy")})
    assert_same(computed(problem, role), rounded(exact, problem))


@here
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("bits", [4, 9, 14, 20])
def test_every_bit_of_a_number_counts(role: str, bits: int) -> None:
    # `bits` of one operand and 20 - bits of the other: products that need each of the six
    g = parse("n1 ic6 oc5 i5x4 k2x2 p1" if role != "weight_grad" else "n1 ic6 oc5 i3x3 k2x2")
    rng = np.random.default_rng(bits)

    def odd(shape: tuple[int, ...], digits: int) -> np.ndarray:
        return ((2 * rng.integers(0, 1 << digits - 1, shape) + 1) * rng.choice([-1, 1], shape)).astype("float32")

    first, second = max(bits, 1), max(18 - bits, 1)
    digits = {"forward": (first, second, 1), "input_grad": (1, second, first), "weight_grad": (second, 1, first)}[role]
    x, w, gy = map(odd, (g.input_shape, g.weight_shape, g.output_shape), digits)
    problem = Problem(g, x, w, gy)
    assert_same(computed(problem, role), expected(problem, role))


@here
@both
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "relaid",
    [np.asfortranarray, lambda a: np.flip(np.flip(a).copy()), lambda a: _apart(a)],
    ids=["Fortran", "backwards", "apart"],
)
@pytest.mark.parametrize("spelling", ["n2 ic40 oc36 i9x10 k3x2 p1 s1x2", "n2 ic40 oc36 i9x10 k3x3 p1"])
def test_arrays_may_have_any_strides(
    spelling: str, role: str, relaid: Callable[[np.ndarray], np.ndarray], dtype: str
) -> None:
    problem = draw(spelling, dtype)
    plan = choose(role, problem.geometry, dtype, Machine.here(), "tiles")
    a, b = map(relaid, problem.arguments(role))
    out = relaid(np.full(problem.result_shape(role), 77, dtype))
    around = out.base if out.base is not None and out.base.size > out.size else None
    assert_same(execute(plan, a, b, out), expected(problem, role))
    if around is not None:
        out[...] = 77
        assert (around == 77).all()


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)


@here
@both
@pytest.mark.parametrize("role", ["forward", "input_grad"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_channels_that_lie_beside_each_other_change_no_bit(spelling: str, role: str, dtype: str) -> None:
    problem = thirds(draw(spelling, dtype))
    a, w = problem.arguments(role)
    plan, expected = choose(role, problem.geometry, dtype, Machine.here(), "tiles"), computed(problem, role)
    for relaid in (np.ascontiguousarray, channels_last):
        out = relaid(np.full(expected.shape, np.nan, dtype))
        assert_same(execute(plan, channels_last(a), w, out), expected)
    assert_same(execute(plan, a, w, channels_last(np.full(expected.shape, np.nan, dtype))), expected)


@here
@both
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_channels_that_lie_beside_each_other_change_no_bit_of_a_weight_gradient(spelling: str, dtype: str) -> None:
    problem = thirds(draw(spelling, dtype))
    gy, x = problem.arguments("weight_grad")
    plan = choose("weight_grad", problem.geometry, dtype, Machine.here(), "tiles")
    expected = computed(problem, "weight_grad")
    for arrays in ((gy, channels_last(x)), (channels_last(gy), x), (channels_last(gy), channels_last(x))):
        assert_same(execute(plan, *arrays, np.full(expected.shape, np.nan, dtype)), expected)


def _apart(array: np.ndarray) -> np.ndarray:
    whole = np.full((*array.shape[:-1], 2 * array.shape[-1] + 5), 77, array.dtype)
    whole[..., : 2 * array.shape[-1] : 2] = array
    return whole[..., : 2 * array.shape[-1] : 2]


@here
def test_a_sum_over_many_positions_is_rounded_once() -> None:
    g = parse("ic2 oc3 i313600 k1")
    rng = np.random.default_rng(3)
    gy = rng.integers(0, 16, g.output_shape).astype("float32")
    x = rng.integers(500, 2000, g.input_shape).astype("float32")
    exact = np.einsum("nop,ncp->oc", gy.astype("int64"), x.astype("int64"))
    assert exact.min() > 1 << 30  # beyond 2**24 additions round; sums of pieces are exact, those of a range are not
    gw = computed(Problem(g, x, np.zeros(g.weight_shape, "float32"), gy), "weight_grad")
    assert np.array_equal(gw[..., 0], exact.astype("float32"))


# --- within a bound


@here
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("positive", [False, True], ids=["any sign", "positive"])
def test_real_numbers_stay_within_the_bound_that_the_plan_names(role: str, precision: str, positive: bool) -> None:
    g = parse("n2 ic40 oc34 i5x6 k3x2 p1")
    rng = np.random.default_rng(5)

    def numbers(shape: tuple[int, ...]) -> np.ndarray:
        found = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6, shape)).astype("float32")
        return np.abs(found) if positive else found

    problem = Problem(g, *map(numbers, (g.input_shape, g.weight_shape, g.output_shape)))
    plan = choose(role, g, "float32", Machine.here(), "tiles", precision=precision)
    got = execute(plan, *problem.arguments(role), np.empty(problem.result_shape(role), "float32"))
    assert_within_bound(got, plan, *problem.arguments(role))


@here
@pytest.mark.parametrize("role", ROLES)
def test_less_precision_rounds_what_more_precision_keeps(role: str) -> None:
    problem = draw("n2 ic33 oc34 i8x9 k3x3")
    name = "gy" if role == "input_grad" else "x"
    fine = replace(problem, **{name: getattr(problem, name) + np.float32(2.0**-8)})  # 12 bits: two parts
    exact = expected(fine, role)
    assert_same(computed(fine, role, precision="high"), computed(fine, role))
    assert_same(computed(fine, role), exact)
    assert (computed(fine, role, precision="medium") != exact).any()


@here
def test_full_precision_is_closer_than_the_vector_path_on_a_long_sum() -> None:
    g = parse("n1 ic256 oc32 i10x10 k3x3 p1")
    rng = np.random.default_rng(7)
    x, w = (rng.standard_normal(shape).astype("float32") for shape in (g.input_shape, g.weight_shape))
    problem = Problem(g, x, w, np.zeros(g.output_shape, "float32"))
    exact = execute(
        choose("forward", g, "float64", Machine.here(), "im2col"),
        x.astype(float),
        w.astype(float),
        np.empty(g.output_shape),
    )
    errors = [np.linalg.norm(computed(problem, "forward", name) - exact) for name in ("tiles", "shifted")]
    assert errors[0] < errors[1]


# --- numbers that tiles do not keep

STRANGE = {
    "NaN": np.nan,
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "denormal": 1e-40,
    "small": 2.0**-80,
    "large": -(2.0**60),
    "largest": 3e38,
}


@here
@both
@pytest.mark.parametrize("role", ["forward", "input_grad"])
@pytest.mark.parametrize("number", STRANGE.values(), ids=STRANGE)
def test_an_image_with_a_strange_number_takes_the_vector_path_alone(role: str, number: float, dtype: str) -> None:
    problem = thirds(draw("n6 ic36 oc33 i6x5 k3x2 p1", dtype))
    a, w = problem.arguments(role)
    clean = computed(replace(problem, x=a, gy=a, w=w), role)
    a = a.copy()
    a[4, 17, 3, 2] = number
    strange = replace(problem, x=a, gy=a, w=w)
    with np.errstate(all="ignore"):
        got, by_vectors = computed(strange, role), computed(strange, role, "shifted")
    assert_same(got[4], by_vectors[4])
    others = [0, 1, 2, 3, 5]
    assert_same(got[others], clean[others])
    assert dtype == "bfloat16" or (clean[others] != by_vectors[others]).any()  # which rounds the difference away


@here
@both
@pytest.mark.parametrize("role", ["forward", "input_grad"])
@pytest.mark.parametrize("number", STRANGE.values(), ids=STRANGE)
def test_a_strange_weight_sends_the_call_to_the_vector_path(role: str, number: float, dtype: str) -> None:
    problem = thirds(draw("n2 ic36 oc33 i6x5 k3x2 p1", dtype))
    a, w = problem.arguments(role)
    w[31, 35, 2, 1] = number
    strange = replace(problem, x=a, gy=a, w=w)
    with np.errstate(all="ignore"):
        assert_same(computed(strange, role), computed(strange, role, "shifted"))


@here
@both
@pytest.mark.parametrize("which", ["x", "gy"])
@pytest.mark.parametrize("number", STRANGE.values(), ids=STRANGE)
def test_a_strange_number_sends_a_weight_gradient_to_the_vector_path(which: str, number: float, dtype: str) -> None:
    problem = thirds(draw("n3 ic36 oc33 i6x5 k3x2 p1", dtype))
    numbers = {"x": problem.x.copy(), "gy": problem.gy.copy()}
    clean = computed(replace(problem, **numbers), "weight_grad")
    numbers[which][2, 32, 4, 3] = number
    strange = replace(problem, **numbers)
    with np.errstate(all="ignore"):
        assert_same(computed(strange, "weight_grad"), computed(strange, "weight_grad", "shifted"))
    numbers[which][2, 32, 4, 3] = 1  # and nothing of it stays in memory that is used again
    assert np.isfinite(computed(replace(problem, **numbers), "weight_grad")).all() and np.isfinite(clean).all()


@here
@both
@pytest.mark.parametrize("role", ROLES)
def test_products_below_what_the_unit_keeps_are_not_lost(role: str, dtype: str) -> None:
    problem = draw("n2 ic6 oc5 i3x2 k1x1", dtype)
    kind = problem.x.dtype.type
    x, gy, w = problem.x * kind(2.0**-67), problem.gy * kind(2.0**-67), problem.w * kind(2.0**-67)
    small = replace(problem, x=x, gy=gy, w=w)
    got = computed(small, role)
    assert_same(got, computed(small, role, "shifted"))
    assert got.astype("float32").any()


@here
@pytest.mark.parametrize("number", [0.0, -0.0, 2.0**-72, -(2.0**-72), 2.0**29], ids=str)
def test_numbers_within_the_range_stay_on_tiles(number: float) -> None:
    problem = draw("n2 ic36 oc33 i6x5 k3x2 p1")
    x = problem.x / np.float32(3)
    x[0, 3, 2, 2] = number
    usual = replace(problem, x=x, w=problem.w / np.float32(3))
    assert (computed(usual, "forward")[0] != computed(usual, "forward", "shifted")[0]).any()


# --- the same bits


@here
@both
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "spelling", ["n7 ic40 oc70 i9x10 k3x3 p1", "n9 ic65 oc40 i7x7 k1x1", "n2 ic40 oc80 i50x51 k3x3"]
)
def test_the_number_of_threads_changes_no_bit(
    spelling: str, role: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, found = thirds(draw(spelling, dtype)), []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("CONVGRAD_NUM_THREADS", threads)
        found.append(computed(problem, role))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


@here
@both
@pytest.mark.parametrize("role", ["forward", "input_grad"])
@pytest.mark.parametrize("spelling", ["n7 ic40 oc70 i9x10 k3x3 p1", "n9 ic65 oc40 i7x7 k1x1"])
def test_an_image_has_the_bits_that_it_has_alone(spelling: str, role: str, dtype: str) -> None:
    problem = thirds(draw(spelling, dtype))
    together = computed(problem, role)
    for n in range(len(together)):
        one = Problem(problem.geometry.with_batch(1), problem.x[n : n + 1], problem.w, problem.gy[n : n + 1])
        assert_same(computed(one, role), together[n : n + 1])


@here
def test_an_output_has_the_bits_that_it_has_elsewhere() -> None:
    problem = thirds(draw("n1 ic70 oc33 i40x41 k3x3"))
    whole = computed(problem, "forward")
    for top, left, height, width in [(0, 0, 5, 7), (3, 11, 21, 5), (20, 1, 20, 40)]:
        g = parse(f"n1 ic70 oc33 i{height}x{width} k3x3")
        x = problem.x[:, :, top : top + height, left : left + width]
        piece = computed(Problem(g, x, problem.w, np.zeros(g.output_shape, "float32")), "forward")
        assert_same(piece, whole[:, :, top : top + height - 2, left : left + width - 2])


# --- plans


@pytest.mark.parametrize("role", ROLES)
def test_plans_name_products_and_bound(role: str) -> None:
    bounds = []
    for precision, products in [("highest", 6), ("high", 3), ("medium", 1)]:
        plan = choose(role, parse("ic128 oc128 i28x28 k3x3 p1"), "float32", SERVER, "tiles", precision=precision)
        assert f"amx, {products} product" in str(plan) and plan.precision == precision
        bounds.append(plan.error_bound)
    assert bounds[0] < 1000 and 384 < bounds[1] < 1500 and bounds[2] > 1 << 16


def test_a_machine_without_tiles_computes_every_precision_in_full_and_says_so() -> None:
    g, without = parse("ic128 oc128 i28x28 k3x3 p1"), replace(SERVER, amx=False)
    highest = choose("forward", g, "float32", without)
    medium = choose("forward", g, "float32", without, precision="medium")
    assert (medium.algorithm, medium.error_bound) == (highest.algorithm, highest.error_bound)
    assert "medium or better" in str(medium) and "this process has no matrix tiles (AMX)" in str(medium)
    with pytest.raises(
        UnsupportedError, match=r"algorithm = 'tiles': this process has no matrix tiles \(AMX\); accepted"
    ):
        choose("forward", g, "float32", without, "tiles")


def test_a_precision_without_a_name_is_refused() -> None:
    with pytest.raises(
        UnsupportedError, match="precision = 'low': is no precision that has a name here; accepted: high"
    ):
        convgrad.conv(np.zeros((1, 1, 3), "float32"), np.zeros((1, 1, 2), "float32"), precision="low")


def test_an_instruction_set_that_was_asked_for_has_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_ISA", "generic")
    assert not Machine.here().amx


def test_integers_never_go_to_tiles() -> None:
    plan = choose("forward", parse("ic128 oc128 i28x28 k3x3 p1"), "int64", SERVER)
    assert "products of bfloat16" not in str(plan)


def test_problems_without_terms_have_a_plan() -> None:
    for role in ROLES:
        for spelling in ("ic0 oc4 i5 k3", "ic4 oc0 i5 k3", "n0 ic40 oc40 i5 k3"):
            assert choose(role, parse(spelling), "float32", SERVER, "tiles").error_bound > 0


def test_layers_with_few_channels_stay_on_vectors() -> None:
    for role in ROLES:
        for spelling in (
            "ic3 oc64 i224x224 k7x7 s2 p3",
            "ic64 oc64 i56x56 k3x3 p1 g64",
            "ic8 oc8 i64x64 k3x3",
            "ic2 oc2 i9 k3",
        ):
            assert choose(role, parse(spelling), "float32", SERVER).algorithm != "tiles"


@here
def test_the_public_functions_take_a_precision() -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype("float32") for shape in [(2, 64, 30, 30), (64, 64, 3, 3)])
    plan = convgrad.plan_for("forward", "n2 ic64 oc64 i30x30 k3x3", precision="medium")
    assert plan.algorithm == "tiles"
    for _ in range(3):  # also where the call repeats
        assert_same(convgrad.conv(x, w, precision="medium"), execute(plan, x, w, np.empty((2, 64, 28, 28), "float32")))
        assert (convgrad.conv(x, w, precision="medium") != convgrad.conv(x, w)).any()


# --- layouts and text


@given(geometries(), st.integers(1, 400), st.integers(1, 1500), st.sampled_from([1, 2, 3]))
def test_the_parts_of_a_threads_memory_do_not_meet(g: object, rows: int, channels: int, parts: int) -> None:
    for p in passes("forward", g):
        data, weight = data_layout(p, rows, channels, parts), weight_layout(p, rows, channels, parts)
        check_data(data, rows, channels, max(data.panels.shifts))
        check_weight(weight, max(weight.panels.shifts))


def check_data(lay: DataLayout, rows: int, channels: int, furthest: int) -> None:
    panels = lay.panels
    assert panels.channels_together % 32 == 0 and lay.channel_step % 32 == 0 and lay.rows_together % 32 == 0
    assert lay.all_channels == (panels.channels_together >= channels)
    images = panels.together if lay.joined else 1
    length = images * panels.panel_size if lay.joined else panels.run
    assert length <= lay.run and lay.pair_pitch >= images * panels.panel_size + 16
    assert (0 if lay.joined else furthest) + length <= images * panels.panel_size + 32
    assert (lay.pair_pitch // 16) % 2 == 1 and (lay.run // 16) % 2 == 1
    runs = 1 if lay.joined else panels.together
    assert runs * lay.image_panel < lay.buffer_at
    assert lay.buffer_at + runs * lay.buffer_rows * lay.run <= lay.extremes_at < lay.sums_at < lay.scratch


def check_weight(lay: WeightLayout, furthest: int) -> None:
    panels = lay.panels
    assert panels.channels_together % 32 == 0 and lay.rows_together % 32 == 0 and lay.run % 32 == 0
    assert furthest + lay.run <= panels.panel_size + 32 <= lay.turned + 1 <= lay.temp_pitch
    assert lay.parities == 2 or all(shift % 2 == 0 for shift in panels.shifts)
    assert lay.image_panel == lay.parts * lay.parities * panels.channels_together * lay.turned // 2
    assert panels.together * lay.image_panel <= lay.gy_at
    assert lay.gy_at + panels.together * lay.gy_image <= lay.temp_at
    assert lay.run + 32 <= lay.gy_pitch and 2 * lay.gy_image == lay.parts * lay.rows_together * lay.gy_pitch
    assert lay.temp_at + lay.parts * 8 * lay.temp_pitch <= lay.sums_at
    assert lay.sums_at + 32 * lay.columns <= lay.totals_at
    assert lay.totals_at + 2 * lay.entries <= lay.extremes_at < lay.scratch


@pytest.mark.parametrize("module", [data_kernel, filter_kernel, weight_kernel], ids=["data", "filter", "weight"])
def test_the_text_of_a_kernel_is_a_function_of_what_arrays_hold(module: object) -> None:
    sources = [*map(float32, PRODUCTS), BFLOAT16]
    texts = [module.text(source) for source in sources]
    assert texts == [module.text(source) for source in sources] and len(set(texts)) == 4
    assert all("inttoptr" not in text and f"@{module.NAME}(ptr noalias %record)" in text for text in texts)


def test_products_are_all_pairs_of_parts_above_the_rounding() -> None:
    for products, pairs in PRODUCTS.items():
        parts = PARTS[products]
        assert sorted(pairs) == sorted((i, j) for i in range(parts) for j in range(parts) if i + j < parts)
