"""Derivatives as functions: linear changes exactly, and the double backward pass as PyTorch computes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from oracles import Problem, assert_same
from peers import peer
from strategies import bordered_problems

import convgrad as cg
from convgrad import definition, derivatives


def options_of(g: cg.Geometry) -> dict[str, Any]:
    return {
        "stride": [a.stride for a in g.axes],
        "dilation": [a.dilation for a in g.axes],
        "groups": g.groups,
        "padding": [(a.before, a.after) for a in g.axes],
        "padding_mode": [a.mode for a in g.axes],
        "padding_value": g.fill,
    }


@given(bordered_problems("float64"))
def test_the_derivative_is_the_linear_part_of_a_change(p: Problem) -> None:
    options = options_of(p.geometry)
    dx, dw = p.x[..., ::-1].copy(), p.w[..., ::-1] - 1
    changed = cg.conv(p.x + dx, p.w + dw, **options) - cg.conv(p.x, p.w, **options)
    dy = cg.conv_jvp(p.x, p.w, dx, dw, **options)
    second = definition.forward(dx, dw, p.geometry.linear)
    assert_same(changed, dy + second)
    for some in ({"dx": dx, "dw": None}, {"dx": None, "dw": dw}, {"dx": None, "dw": None}):
        zero = {"dx": 0 * p.x, "dw": 0 * p.w}
        told = {name: zero[name] if change is None else change for name, change in some.items()}
        assert_same(cg.conv_jvp(p.x, p.w, **some, **options), cg.conv_jvp(p.x, p.w, **told, **options))


@given(bordered_problems("float64"))
def test_forwards_and_backwards_are_adjoint(p: Problem) -> None:
    options = options_of(p.geometry)
    dx, dw = p.x[..., ::-1], p.w[..., ::-1]
    gx, gw = cg.conv_vjp(p.gy, p.x, p.w, **options)
    dy = cg.conv_jvp(p.x, p.w, dx, dw, **options)
    assert np.vdot(p.gy, dy) == np.vdot(gx, dx) + np.vdot(gw, dw)


@given(bordered_problems("float64"))
def test_the_double_backward_pass_is_the_derivative_of_the_backward_pass(p: Problem) -> None:
    options = options_of(p.geometry)
    ggx, ggw = p.x[..., ::-1], p.w[..., ::-1]

    def loss(gy: Any, x: Any, w: Any) -> Any:
        gx, gw = cg.conv_vjp(gy, x, w, **options)
        return np.vdot(gx, ggx) + np.vdot(gw, ggw)

    found = cg.conv_double_vjp(p.gy, p.x, p.w, ggx, ggw, **options)
    # the loss is of degree two in each argument at most, and of degree one in each of gy, x and w alone
    for number, gradient in enumerate(found):
        direction = np.random.default_rng(number).integers(-3, 4, gradient.shape).astype("float64")
        arguments = [p.gy, p.x, p.w]
        moved = [z + direction if n == number else z for n, z in enumerate(arguments)]
        assert loss(*moved) - loss(*arguments) == np.vdot(gradient, direction)


@pytest.mark.parametrize("missing", ["ggx", "ggw", "both"])
def test_what_is_not_used_costs_nothing(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-5, 6, (2, 2, 6)).astype("f8"), rng.integers(-5, 6, (3, 2, 3)).astype("f8")
    gy = cg.conv(x, w)
    ggx, ggw = (None if missing in (name, "both") else z for name, z in (("ggx", x + 1), ("ggw", w + 1)))
    every = cg.conv_double_vjp(gy, x, w, 0 * x if ggx is None else ggx, 0 * w if ggw is None else ggw)
    calls = []
    for name in ("conv", "conv_input_grad", "conv_weight_grad"):
        real = getattr(derivatives, name)
        monkeypatch.setattr(
            derivatives, name, lambda *a, real=real, name=name, **k: calls.append(name) or real(*a, **k)
        )
    for got, expected in zip(cg.conv_double_vjp(gy, x, w, ggx, ggw), every, strict=True):
        assert_same(got, expected)
    assert len(calls) == {"ggx": 2, "ggw": 2, "both": 0}[missing]


def test_the_double_backward_pass_is_pytorchs() -> None:
    torch = peer("torch")
    rng = np.random.default_rng(0)
    x, w = rng.integers(-5, 6, (2, 4, 7, 6)).astype("f8"), rng.integers(-5, 6, (6, 2, 3, 2)).astype("f8")
    options: dict[str, Any] = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    gy = cg.conv(x, w, **options)
    ggx, ggw = x[::-1].copy(), w[::-1].copy()
    leaves = [torch.from_numpy(z.copy()).requires_grad_() for z in (gy, x, w)]
    y = torch.nn.functional.conv2d(leaves[1], leaves[2], **options)
    gx, gw = torch.autograd.grad(y, leaves[1:], leaves[0], create_graph=True)
    loss = (gx * torch.from_numpy(ggx)).sum() + (gw * torch.from_numpy(ggw)).sum()
    for ours, theirs in zip(
        cg.conv_double_vjp(gy, x, w, ggx, ggw, **options), torch.autograd.grad(loss, leaves), strict=True
    ):
        assert_same(ours, theirs.numpy())


# ---- sizes


@pytest.mark.parametrize("padding", [0, 1, "same", "same_lower", "full", ((2, -1),)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(1, 1, 1), (3, 2, 1), (2, 3, 2), (4, 4, 1), (2, 5, 1)])
def test_sizes_are_those_that_give_the_output(padding: Any, kernel: int, stride: int, dilation: int) -> None:
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    outputs: dict[int, list[int]] = {}
    for size in range(1, 60):
        try:
            axis = cg.arguments.make_axes((size,), (kernel,), **options)[0]
        except cg.GeometryError:
            continue
        outputs.setdefault(axis.output, []).append(size)
    for output in range(1, 6):
        if output in outputs:
            assert [list(found) for found in cg.sizes((output,), (kernel,), **options)] == [outputs[output]]
        else:
            with pytest.raises(cg.GeometryError, match="less padding"):
                cg.sizes((output,), (kernel,), **options)


def test_sizes_of_several_axes() -> None:
    assert cg.sizes(2, (3, 1), stride=(2, 3)) == (range(5, 7), range(4, 7))
    assert cg.sizes((2, 3), 3) == (range(4, 5), range(5, 6))
    with pytest.raises(cg.GeometryError, match="padding = 9: leaves inputs of -15 to -15 positions for 1 outputs"):
        cg.sizes(1, 3, padding=9)


@pytest.mark.parametrize(("padding", "extra"), [(0, 0), (1, 1), (2, 0)])
def test_output_padding_is_pytorchs(padding: int, extra: int) -> None:
    torch = peer("torch")
    rng = np.random.default_rng(0)
    x, w = rng.integers(-5, 6, (2, 3, 4)).astype("f8"), rng.integers(-5, 6, (3, 2, 4)).astype("f8")
    options = {"stride": 2, "padding": padding, "output_padding": extra}
    theirs = torch.nn.functional.conv_transpose1d(torch.from_numpy(x), torch.from_numpy(w), **options)
    assert_same(cg.conv_transpose(x, w, **options), theirs.numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"output_padding": 2, "stride": 2},
            "output_padding = 2: adds positions to the smallest result, 5, but convolutions to this size end at 6; "
            "accepted: 0 to 1, or output_size",
        ),
        (
            {"output_padding": 1, "stride": 2, "output_size": 5},
            "output_padding = 1: and output_size = 5 both say how large the result is; accepted: one of them",
        ),
        (
            {"output_padding": 1, "stride": 2, "padding": "same"},
            'output_padding = 1: adds positions to the smallest result, but padding = "same" gives the largest '
            "already; accepted: 0, or output_size",
        ),
        (
            {"output_padding": (0, 1)},
            "output_padding = (0, 1): has 2 entries for 1 spatial axes; accepted: an int, or 1 of them",
        ),
        ({"output_padding": -1}, "output_padding = -1: must be at least 0; accepted: an int >= 0"),
    ],
    ids=["too much", "twice", "same", "rank", "negative"],
)
def test_an_output_padding_that_means_nothing_is_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(cg.GeometryError) as caught:
        cg.conv_transpose(np.ones((1, 1, 2)), np.ones((1, 1, 3)), **options)
    assert str(caught.value) == message
