"""The layer keeps a weight and a bias, and leaves both gradients behind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from oracles import Problem, assert_same
from strategies import problems

import convgrad as cg
from convgrad import definition


@given(problems())
def test_backward_returns_gx_and_leaves_the_gradients_of_weight_and_bias(p: Problem) -> None:
    g = p.geometry
    layer = cg.Conv(
        g.in_channels,
        g.out_channels,
        g.kernel_size,
        stride=[a.stride for a in g.axes],
        padding=[(a.before, a.after) for a in g.axes],
        dilation=[a.dilation for a in g.axes],
        groups=g.groups,
        dtype=p.x.dtype,
    )
    layer.weight[...] = p.w
    assert layer.bias is not None
    layer.bias[...] = np.arange(g.out_channels)
    bias = layer.bias.reshape(-1, *(1,) * g.rank)
    assert_same(layer.forward(p.x), definition.forward(p.x, p.w, g) + bias)
    assert_same(layer.backward(p.gy), definition.input_grad(p.gy, p.w, g))
    assert layer.weight_grad is not None and layer.bias_grad is not None
    assert_same(layer.weight_grad, definition.weight_grad(p.gy, p.x, g))
    assert_same(layer.bias_grad, definition.bias_grad(p.gy))


@pytest.mark.parametrize(
    ("init", "spread"),
    [
        ("torch", 1 / math.sqrt(3 * 36)),
        ("he", math.sqrt(2 / 36)),
        ("glorot", math.sqrt(2 / (36 + 72))),
        ("lecun", math.sqrt(1 / 36)),
    ],
)
def test_initial_weights_have_the_spread_that_their_name_promises(init: str, spread: float) -> None:
    layer = cg.Conv(8, 16, (3, 3), groups=2, init=init, rng=0, dtype="float64")
    assert layer.weight.shape == (16, 4, 3, 3) and layer.bias is not None
    # 576 draws: the standard deviation lies within 10 %
    assert abs(layer.weight.std() / spread - 1) < 0.1 and abs(layer.weight.mean()) < spread / 8
    assert (np.abs(layer.bias) <= 1 / math.sqrt(36)).all()
    assert (layer.bias == 0).all() == (init != "torch")


def test_one_seed_gives_one_layer() -> None:
    a, b, c = cg.Conv(2, 3, (3,), rng=7), cg.Conv(2, 3, (3,), rng=np.random.default_rng(7)), cg.Conv(2, 3, (3,), rng=8)
    assert_same(a.weight, b.weight)
    assert not np.array_equal(a.weight, c.weight) and a.weight.dtype == np.float32


def test_a_layer_without_bias_has_none_and_no_gradient_of_it() -> None:
    layer = cg.Conv(1, 1, (3,), bias=False)
    layer.backward(layer(np.ones((1, 1, 5), "float32")))
    assert layer.bias is None and layer.bias_grad is None


def test_a_layer_prints_what_it_was_made_of() -> None:
    assert repr(cg.Conv(4, 6, (3, 5), padding="same", groups=2)) == (
        "Conv(4, 6, (3, 5), padding='same', groups=2, dtype='float32')"
    )
    assert repr(cg.Conv(1, 2, (3,), stride=2, bias=False)) == "Conv(1, 2, (3,), stride=2, bias=False, dtype='float32')"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cg.Conv(0, 1, (3,)), "in_channels = 0: must be at least 1; accepted: an int >= 1"),
        (
            lambda: cg.Conv(4, 6, (3,), groups=4),
            "groups = 4: out_channels = 6 cannot be shared equally by 4 groups; "
            "accepted: groups that divide 6: 1, 2, 3, 6",
        ),
        (
            lambda: cg.Conv(1, 1, 3),
            "kernel_size = 3: leaves open how many spatial axes there are; accepted: one int per axis, as in (3, 3)",
        ),
        (lambda: cg.Conv(1, 1, (3, 0)), "kernel_size[1] = 0: must be at least 1; accepted: an int >= 1"),
        (
            lambda: cg.Conv(1, 1, (3,), init="magic"),
            "init = 'magic': is not an initialisation known here; accepted: torch, he, glorot, lecun",
        ),
        (
            lambda: cg.Conv(1, 1, (3,), dtype="int8"),
            "dtype = 'int8': no weight is trained in it; accepted: float32, float64, complex64, complex128",
        ),
        (
            lambda: cg.Conv(1, 1, (3,)).backward(np.ones((1, 1, 3))),
            "backward = 'ndarray': no forward has run whose gradient this could be; accepted: forward(x) first",
        ),
    ],
)
def test_what_is_no_layer_is_refused_with_the_remedy(make, message: str) -> None:
    with pytest.raises(cg.ConvgradError) as caught:
        make()
    assert str(caught.value) == message
