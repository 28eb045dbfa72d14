"""SciPy's signal functions: its results to the bit on whole numbers, its rules, and adjoints that it does not have.

The properties are those of SciPy's own tests of these functions (scipy/signal/tests/test_signaltools.py).
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

from convgrad import GeometryError, UnsupportedError, signal
from convgrad.signal.overlap import MODES, overlap

DTYPES = ["float32", "float64", "complex64", "complex128"]
SHAPES = [
    *[((5,), (3,)), ((5,), (4,)), ((3,), (7,)), ((1,), (5,)), ((5,), (1,)), ((1,), (1,))],
    *[((6, 4), (3, 2)), ((2, 5), (4, 3)), ((2, 3), (4, 5)), ((1, 4), (3, 2)), ((3, 1), (1, 4))],
    *[((3, 4, 5), (2, 2, 3)), ((2, 3, 1, 4), (3, 2, 2, 1))],
]
BROADCAST = [
    *[((4, 6), (4, 3), 1), ((1, 6), (4, 3), 1), ((4, 6), (1, 3), -1), ((6, 4), (3, 4), [0])],
    *[((4, 1, 6), (1, 3, 2), 2), ((2, 4, 1, 6), (2, 1, 3, 2), 3), ((3, 5, 2, 4), (2, 5, 1, 3), (0, -1))],
]
PAIRS = ["convolve", "correlate"]
PLANES = ["convolve2d", "correlate2d"]
BOUNDARIES = ["fill", "wrap", "symm"]


def draw(*shape: int, dtype: str = "float64", seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, *shape])
    found = rng.integers(-6, 7, shape)
    return (found + 1j * rng.integers(-6, 7, shape) if dtype.startswith("c") else found).astype(dtype)


def outcome(function: Any, *arguments: Any, **options: Any) -> Any:
    """What a function returns, or that it refuses the values."""
    try:
        return function(*arguments, **options)
    except ValueError:
        return "refused"


def assert_alike(ours: Any, theirs: Any) -> None:
    if isinstance(ours, str) or isinstance(theirs, str):
        assert isinstance(ours, str) == isinstance(theirs, str)
    else:
        assert_same(ours, np.asarray(theirs, ours.dtype))
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIRS)
def test_results_are_scipys(name: str, mode: str, dtype: str) -> None:
    theirs = peer("scipy.signal")
    for shape1, shape2 in SHAPES:
        a, v = draw(*shape1, dtype=dtype), draw(*shape2, dtype=dtype, seed=1)
        assert_alike(
            outcome(getattr(signal, name), a, v, mode), outcome(getattr(theirs, name), a, v, mode, method="direct")
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["fftconvolve", "oaconvolve"])
def test_the_functions_by_transforms_are_scipys_without_their_rounding(name: str, mode: str) -> None:
    theirs = peer("scipy.signal")
    for shape1, shape2 in SHAPES:
        a, v = draw(*shape1, dtype="int32"), draw(*shape2, dtype="int32", seed=1)
        ours, expected = outcome(getattr(signal, name), a, v, mode), outcome(getattr(theirs, name), a, v, mode)
        if not isinstance(expected, str):  # SciPy returns integers where every axis of one array has one entry
            expected = np.round(expected).astype(float)
        assert_alike(ours, expected)


@pytest.mark.parametrize("mode", ["full", "valid"])
@pytest.mark.parametrize(("shape1", "shape2", "axes"), BROADCAST)
def test_axes_that_do_not_slide_broadcast(shape1: Any, shape2: Any, axes: Any, mode: str) -> None:
    theirs = peer("scipy.signal")
    a, v = draw(*shape1), draw(*shape2, seed=1)
    assert_alike(signal.fftconvolve(a, v, mode, axes), np.round(theirs.fftconvolve(a, v, mode, axes)))


@pytest.mark.parametrize(("shape1", "shape2", "axes"), BROADCAST)
def test_same_keeps_every_row_that_was_broadcast(shape1: Any, shape2: Any, axes: Any) -> None:
    # SciPy cuts the broadcast axes to the first shape too, and so returns one row of four
    a, v = draw(*shape1), draw(*shape2, seed=1)
    rows = [axis for axis in range(a.ndim) if axis not in np.arange(a.ndim)[np.atleast_1d(axes)]]
    shape = [max(a.shape[axis], v.shape[axis]) if axis in rows else a.shape[axis] for axis in range(a.ndim)]
    z = signal.convolve(a, v, "same", axes=axes)
    assert list(z.shape) == shape
    full = signal.convolve(a, v, "full", axes=axes)
    places = [
        slice(None) if k in rows else slice((v.shape[k] - 1) // 2, (v.shape[k] - 1) // 2 + a.shape[k])
        for k in range(a.ndim)
    ]
    assert_same(z, full[tuple(places)])


@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    mode=st.sampled_from(MODES),
    name=st.sampled_from(PAIRS),
    dtype=st.sampled_from(DTYPES),
)
def test_any_two_arrays_meet_as_in_scipy(lengths: Any, mode: str, name: str, dtype: str) -> None:
    theirs = peer("scipy.signal")
    shape1, shape2 = zip(*lengths, strict=True)
    a, v = draw(*shape1, dtype=dtype), draw(*shape2, dtype=dtype, seed=1)
    assert_alike(
        outcome(getattr(signal, name), a, v, mode), outcome(getattr(theirs, name), a, v, mode, method="direct")
    )


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLANES)
def test_planes_are_scipys(name: str, mode: str, boundary: str, dtype: str) -> None:
    theirs = peer("scipy.signal")
    for shape1, shape2 in [shapes for shapes in SHAPES if len(shapes[0]) == 2]:
        a, v = draw(*shape1, dtype=dtype), draw(*shape2, dtype=dtype, seed=1)
        if name == "correlate2d" and mode == "valid" and dtype.startswith("c"):
            continue  # SciPy conjugates the wrong array where the second is the larger: see below
        ours = outcome(getattr(signal, name), a, v, mode, boundary, 3)
        assert_alike(ours, outcome(getattr(theirs, name), a, v, mode, boundary, 3))


@pytest.mark.parametrize("shapes", [((2, 3), (4, 5)), ((6, 4), (3, 2))])
def test_a_correlation_of_planes_conjugates_its_second_argument(shapes: Any) -> None:
    a, v = (draw(*shape, dtype="complex128", seed=seed) for seed, shape in enumerate(shapes))
    assert_same(signal.correlate2d(a, v, "valid"), signal.correlate(a, v, "valid"))
    assert_same(signal.correlate2d(a, v, "full"), signal.correlate(a, v, "full"))
    assert_same(signal.correlate(a, v), signal.convolve(a, np.flip(v).conj()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["int64", "float64", "complex128"])
def test_adjoints_are_exact(dtype: str, name: str, mode: str) -> None:
    cases = [(*shapes, None) for shapes in SHAPES] + BROADCAST
    for shape1, shape2, axes in cases:
        a, v = draw(*shape1, dtype=dtype), draw(*shape2, dtype=dtype, seed=1)
        z = outcome(getattr(signal, name), a, v, mode, axes=axes)
        if isinstance(z, str):
            continue
        g = draw(*z.shape, dtype=dtype, seed=2)
        ga = getattr(signal, f"{name}_in1_adjoint")(g, v, shape1, mode, axes=axes)
        gv = getattr(signal, f"{name}_in2_adjoint")(g, a, shape2, mode, axes=axes)
        assert (ga.shape, gv.shape) == (shape1, shape2)
        assert np.vdot(g, z).real == np.vdot(ga, a).real == np.vdot(gv, v).real


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_adjoints_of_planes_are_exact(dtype: str, name: str, mode: str, boundary: str) -> None:
    for shape1, shape2 in [shapes for shapes in SHAPES if len(shapes[0]) == 2]:
        a, v = draw(*shape1, dtype=dtype), draw(*shape2, dtype=dtype, seed=1)
        z = outcome(getattr(signal, name), a, v, mode, boundary)
        if isinstance(z, str):
            continue
        g = draw(*z.shape, dtype=dtype, seed=2)
        ga = getattr(signal, f"{name}_in1_adjoint")(g, v, shape1, mode, boundary)
        gv = getattr(signal, f"{name}_in2_adjoint")(g, a, shape2, mode, boundary)
        assert np.vdot(g, z).real == np.vdot(ga, a).real == np.vdot(gv, v).real


def test_a_constant_beyond_the_boundary_reaches_the_weights_only() -> None:
    a, v = draw(3, 4), draw(2, 3, seed=1)
    g = draw(4, 6, seed=2)
    gv = signal.convolve2d_in2_adjoint(g, a, v.shape, boundary="fill", fillvalue=5)
    assert np.vdot(gv, v) == np.vdot(g, signal.convolve2d(a, v, boundary="fill", fillvalue=5))


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8"])
def test_integers_never_wrap(dtype: str) -> None:
    a = np.full(5, 100, dtype)
    z = signal.convolve(a, a)
    assert z.dtype == ("uint64" if dtype == "uint8" else "int64")
    assert z.tolist() == np.convolve(a.astype(object), a.astype(object)).tolist()
    with pytest.raises(UnsupportedError, match="int64 holds"):
        signal.convolve(np.full(4, 1 << 62), [2, 2])


def test_scalars_multiply_and_empty_arrays_give_an_empty_one() -> None:
    assert signal.convolve(3.0, 4.0) == 12
    assert signal.correlate(np.complex128(2j), np.complex128(3j)) == 6
    assert signal.convolve([], [1.0]).shape == signal.fftconvolve(np.zeros((2, 0)), [[1.0]]).shape == (0,)


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_every_method_has_the_same_result(method: str) -> None:
    a, v = draw(40, 30), draw(7, 8, seed=1)
    for name in PAIRS:
        found = getattr(signal, name)(a, v, "same", method=method)
        assert np.abs(found - getattr(signal, name)(a, v, "same")).max() < 1e-10


def test_strided_and_foreign_arrays_are_read_where_they_lie() -> None:
    a, v = draw(12, 9)[::2, ::-1], draw(3, 4, seed=1).T.astype(">f8")
    assert_same(signal.convolve(a, v), signal.convolve(a.copy(), np.ascontiguousarray(v, "<f8")))


def test_a_number_that_is_not_finite_stays_where_it_is() -> None:
    a = np.zeros(200)
    a[150] = np.nan
    z = signal.fftconvolve(a, np.ones(80), "same")
    assert np.isnan(z).sum() == 80 and np.isfinite(z[:100]).all()


def test_the_larger_array_is_the_input() -> None:
    assert not overlap((9,), (3,), "full", (0,)).swapped
    assert overlap((3,), (9,), "full", (0,)).swapped


def test_every_mode_is_a_window_of_the_full_result() -> None:
    for n1, n2 in itertools.product(range(1, 6), repeat=2):
        a, v = draw(n1), draw(n2, seed=1)
        full = signal.convolve(a, v)
        assert full.tolist() == np.convolve(a, v).tolist()
        start = (n2 - 1) // 2
        assert_same(signal.convolve(a, v, "same"), full[start : start + n1])
        assert_same(signal.convolve(a, v, "valid"), full[min(n1, n2) - 1 : max(n1, n2)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: signal.convolve([1.0], [[1.0]]),
            "in2.shape = (1, 1): in1 has 1 axes, and in2 has 2; accepted: as many axes; in2[None] adds one",
        ),
        (
            lambda: signal.convolve([1.0], [1.0], mode="middle"),
            "mode = 'middle': is no part of a convolution; accepted: full, same, valid",
        ),
        (
            lambda: signal.convolve(np.ones((2, 5)), np.ones((3, 4)), mode="valid"),
            "mode = 'valid': needs one of (2, 5) and (3, 4) to be at least as long on every axis that slides; "
            "accepted: such arrays, or mode='full'",
        ),
        (
            lambda: signal.fftconvolve(np.ones((2, 5)), np.ones((3, 4)), axes=1),
            "shapes = ((2, 5), (3, 4)): axis 0 has 2 and 3 entries, and does not slide; "
            "accepted: as many entries, or one; or that axis among `axes`",
        ),
        (
            lambda: signal.fftconvolve([1.0], [1.0], axes=1),
            "axes = 1: the arrays have 1 axes; accepted: some of -1 to 0",
        ),
        (
            lambda: signal.fftconvolve([[1.0]], [[1.0]], axes=(0, -2)),
            "axes = (0, -2): names an axis twice; accepted: each axis once",
        ),
        (
            lambda: signal.convolve2d([[1.0]], [[1.0]], boundary="zero"),
            "boundary = 'zero': is no way to continue a plane; accepted: fill, wrap, symm",
        ),
        (
            lambda: signal.convolve2d([1.0], [[1.0]]),
            "in1.shape = (1,): has 1 axes; accepted: an array with two axes",
        ),
        (
            lambda: signal.convolve_in1_adjoint(np.ones(4), np.ones(3), (3,)),
            "g.shape = (4,): the result has shape (5,); accepted: an array of that shape",
        ),
        (
            lambda: signal.convolve_in2_adjoint(np.ones(4), np.ones(3), (0,)),
            "in2_shape = (0,): cannot be convolved with an array of shape (3,); accepted: 1 axes, none of them empty",
        ),
    ],
)
def test_arrays_that_do_not_meet_are_refused(call: Any, message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        call()
    assert str(caught.value) == message


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="auto, direct, fft"):
        signal.convolve([1.0], [1.0], method="magic")
