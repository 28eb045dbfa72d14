"""Complex arrays: three products or four, exactly on Gaussian integers, within the bound on real data."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same, excess
from strategies import bordered_problems, problems

import convgrad as cg
from convgrad import complexes, definition
from convgrad.api import compute, plan_for
from convgrad.plan import ROLES

KINDS = [pair for pair in itertools.product(("float", "complex"), repeat=2) if "complex" in pair]
OPTIONS: dict[str, Any] = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "groups": 2}


def gaussian(array: Any, seed: int, dtype: str) -> Any:
    """Whole numbers as they are, or with whole imaginary parts."""
    bits = 32 * array.dtype.itemsize // 4
    if dtype == "float":
        return array
    imaginary = np.random.default_rng(seed).integers(-8, 9, array.shape)
    return (array + 1j * imaginary).astype(f"complex{2 * bits}")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("algorithm", ["shifted", "taps", "im2col", None])
@pytest.mark.parametrize("kinds", KINDS)
@given(problem=problems(), seed=st.integers(0, 99))
def test_the_three_sums_do_not_conjugate(
    role: str, algorithm: str | None, kinds: tuple[str, str], problem: Problem, seed: int
) -> None:
    a, b = (gaussian(z, seed + n, kind) for n, (z, kind) in enumerate(zip(problem.arguments(role), kinds, strict=True)))
    try:
        got = compute(role, problem.geometry, a, b, algorithm=algorithm)
    except cg.UnsupportedError as error:
        assert "one tap" in str(error)
        return
    assert_same(got, DEFINITIONS[role](a, b, problem.geometry))


@pytest.mark.parametrize("method", complexes.METHODS)
@given(problem=bordered_problems("float64"), seed=st.integers(0, 99))
def test_borders_and_constants_may_be_complex(method: str, problem: Problem, seed: int) -> None:
    g, fill = problem.geometry, 2 - 3j
    x, w = gaussian(problem.x, seed, "complex"), gaussian(problem.w, seed + 1, "complex")
    border: dict[str, Any] = {
        "stride": [a.stride for a in g.axes],
        "dilation": [a.dilation for a in g.axes],
        "groups": g.groups,
        "padding": [(a.before, a.after) for a in g.axes],
        "padding_mode": [a.mode for a in g.axes],
        "padding_value": fill if g.fill else 0,
    }
    g = with_fill(g, fill)
    y = cg.conv(x, w, **border, complex_method=method)
    assert_same(y, definition.forward(x, w, g))
    gw = cg.conv_weight_grad(y, x, kernel_size=g.kernel_size, **border, complex_method=method)
    assert_same(gw, definition.weight_grad(y.conj(), x, g).conj())


def with_fill(g: cg.Geometry, fill: complex) -> cg.Geometry:
    axes = (
        cg.Axis(a.input, a.kernel, a.stride, a.dilation, a.before, a.after, a.mode, fill) if a.mode == "constant" else a
        for a in g.axes
    )
    return cg.Geometry(g.batch, g.in_channels, g.out_channels, g.groups, tuple(axes))


@pytest.mark.parametrize("method", complexes.METHODS)
@pytest.mark.parametrize("kinds", KINDS)
def test_gradients_are_the_adjoints(method: str, kinds: tuple[str, str]) -> None:
    x, w = (
        gaussian(draw(*shape), n, kind)
        for n, (shape, kind) in enumerate(zip(((2, 4, 7, 6), (6, 2, 3, 2)), kinds, strict=True))
    )
    y = cg.conv(x, w, **OPTIONS, complex_method=method)
    gy = gaussian(draw(*y.shape), 5, "complex")
    gx = cg.conv_input_grad(gy, w, input_size=(7, 6), **OPTIONS, complex_method=method)
    gw = cg.conv_weight_grad(gy, x, kernel_size=(3, 2), **OPTIONS, complex_method=method)
    assert np.vdot(y, gy) == np.vdot(x, gx) == np.vdot(w, gw)  # vdot conjugates its first argument


def test_a_transposed_convolution_conjugates_nothing() -> None:
    x, w = gaussian(draw(1, 2, 4), 1, "complex"), gaussian(draw(2, 3, 3), 2, "complex")
    got = cg.conv_transpose(x, w, stride=2)
    assert_same(got.conj(), cg.conv_input_grad(x.conj(), w, input_size=9, stride=2))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", complexes.METHODS)
@pytest.mark.parametrize("spelling", ["n2 ic3 oc4 i9x8 k3x3 p1", "n2 ic1 oc1 i40x41 k13x13 p6", "ic8 oc8 i300 k5"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_real_data_stays_within_the_bound(role: str, method: str, spelling: str, dtype: str) -> None:
    g, rng = cg.spelling.parse(spelling), np.random.default_rng(0)
    plan = plan_for(role, g, dtype=dtype, complex_method=method)
    shapes = {"forward": (g.input_shape, g.weight_shape), "input_grad": (g.output_shape, g.weight_shape)}
    a, b = (
        (rng.standard_normal(s) + 1j * rng.standard_normal(s)).astype(dtype)
        for s in shapes.get(role, (g.output_shape, g.input_shape))
    )
    call = {
        "forward": lambda: cg.conv(a, b, padding=padding, complex_method=method),
        "input_grad": lambda: cg.conv_input_grad(a, b, input_size=g.input_size, padding=padding, complex_method=method),
        "weight_grad": lambda: cg.conv_weight_grad(
            a, b, kernel_size=g.kernel_size, padding=padding, complex_method=method
        ),
    }
    padding = [(axis.before, axis.after) for axis in g.axes]
    got = call[role]()
    assert np.max(excess(got, plan, a, b if role == "forward" else b.conj())) <= 1


def test_four_products_are_accurate_in_each_part_where_three_are_not() -> None:
    # the imaginary part is a million times smaller than the real one
    x = (draw(1, 1, 50) + 1e-6j * draw(1, 1, 50)[..., ::-1]).astype("complex64")
    w = (draw(1, 1, 3) + 0j).astype("complex64")
    exact = cg.conv(x.astype("complex128"), w.astype("complex128"), complex_method="4m").imag
    off = {m: np.max(np.abs(cg.conv(x, w, complex_method=m).imag - exact)) for m in complexes.METHODS}
    assert off["4m"] < 1e-10 < off["3m"] < 1e-4


@pytest.mark.parametrize("role", ["forward", "input_grad"])
def test_an_image_has_the_same_bits_in_any_batch(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complexes, "TOGETHER_BYTES", 20_000)  # some images at a time
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((7, 3, 9, 9), (3, 3, 3, 3)))
    g = cg.Geometry(7, 3, 3, 1, (cg.Axis(9, 3, before=1, after=1),) * 2)
    every = compute(role, g, x, w)
    for n in range(7):
        assert_same(compute(role, g.with_batch(1), x[n : n + 1], w), every[n : n + 1])


def test_an_infinity_stays_in_its_image_and_in_its_part() -> None:
    x, w = gaussian(draw(3, 1, 6), 1, "complex"), gaussian(draw(1, 1, 2), 2, "complex")
    clean = cg.conv(x, w)
    x[1, 0, 2] = complex(np.inf, 1)
    with np.errstate(all="ignore"):
        got, by_four = cg.conv(x, w), cg.conv(x, w, complex_method="4m")
    assert_same(got[::2], clean[::2])
    assert_same(got, by_four)
    assert np.isfinite(got[1, 0, 3:]).all() and np.isinf(got[1, 0, 1:3].real).all()


LAYOUTS: dict[str, Any] = {
    "backwards": lambda z: z[:, :, ::-1],
    "fortran": np.asfortranarray,
    "big-endian": lambda z: z.astype(">c16"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_will_do_and_out_is_written(layout: Any) -> None:
    x, w = gaussian(draw(2, 2, 7), 1, "complex"), gaussian(draw(3, 2, 3), 2, "complex")
    expected = definition.forward(
        np.ascontiguousarray(layout(x)).astype(complex), w, cg.spelling.parse("n2 ic2 oc3 i7 k3")
    )
    out = np.empty((2, 3, 5), complex)[:, ::-1]
    assert cg.conv(layout(x), w, out=out) is out
    assert_same(np.ascontiguousarray(out), expected)


def test_a_bias_and_its_gradient_are_complex_too() -> None:
    x, w, bias = gaussian(draw(2, 1, 5), 1, "complex"), gaussian(draw(2, 1, 3), 2, "complex"), np.array([1j, 2])
    y = cg.conv(x, w, bias)
    assert_same(y, cg.conv(x, w) + bias[:, None])
    assert_same(cg.conv_bias_grad(y), y.sum(axis=(0, 2)))
    with pytest.raises(cg.UnsupportedError, match=r"bias\.dtype = 'complex128': the result is float64"):
        cg.conv(x.real, w.real, bias)


def test_a_layer_may_be_complex() -> None:
    layer = cg.Conv(2, 4, (3,), groups=2, rng=0, dtype="complex64")
    x = gaussian(draw(2, 2, 6), 1, "complex").astype("complex64")
    y = layer.forward(x)
    gx = layer.backward(y)
    assert y.dtype == gx.dtype == layer.weight.dtype == layer.weight_grad.dtype == np.complex64
    assert np.abs(layer.weight.imag).min() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda z: cg.conv(z, z, complex_method="2m"),
            "complex_method = '2m': is no way to multiply here; accepted: 3m or 4m",
        ),
        (
            lambda z: cg.conv(z.real, z, padding=1, padding_mode="constant", padding_value=1j),
            "padding_value = 1j: is complex, but x is float64; accepted: a real number",
        ),
    ],
)
def test_what_means_nothing_is_refused(make: Any, message: str) -> None:
    with pytest.raises(cg.UnsupportedError) as caught:
        make(np.ones((1, 1, 2), complex))
    assert str(caught.value) == message


def test_the_plan_says_how_complex_numbers_are_multiplied() -> None:
    text = str(plan_for("input_grad", "ic2 oc2 i9 k3", dtype="complex64"))
    assert "3m, the second conjugated: 3 real products" in text


def draw(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).integers(-8, 9, shape).astype("float64")
