"""The adapter to HIPS autograd: values equal ours, and derivatives hold to third order in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from oracles import Problem, assert_same
from strategies import problems

import convgrad as cg
from convgrad import definition

autograd = pytest.importorskip("autograd", reason="the adapter needs autograd: pip install 'convgrad[autograd]'")
import autograd.numpy as anp  # noqa: E402
from autograd.test_util import check_grads  # noqa: E402

import convgrad.autograd as ca  # noqa: E402

OPTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (2, 1), "padding": ((2, 0), 1), "dilation": (1, 2)},
    {"groups": 2, "padding": "same"},
    {"padding": ((2, 1), (-1, 3)), "padding_mode": ("circular", "reflect"), "stride": (1, 2)},
    {"padding": 1, "padding_mode": "constant", "padding_value": 0.5},
]


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_conv_is_differentiable_to_third_order_in_both_modes(options: dict[str, Any]) -> None:
    w = draw(4, 4 // options.get("groups", 1), 2, 2)
    check_grads(lambda x, w: ca.conv(x, w, **options), modes=["fwd", "rev"], order=3)(draw(2, 4, 5, 4), w)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda gy, w: ca.conv_input_grad(gy, w, input_size=(6, 4), stride=2, padding=1), [(1, 2, 3, 2), (2, 3, 3, 3)]),
        (lambda gy, x: ca.conv_weight_grad(gy, x, kernel_size=3, stride=2, padding=1), [(1, 2, 3, 2), (1, 3, 6, 4)]),
        (lambda x, w: ca.conv_transpose(x, w, stride=2, output_size=6), [(1, 2, 2), (2, 3, 3)]),
        (lambda x, w: ca.conv(x, w, padding="full"), [(1, 2, 3), (2, 2, 2)]),
    ],
)
def test_the_gradients_themselves_are_differentiable_to_third_order(
    function: Callable[..., Any], shapes: list[tuple[int, ...]]
) -> None:
    check_grads(function, modes=["fwd", "rev"], order=3)(*(draw(*shape) for shape in shapes))


def test_the_bias_takes_part() -> None:
    check_grads(lambda x, w, b: ca.conv(x, w, b, stride=2) ** 2, modes=["fwd", "rev"], order=2)(
        draw(2, 2, 5), draw(3, 2, 2), draw(3)
    )
    check_grads(lambda x, w, b: ca.conv_transpose(x, w, b) ** 2, modes=["fwd", "rev"], order=2)(
        draw(2, 3, 4), draw(3, 2, 2), draw(2)
    )


@pytest.mark.parametrize("kinds", [("complex", "complex"), ("complex", "real"), ("real", "complex")])
def test_complex_arrays_follow_autograds_convention(kinds: tuple[str, str]) -> None:
    shapes = (2, 2, 5), (3, 2, 2)
    x, w = (
        draw(*s) + (1j * draw(*s)[..., ::-1] if kind == "complex" else 0) for s, kind in zip(shapes, kinds, strict=True)
    )
    options: dict[str, Any] = {"stride": 2, "padding": 1, "padding_mode": "edge"}
    check_grads(lambda x, w: ca.conv(x, w, **options), modes=["fwd", "rev"], order=2)(x, w)
    y = ca.conv(x, w, **options)
    gx = lambda gy, w: ca.conv_input_grad(gy, w, input_size=5, **options)  # noqa: E731
    check_grads(gx, modes=["fwd", "rev"], order=2)(y, w)
    assert_same(gx(y, w), cg.conv_input_grad(y, w, input_size=5, **options))
    gw = lambda gy, x: ca.conv_weight_grad(gy, x, kernel_size=2, **options)  # noqa: E731
    check_grads(gw, modes=["fwd", "rev"], order=2)(y, x)
    assert_same(gw(y, x), cg.conv_weight_grad(y, x, kernel_size=2, **options))
    # the derivative of a real loss is the conjugate of the adjoint
    by_x = autograd.grad(lambda x: anp.sum(anp.abs(ca.conv(x, w, **options)) ** 2) / 2)(x)
    adjoint = gx(y, w)
    expected = adjoint.conj() if kinds[0] == "complex" else adjoint.real
    assert np.abs(by_x - expected).max() < 1e-13


@given(problems())
def test_reverse_mode_gives_the_definition_bit_for_bit(p: Problem) -> None:
    g = p.geometry
    options: dict[str, Any] = {
        "stride": tuple(a.stride for a in g.axes),
        "padding": tuple((a.before, a.after) for a in g.axes),
        "dilation": tuple(a.dilation for a in g.axes),
        "groups": g.groups,
    }
    loss = lambda x, w: anp.sum(ca.conv(x, w, **options) * p.gy)  # noqa: E731
    gx, gw = autograd.grad(loss, (0, 1))(p.x, p.w)
    assert_same(gx, definition.input_grad(p.gy, p.w, g))
    assert_same(gw, definition.weight_grad(p.gy, p.x, g))
    assert_same(ca.conv(p.x, p.w, **options), cg.conv(p.x, p.w, **options))


def test_float32_stays_float32_through_the_gradient() -> None:
    x, w = draw(1, 1, 5).astype("float32"), draw(1, 1, 3).astype("float32")
    assert autograd.grad(lambda w: anp.sum(ca.conv(x, w) ** 2))(w).dtype == np.float32


def test_errors_are_those_of_the_functions() -> None:
    with pytest.raises(cg.GeometryError, match="kernel = 6: spans 6 positions"):
        ca.conv(draw(1, 1, 5), draw(1, 1, 6))
    with pytest.raises(cg.UnsupportedError, match=r"x.dtype = 'bool'"):
        ca.conv(np.ones((1, 1, 5), bool), draw(1, 1, 3))


def test_without_the_library_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.delitem(sys.modules, "convgrad.autograd")
    monkeypatch.setitem(sys.modules, "autograd.extend", None)
    with pytest.raises(cg.MissingExtraError) as caught:
        importlib.import_module("convgrad.autograd")
    assert str(caught.value) == (
        'autograd is not installed, and convgrad.autograd needs it; accepted: pip install "convgrad[autograd]"'
    )
