"""SciPy's ndimage filters: its results to the bit on whole numbers, for every mode, origin and axis; and adjoints.

The properties are those of SciPy's own tests of these functions (scipy/ndimage/tests/test_filters.py).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same
from peers import peer

from convgrad import GeometryError, UnsupportedError, ndimage

MODES = list(ndimage.MODES)
NAMES = ["correlate", "convolve"]
DTYPES = ["float32", "float64", "complex64", "complex128"]
SHAPES = [
    ((7,), (3,)),
    ((7,), (4,)),
    ((3,), (9,)),
    ((1,), (4,)),
    ((5, 6), (3, 2)),
    ((2, 3), (5, 1)),
    ((3, 4, 5), (2, 3, 1)),
]


def draw(*shape: int, dtype: str = "float64", seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, *shape])
    found = rng.integers(-6, 7, shape)
    return (found + 1j * rng.integers(-6, 7, shape) if dtype.startswith("c") else found).astype(dtype)


def origins(kernel: tuple[int, ...]) -> Any:
    return itertools.product(*(range(-(k // 2), (k - 1) // 2 + 1) for k in kernel))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_results_are_scipys_at_every_origin(name: str, mode: str, dtype: str) -> None:
    theirs = peer("scipy.ndimage")
    for shape, kernel in SHAPES:
        x, w = draw(*shape, dtype=dtype), draw(*kernel, dtype=dtype, seed=1)
        for origin in origins(kernel):
            expected = getattr(theirs, name)(x, w, None, mode, 2.0, origin)
            found = getattr(ndimage, name)(x, w, None, mode, 2.0, origin)
            assert found.dtype == expected.dtype
            assert_same(found, expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["correlate1d", "convolve1d"])
def test_filters_along_one_axis_are_scipys(name: str, mode: str, axis: int) -> None:
    theirs = peer("scipy.ndimage")
    for k in range(1, 6):
        x, w = draw(4, 5, 3), draw(k, seed=1)
        for (origin,) in origins((k,)):
            expected = getattr(theirs, name)(x, w, axis, None, mode, 2.0, origin)
            assert_same(getattr(ndimage, name)(x, w, axis, None, mode, 2.0, origin), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("axes", "kernel"), [((1,), (3,)), (0, (2,)), ((0, 2), (3, 2)), ((1, -1), (2, 2)), ((), ())])
def test_axes_that_are_not_named_are_not_filtered(name: str, axes: Any, kernel: tuple[int, ...]) -> None:
    theirs = peer("scipy.ndimage")
    x, w = draw(4, 5, 6), draw(*kernel, seed=1)
    if axes == ():
        assert_same(getattr(ndimage, name)(x, w, axes=axes), x * w)
        return
    assert_same(getattr(ndimage, name)(x, w, axes=axes), getattr(theirs, name)(x, w, axes=axes))


@given(
    lengths=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), min_size=1, max_size=3),
    mode=st.sampled_from(MODES),
    name=st.sampled_from(NAMES),
    dtype=st.sampled_from([*DTYPES, "int16", "uint8"]),
    data=st.data(),
)
def test_any_filter_is_scipys(lengths: Any, mode: str, name: str, dtype: str, data: Any) -> None:
    theirs = peer("scipy.ndimage")
    shape, kernel = zip(*lengths, strict=True)
    x, w = draw(*shape, dtype=dtype), draw(*kernel, seed=1)
    origin = [data.draw(st.integers(-(k // 2), (k - 1) // 2)) for k in kernel]
    output = "complex128" if dtype.startswith("c") else "float64"
    expected = getattr(theirs, name)(x, w, output, mode, 3.0, origin)
    assert_same(getattr(ndimage, name)(x, w, output, mode, 3.0, origin), expected)


@pytest.mark.parametrize("dtype", ["int64", "float64", "complex128"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_adjoints_are_exact(name: str, mode: str, dtype: str) -> None:
    for shape, kernel in SHAPES:
        x, w, g = draw(*shape, dtype=dtype), draw(*kernel, dtype=dtype, seed=1), draw(*shape, dtype=dtype, seed=2)
        for origin in origins(kernel):
            y = getattr(ndimage, name)(x, w, None, mode, 0, origin)
            gx = getattr(ndimage, f"{name}_input_adjoint")(g, w, mode, origin)
            gw = getattr(ndimage, f"{name}_weights_adjoint")(g, x, kernel, mode, 0, origin)
            assert (gx.shape, gw.shape) == (shape, kernel)
            assert np.vdot(g, y).real == np.vdot(gx, x).real == np.vdot(gw, w).real


def test_the_constant_beyond_the_borders_reaches_the_weights_only() -> None:
    x, w, g = draw(4, 5), draw(3, 3, seed=1), draw(4, 5, seed=2)
    gw = ndimage.correlate_weights_adjoint(g, x, w.shape, "constant", cval=7)
    assert np.vdot(gw, w) == np.vdot(g, ndimage.correlate(x, w, mode="constant", cval=7))


@pytest.mark.parametrize("mode", ["nearest", "wrap"])
def test_modes_may_differ_from_axis_to_axis(mode: str) -> None:
    x, w = draw(5, 6), draw(3, seed=1)
    both = ndimage.correlate(x, np.multiply.outer(w, w), mode=["mirror", mode])
    assert_same(both, ndimage.correlate1d(ndimage.correlate1d(x, w, 0, mode="mirror"), w, 1, mode=mode))


def test_whole_numbers_are_truncated_as_in_scipy_and_never_wrap() -> None:
    theirs = peer("scipy.ndimage")
    x = np.arange(1, 30, dtype=np.uint8)
    for w in ([0.3, 0.3, 0.3], [1, 0, 1], [-0.01, 1.0]):
        assert_same(ndimage.correlate(x, w), theirs.correlate(x, w))
    with pytest.raises(UnsupportedError) as caught:
        ndimage.correlate(x * 8, [1, 1, 1])
    assert str(caught.value) == (
        "output.dtype = 'uint8': results lie between 32 and 688; "
        "accepted: a dtype that holds them, as in output='float64'"
    )
    with pytest.raises(UnsupportedError, match="between -86"):
        ndimage.correlate(x, [-1, -1, -1])


def test_the_result_is_written_where_it_is_asked_for() -> None:
    x, w = draw(6, 7), draw(3, 2, seed=1)
    out = np.full((6, 7), np.nan, "float32")[:, ::1]
    assert ndimage.convolve(x, w, out) is out
    assert_same(out, ndimage.convolve(x, w).astype("float32"))
    assert_same(ndimage.correlate(x, w, output=x), ndimage.correlate(draw(6, 7), w))  # in place
    assert ndimage.convolve(draw(3), [1.0], output=np.int16).dtype == np.int16
    with pytest.raises(UnsupportedError, match="the result is complex"):
        ndimage.convolve(draw(3), [1j], output=np.empty(3))


def test_an_empty_array_stays_empty() -> None:
    assert ndimage.correlate(np.zeros((0, 3)), np.ones((1, 2))).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ndimage.correlate(np.ones(4), np.ones((2, 2))),
            "weights.shape = (2, 2): 1 axes of input are filtered; accepted: 1 axes, none of them empty",
        ),
        (
            lambda: ndimage.correlate(np.ones(4), np.ones(3), origin=2),
            "origin = 2: moves a kernel of 3 off the entry; accepted: whole numbers -1 to 1",
        ),
        (
            lambda: ndimage.correlate(np.ones(4), np.ones(3), origin=(1, 1)),
            "origin = (1, 1): 1 axes are filtered; accepted: one, or 1",
        ),
        (
            lambda: ndimage.correlate(np.ones(4), np.ones(3), mode="edge"),
            "mode = 'edge': is no way to continue an array; accepted: " + ", ".join(MODES),
        ),
        (
            lambda: ndimage.correlate(np.ones((4, 4)), np.ones((3, 2)), axes=(1, 0)),
            "axes = (1, 0): input has 2 axes, and none is filtered twice; "
            "accepted: whole numbers -2 to 1 in ascending order",
        ),
        (
            lambda: ndimage.correlate1d(np.ones((4, 4)), np.ones((3, 2))),
            "weights.shape = (3, 2): is filtered along one axis; accepted: one axis that is not empty",
        ),
        (
            lambda: ndimage.correlate_weights_adjoint(np.ones(3), np.ones(4), (2,)),
            "g.shape = (3,): input has shape (4,); accepted: an array of that shape",
        ),
        (
            lambda: ndimage.correlate(np.ones(4), np.ones(3), output=np.ones(3)),
            "output.shape = (3,): the result has shape (4,); accepted: an array of that shape",
        ),
    ],
)
def test_what_is_no_filter_is_refused(call: Any, message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        call()
    assert str(caught.value) == message
