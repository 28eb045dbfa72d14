"""Integers: exact to the last bit of 64, in any algorithm, or an error that says by how much."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem
from strategies import bordered_problems, problems

import convgrad as cg
from convgrad import definition, integers
from convgrad.api import compute, plan_for
from convgrad.plan import ROLES


def redrawn(problem: Problem, role: str, dtypes: tuple[str, str], bits: tuple[int, int], seed: int) -> list[Any]:
    """Arrays of a problem with integers of so many bits, as far as their dtypes hold them."""
    rng, found = np.random.default_rng(seed), []
    for array, dtype, size in zip(problem.arguments(role), dtypes, bits, strict=True):
        most = min(int(np.iinfo(dtype).max), (1 << size) - 1)
        low = max(int(np.iinfo(dtype).min), -most - 1)
        found.append(rng.integers(low, most, array.shape, dtype=dtype, endpoint=True))
    return found


def assert_exact(got: Any, a: Any, b: Any, role: str, g: cg.Geometry) -> None:
    exact = DEFINITIONS[role](a.astype(object), b.astype(object), g)
    assert got.dtype == integers.result_dtype(a.dtype, b.dtype)
    assert [int(number) for number in got.flat] == [int(number) for number in exact.flat]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("algorithm", ["shifted", "im2col", None])
@given(
    problem=st.one_of(problems(), bordered_problems()),
    dtypes=st.tuples(*[st.sampled_from(integers.DTYPES)] * 2),
    bits=st.tuples(st.integers(1, 27), st.integers(1, 27)),
    seed=st.integers(0, 99),
)
def test_every_sum_is_exact(
    role: str,
    algorithm: str | None,
    problem: Problem,
    dtypes: tuple[str, str],
    bits: tuple[int, int],
    seed: int,
) -> None:
    g = whole_fill(problem.geometry)
    a, b = redrawn(problem, role, dtypes, bits, seed)
    assert_exact(compute(role, g, a, b, algorithm=algorithm), a, b, role, g)


def whole_fill(g: cg.Geometry) -> cg.Geometry:
    """Its constant as an integer, which Python's integers in the definition need."""
    axes = (
        cg.Axis(a.input, a.kernel, a.stride, a.dilation, a.before, a.after, a.mode, int(a.fill.real)) for a in g.axes
    )
    return cg.Geometry(g.batch, g.in_channels, g.out_channels, g.groups, tuple(axes))


def test_sums_next_to_the_end_of_the_range_are_exact() -> None:
    x, w = np.array([[[2**62 - 1, 3, -(2**61)]]]), np.array([[[1, 1, -2]]])
    assert cg.conv(x, np.ones_like(w)[:, :, :1])[0, 0].tolist() == [2**62 - 1, 3, -(2**61)]
    wide = np.array([[[2**64 - 1]]], np.uint64)
    assert cg.conv(wide, np.array([[[1]]], np.uint8)).item() == 2**64 - 1
    large = np.array([[[2**32 - 1]]], np.uint64)
    assert cg.conv(large, large).item() == (2**32 - 1) ** 2


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_nothing_wraps_at_the_size_of_the_arrays(dtype: str) -> None:
    x = np.full((1, 64, 5, 5), np.iinfo(dtype).max, dtype)
    y = cg.conv(x, x[:, :, :3, :3])
    assert y.item(0) == 64 * 9 * int(np.iinfo(dtype).max) ** 2


def test_the_most_negative_number_counts_with_its_size() -> None:
    x = np.array([[[-128, 127]]], np.int8)
    assert cg.conv(x, x[..., :1])[0, 0].tolist() == [16384, -16256]


def test_what_could_overflow_is_refused_with_the_numbers() -> None:
    x = np.array([[[2**40, 1]]])
    with pytest.raises(cg.UnsupportedError) as caught:
        cg.conv(x, x)
    assert str(caught.value) == (
        "x, w = 'up to 1099511627776 and 1099511627776': sums of 2 products can reach 2417851639229258349412352, "
        "and int64 holds 9223372036854775807; accepted: smaller numbers, or floats, as from x.astype('float64')"
    )
    with pytest.raises(
        cg.UnsupportedError, match="gy = 'up to 4611686018427387904': sums can reach 18446744073709551616"
    ):
        cg.conv_bias_grad(np.full((2, 1, 2), 2**62))
    with pytest.raises(cg.UnsupportedError, match="bias = 'up to 9223372036854775807': sums can reach"):
        cg.conv(x[..., :1], np.ones_like(x)[..., :1], np.array([2**63 - 1]))


def test_a_constant_in_the_padding_must_be_whole() -> None:
    x = np.ones((1, 1, 3), int)
    assert cg.conv(x, x, padding=1, padding_mode="constant", padding_value=7)[0, 0].tolist() == [9, 3, 9]
    with pytest.raises(cg.UnsupportedError, match=r"padding_value = 0.5: is no whole number, but x is int64"):
        cg.conv(x, x, padding=1, padding_mode="constant", padding_value=0.5)


def test_a_large_kernel_stays_exact() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-99, 99, (1, 1, 90, 90)), rng.integers(-99, 99, (1, 1, 40, 40))
    g = cg.spelling.parse("i90x90 k40x40")
    assert plan_for("forward", g, dtype="int64").error_bound == 0
    windows = np.lib.stride_tricks.sliding_window_view(x[0, 0], (40, 40))
    assert np.array_equal(cg.conv(x, w)[0, 0], np.einsum("abij,ij->ab", windows, w[0, 0]))
    with pytest.raises(cg.UnsupportedError, match="rounds whole numbers, which must stay exact"):
        cg.conv(x, w, algorithm="fourier")


def test_integers_and_floats_meet_as_in_numpy() -> None:
    for first, second in itertools.product(("int8", "int32", "uint64"), ("float32", "float64", "complex64")):
        x, w = np.arange(5).astype(first)[None, None], np.arange(1, 3).astype(second)[None, None]
        y = cg.conv(x, w)
        assert y.dtype == np.result_type(first, second)
        assert np.array_equal(y, definition.forward(x, w, cg.spelling.parse("i5 k2")))


@pytest.mark.parametrize("role", ROLES)
def test_any_layout_will_do_and_out_is_written(role: str) -> None:
    g, rng = cg.spelling.parse("n5 ic4 oc6 g2 i9x8 k3x2 s2x1 p1"), np.random.default_rng(0)
    shapes = {"x": g.input_shape, "w": g.weight_shape, "gy": g.output_shape}
    a, b = (rng.integers(-9, 9, shapes[name][::-1]).T.astype(">i4") for name in cg.api._ARGUMENTS[role])
    out = np.empty(getattr(g, cg.api._RESULT_SHAPE[role])[::-1], np.int64).T
    assert compute(role, g, a, b, out=out) is out
    assert_exact(out, a, b, role, g)


@pytest.mark.parametrize("dtype", ["bool", "float16", "object", "longdouble"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(
        cg.UnsupportedError, match=r"no kernel computes it; accepted: float32, float64, bfloat16, complex64, "
    ):
        cg.conv(np.ones((1, 1, 3), dtype), np.ones((1, 1, 3)))
