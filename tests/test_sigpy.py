"""SigPy's functions and operators: its results on every shape that it takes, exact adjoints, and more."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from oracles import assert_same
from peers import peer

sigpy: Any = peer("sigpy")

import convgrad.sigpy as ours  # noqa: E402
from convgrad import GeometryError  # noqa: E402

# data, filter, multi_channel: those of SigPy's own tests (tests/test_conv.py), and more
CASES: list[tuple[Any, Any, bool]] = [
    ((5,), (3,), False),
    ((2, 5), (3,), False),
    ((3, 4, 5), (2, 3), False),
    ((5, 4, 3), (2, 2, 2), False),
    ((2, 3, 6), (4, 3, 2), True),
    ((3, 6, 5), (2, 3, 3, 2), True),
    ((2, 2, 3, 5, 4), (4, 3, 2, 3), True),
    ((1, 4, 3, 5, 2), (2, 4, 2, 3, 2), True),
]
DTYPES = ["float32", "float64", "complex64", "complex128"]


def draw(*shape: int, dtype: str = "float64", seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, *shape])
    found = rng.integers(-5, 6, shape)
    return (found + 1j * rng.integers(-5, 6, shape) if dtype.startswith("c") else found).astype(dtype)


def strides_of(filt: Any, multi_channel: bool) -> Any:
    rank = len(filt) - 2 * multi_channel
    return [None, (2,) * rank, tuple(range(1, rank + 1))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["full", "valid"])
@pytest.mark.parametrize(("data", "filt", "multi_channel"), CASES, ids=str)
def test_functions_have_the_results_of_sigpys(data: Any, filt: Any, multi_channel: bool, mode: str, dtype: str) -> None:
    for strides in strides_of(filt, multi_channel):
        given = {"mode": mode, "strides": strides, "multi_channel": multi_channel}
        x, w = draw(*data, dtype=dtype), draw(*filt, dtype=dtype, seed=1)
        y = sigpy.convolve(x, w, **given)
        assert_same(ours.convolve(x, w, **given), np.round(y))
        g = draw(*y.shape, dtype=dtype, seed=2)
        gx = ours.convolve_data_adjoint(g, w, data, **given)
        gw = ours.convolve_filter_adjoint(g, x, filt, **given)
        assert_same(gx, np.round(sigpy.convolve_data_adjoint(g, w, data, **given)))
        assert_same(gw, np.round(sigpy.convolve_filter_adjoint(g, x, filt, **given)))
        assert np.vdot(g, ours.convolve(x, w, **given)) == np.vdot(gx, x) == np.vdot(gw, w)


@pytest.mark.parametrize("mode", ["full", "valid"])
@pytest.mark.parametrize(("data", "filt", "multi_channel"), CASES, ids=str)
def test_operators_are_sigpys_with_our_arithmetic(data: Any, filt: Any, multi_channel: bool, mode: str) -> None:
    given = {"mode": mode, "strides": strides_of(filt, multi_channel)[1], "multi_channel": multi_channel}
    x, w = draw(*data), draw(*filt, seed=1)
    for name, shape, other in (("Data", data, w), ("Filter", filt, x)):
        mine, stock = (getattr(module, f"Convolve{name}")(shape, other, **given) for module in (ours, sigpy.linop))
        assert isinstance(mine, type(stock)) and (mine.ishape, mine.oshape) == (stock.ishape, stock.oshape)
        assert type(mine.H).__module__ == type(mine.H.H).__module__ == "convgrad.sigpy"
        a, g = draw(*shape, seed=3), draw(*mine.oshape, seed=4)
        assert_same(mine(a), np.round(stock(a)))
        assert_same(mine.H(g), np.round(stock.H(g)))
        assert_same((mine.H * mine)(a), mine.H(mine(a)))  # SigPy composes them


@pytest.mark.parametrize("strides", [None, (2, 3)])
def test_a_filter_longer_than_the_data_is_valid_too(strides: Any) -> None:
    x, w = draw(2, 3, 3, 4), draw(5, 3, 6, 9, seed=1)
    given: dict[str, Any] = {"mode": "valid", "strides": strides, "multi_channel": True}
    y = ours.convolve(x, w, **given)
    single = sum(
        np.stack(
            [[sigpy.convolve(w[j, i], x[k, i], mode="valid", strides=strides) for j in range(5)] for k in range(2)]
        )
        for i in range(3)
    )
    assert_same(y, np.round(single))
    g = draw(*y.shape, seed=2)
    gx, gw = ours.convolve_data_adjoint(g, w, x.shape, **given), ours.convolve_filter_adjoint(g, x, w.shape, **given)
    assert np.vdot(g, y) == np.vdot(gx, x) == np.vdot(gw, w)


def test_a_complex_filter_makes_real_data_complex() -> None:
    x, w = draw(5), draw(3, dtype="complex128", seed=1)
    assert_same(ours.convolve(x, w), np.convolve(x, w))  # SigPy drops the imaginary part


def test_integers_do_not_wrap() -> None:
    x = np.full(9, 100, np.int8)
    assert ours.convolve(x, x, mode="valid").tolist() == [90000]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.convolve(draw(4), draw(2, 3)), "filt.shape = (2, 3): with data of shape (4,)"),
        (lambda: ours.convolve(draw(2, 5), draw(1, 3, 2), multi_channel=True), "filt.shape = (1, 3, 2): has 3 input"),
        (lambda: ours.convolve(draw(4), draw(2), mode="same"), "mode = 'same': is no part of a convolution here"),
        (lambda: ours.convolve(draw(4, 5), draw(5, 4), mode="valid"), "mode = 'valid': needs one of (4, 5) and (5, 4)"),
        (lambda: ours.convolve(draw(4), draw(2), strides=[1, 1]), "strides = (1, 1): has 2 entries"),
        (lambda: ours.convolve_data_adjoint(draw(4), draw(2), (4,)), "output.shape = (4,): the convolution has"),
    ],
)
def test_what_is_no_convolution_is_refused(call: Any, message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        call()
    assert str(caught.value).startswith(message)


def test_without_sigpy_one_line_names_the_extra() -> None:
    script = "import sys; sys.modules['sigpy'] = None; import convgrad; import convgrad.sigpy"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.strip().splitlines()[-1].endswith('accepted: pip install "convgrad[sigpy]"')
