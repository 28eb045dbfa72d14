"""Weight gradients of each image: the same numbers as alone, on any number of threads, and their norms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from oracles import Problem, assert_same
from strategies import bordered_problems, problems

import convgrad as cg
from convgrad import definition

OPTIONS: dict[str, Any] = {"kernel_size": (3, 2), "stride": (2, 1), "padding": ((1, 0), 1), "groups": 2}


def options_of(g: cg.Geometry) -> dict[str, Any]:
    return {
        "kernel_size": g.kernel_size,
        "stride": [a.stride for a in g.axes],
        "dilation": [a.dilation for a in g.axes],
        "groups": g.groups,
        "padding": [(a.before, a.after) for a in g.axes],
        "padding_mode": [a.mode for a in g.axes],
        "padding_value": g.fill,
    }


def problem(batch: int, dtype: str = "float64") -> tuple[Any, Any]:
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, 4, 9, 7)).astype(dtype)
    return rng.standard_normal((batch, 6, 4, 8)).astype(dtype), x


@pytest.mark.parametrize("drawn", ["plain", "bordered"])
def test_each_image_has_the_gradient_of_the_definition(drawn: str) -> None:
    @given({"plain": problems(), "bordered": bordered_problems()}[drawn])
    def check(p: Problem) -> None:
        got = cg.conv_weight_grad(p.gy, p.x, **options_of(p.geometry), reduce="none")
        one = p.geometry.with_batch(1)
        each = [definition.weight_grad(p.gy[n : n + 1], p.x[n : n + 1], one) for n in range(len(p.x))]
        assert_same(got, np.array(each, p.x.dtype))
        norms = cg.conv_weight_grad(p.gy, p.x, **options_of(p.geometry), reduce="sqnorm")
        assert_same(norms, np.array([np.sum(gw.astype("f8") ** 2) for gw in each], p.x.dtype))

    check()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_an_image_has_the_same_bits_alone(threads: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", str(threads))
    gy, x = problem(batch)
    every = cg.conv_weight_grad(gy, x, **OPTIONS, reduce="none")
    norms = cg.conv_weight_grad(gy, x, **OPTIONS, reduce="sqnorm")
    for n in range(batch):
        part = slice(n, n + 1)
        assert_same(cg.conv_weight_grad(gy[part], x[part], **OPTIONS), every[n])
        assert_same(cg.conv_weight_grad(gy[part], x[part], **OPTIONS, reduce="sqnorm"), norms[part])


def test_large_images_are_shared_out_too() -> None:
    rng = np.random.default_rng(0)
    x, gy = rng.integers(-4, 5, (9, 16, 40, 40)).astype("f4"), rng.integers(-4, 5, (9, 16, 38, 38)).astype("f4")
    got = cg.conv_weight_grad(gy, x, kernel_size=3, reduce="none")
    assert_same(got.sum(0), cg.conv_weight_grad(gy, x, kernel_size=3))


@pytest.mark.parametrize("kind", ["complex", "int", "mixed"])
def test_other_numbers_than_floats(kind: str) -> None:
    rng = np.random.default_rng(0)
    gy, x = rng.integers(-9, 9, (3, 2, 5)), rng.integers(-9, 9, (3, 2, 7))
    if kind == "complex":
        gy, x = gy + 1j * rng.integers(-9, 9, gy.shape), x - 2j
    if kind == "mixed":
        gy = gy.astype("f4")
    got = cg.conv_weight_grad(gy, x, kernel_size=3, reduce="none")
    each = [cg.conv_weight_grad(gy[n : n + 1], x[n : n + 1], kernel_size=3) for n in range(3)]
    assert_same(got, np.array(each))
    norms = cg.conv_weight_grad(gy, x, kernel_size=3, reduce="sqnorm")
    assert_same(norms, np.array([(gw * gw.conj()).real.sum() for gw in each]))


def test_the_norm_of_small_and_large_entries_keeps_its_digits() -> None:
    x, gy = np.full((1, 1, 1), 1, "f4"), np.full((1, 10**6, 1), 1e-3, "f4")
    norm = cg.conv_weight_grad(gy, x, kernel_size=1, reduce="sqnorm").item()
    assert abs(norm / (10**6 * float(np.float32(1e-3)) ** 2) - 1) < 1e-7


@pytest.mark.parametrize("reduce", ["none", "sqnorm"])
def test_out_is_written_and_a_kernel_read_backwards(reduce: str) -> None:
    gy, x = problem(3)
    expected = cg.conv_weight_grad(gy, x, **OPTIONS, reduce=reduce)
    if reduce == "none":
        expected = np.flip(expected, (3, 4))
    out = np.full(expected.shape[::-1], np.nan).T
    assert cg.conv_weight_grad(gy, x, **OPTIONS, reduce=reduce, flip=True, out=out) is out
    assert_same(out, expected)


def test_no_images_have_no_gradients() -> None:
    gy, x = problem(0)
    assert cg.conv_weight_grad(gy, x, **OPTIONS, reduce="none").shape == (0, 6, 2, 3, 2)
    assert cg.conv_weight_grad(gy, x, **OPTIONS, reduce="sqnorm").shape == (0,)


def test_a_norm_that_does_not_fit_is_refused() -> None:
    gy = np.full((20, 1, 1), 2**31)
    with pytest.raises(cg.UnsupportedError, match=r"gw = 'of an image': has the squared norm \d+, and int64 holds"):
        cg.conv_weight_grad(gy, np.full((20, 1, 1), 2**31), kernel_size=1, reduce="sqnorm")


@pytest.mark.parametrize("reduce", ["mean", None])
def test_other_reductions_are_refused(reduce: Any) -> None:
    with pytest.raises(cg.UnsupportedError, match=r"is no way to sum over images; accepted: sum, none, sqnorm"):
        cg.conv_weight_grad(*problem(1), **OPTIONS, reduce=reduce)
