"""Operators: matrices of the definition, adjoints to the last bit, and the small matrix that fits a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import assert_same
from peers import peer

pytest.importorskip("scipy", reason="operators are SciPy's: pip install 'convgrad[scipy]'")
from scipy.sparse.linalg import LinearOperator, cg, lsqr

import convgrad
from convgrad import GeometryError, UnsupportedError, definition
from convgrad.gram import cross_gram
from convgrad.operators import ConvOperator, WeightOperator

OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": "same"},
    {"padding": ((2, 1), (0, 3))},
    {"stride": (2, 1), "dilation": (1, 2), "padding": 2},
    {"padding": ((1, 2), -1), "padding_mode": ("circular", "reflect")},
    {"padding": 2, "padding_mode": "edge", "stride": 2},
]
GROUPS = [1, 2]
DTYPES = ["float32", "float64", "complex128"]


def draw(*shape: int, dtype: str = "float64") -> Any:
    rng = np.random.default_rng(sum(shape))
    found = rng.integers(-6, 7, shape).astype(dtype)
    return found + (1j * rng.integers(-6, 7, shape)).astype(dtype) if dtype.startswith("c") else found


def matrix(operator: LinearOperator) -> Any:
    return operator @ np.eye(operator.shape[1], dtype=operator.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_operator_on_inputs_is_the_matrix_of_the_definition(
    options: dict[str, Any], groups: int, dtype: str
) -> None:
    operator = ConvOperator(draw(4, 2, 3, 2, dtype=dtype), (7, 9), batch=2, groups=groups, **options)
    x = draw(*operator.input_shape, dtype=dtype)
    y = convgrad.conv(x, operator.w, groups=groups, **options)
    assert_same((operator @ x.ravel()).reshape(operator.output_shape), y)
    a = matrix(operator)
    assert_same(operator.H @ np.eye(operator.shape[0], dtype=dtype), a.conj().T)
    assert operator.dottest(1) == 0
    assert np.linalg.norm(a, 2) <= operator.norm_bound() * (1 + 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_operator_on_weights_is_the_matrix_of_the_definition(
    options: dict[str, Any], groups: int, dtype: str
) -> None:
    operator = WeightOperator(draw(2, 4, 7, 9, dtype=dtype), (3, 2), out_channels=4, groups=groups, **options)
    w = draw(*operator.weight_shape, dtype=dtype)
    assert_same(
        (operator @ w.ravel()).reshape(operator.output_shape), convgrad.conv(operator.x, w, groups=groups, **options)
    )
    a = matrix(operator)
    assert_same(operator.H @ np.eye(operator.shape[0], dtype=dtype), a.conj().T)
    assert operator.dottest(1) == 0
    normal, gram = a.conj().T @ a, operator.gram()
    size = gram.shape[1]
    for channel in range(4):
        part = slice(channel * size, (channel + 1) * size)
        assert_same(gram[channel // (4 // groups)], normal[part, part].astype(gram.dtype))


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((2, 3, 9), (3,)), ((2, 2, 6, 7), (3, 2)), ((1, 2, 5, 4, 6), (2, 3, 2)), ((1, 1, 4, 4), (4, 1))],
)
def test_the_gram_of_two_arrays_sums_over_all_windows(shape: tuple[int, ...], kernel: tuple[int, ...]) -> None:
    a, b = draw(*shape, dtype="complex128"), draw(*shape[:1], shape[1] + 1, *shape[2:], dtype="complex128")
    axes = tuple(range(2, len(shape)))
    one, two = (np.lib.stride_tricks.sliding_window_view(z, kernel, axes) for z in (a, b))
    letters, taps, others = "opq"[: len(axes)], "ijk"[: len(axes)], "uvw"[: len(axes)]
    rule = f"na{letters}{taps},nb{letters}{others}->a{taps}b{others}"
    assert_same(cross_gram(a, b, kernel), np.einsum(rule, one.conj(), two))


def test_a_kernel_is_fitted_back() -> None:
    x, w = np.random.default_rng(0).standard_normal((2, 2, 20, 21)), draw(6, 1, 5, 4) / 7
    operator = WeightOperator(x, (5, 4), out_channels=6, groups=2, padding="same")
    found = operator.fit(convgrad.conv(x, w, groups=2, padding="same"))
    assert np.abs(found - w).max() < 1e-12
    shrunk = operator.fit(convgrad.conv(x, w, groups=2, padding="same"), ridge=1e6, gram=operator.gram())
    assert np.abs(shrunk).max() < 1e-2


def test_solvers_of_scipy_take_both() -> None:
    x, w = np.random.default_rng(1).standard_normal((1, 1, 30)), np.array([[[1.0, 3, 1]]])
    weights = WeightOperator(x, 3)
    assert np.abs(lsqr(weights, weights @ w.ravel(), atol=1e-14, btol=1e-14)[0] - w.ravel()).max() < 1e-10
    inputs = ConvOperator(w, 30, padding="same")
    found, code = cg(inputs.H @ inputs, inputs.H @ (inputs @ x.ravel()), rtol=1e-12)
    assert code == 0 and np.abs(found - x.ravel()).max() < 1e-6


def test_pylops_takes_both() -> None:
    pylops = peer("pylops")
    x, w = np.random.default_rng(1).standard_normal((1, 1, 30)), np.array([[[1.0, 3, 1]]])
    for ours, truth in ((WeightOperator(x, 3), w.ravel()), (ConvOperator(w, 30, padding="same"), x.ravel())):
        operator = pylops.aslinearoperator(ours)
        assert pylops.utils.dottest(operator)
        found = pylops.optimization.basic.cgls(operator, operator @ truth, niter=200, tol=0)[0]
        assert np.abs(found - truth).max() < 1e-6
        assert np.array_equal((2 * operator) @ truth, 2 * (ours @ truth))


def test_several_vectors_are_one_convolution() -> None:
    operator = ConvOperator(draw(3, 2, 3), 8)
    vectors = draw(16, 5)
    assert_same(operator @ vectors, np.stack([operator @ column for column in vectors.T], axis=1))
    assert (operator @ vectors[:, :0]).shape == (18, 0)


def test_an_empty_border_has_a_gram_of_zeros() -> None:
    assert WeightOperator(np.ones((1, 1, 3)), 2, padding=((-5, 5),)).gram().tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: ConvOperator(np.ones((1, 1, 3)), 5, padding=1, padding_mode="constant", padding_value=2),
            UnsupportedError,
            "padding_value = 2: makes the convolution affine: what stands in the padding does not scale with the "
            "vector; accepted: 0, and the constant part apart",
        ),
        (
            lambda: ConvOperator(np.ones((1, 1, 3), int), 5),
            UnsupportedError,
            "w.dtype = 'int64': operators are computed with floats; accepted: w.astype('float64')",
        ),
        (
            lambda: WeightOperator(np.ones((1, 1, 20_000)), 17_000).gram(),
            UnsupportedError,
            "kernel_size = (17000,): has 17000 numbers in each group, and its normal matrix would take 2204 MiB; "
            "accepted: a smaller kernel, or the operator itself",
        ),
        (
            lambda: ConvOperator(np.ones((1, 1, 3)), 2),
            GeometryError,
            "kernel = 3: spans 3 positions, but input 2 plus padding 0+0 offers 2; "
            "accepted: kernel <= 2, or more padding",
        ),
    ],
    ids=["constant", "integers", "too large", "too short"],
)
def test_what_is_no_operator_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_without_the_library_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    with pytest.raises(convgrad.MissingExtraError, match=r'pip install "convgrad\[scipy\]"'):
        importlib.reload(sys.modules["convgrad.operators"])
    monkeypatch.undo()
    importlib.reload(sys.modules["convgrad.operators"])


def test_the_definition_is_what_a_unit_vector_meets() -> None:
    g = convgrad.spelling.parse("ic1 oc1 i6 k3 p1")
    operator = ConvOperator(draw(1, 1, 3), 6, padding=1)
    for i, column in enumerate(matrix(operator).T):
        assert_same(column, definition.forward(np.eye(6)[i][None, None], operator.w, g).ravel())
