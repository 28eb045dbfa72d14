"""Other libraries compute the same: all three roles at random points of the lattice, whole numbers, `==`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import Array, Problem, assert_same
from peers import peer
from strategies import whole_numbers

import convgrad as cg
from convgrad import Axis, Geometry, definition, spelling
from convgrad.algorithms import ALGORITHMS
from convgrad.jit import compile as jit
from convgrad.machine import Machine

RNG = np.random.default_rng(2026)


def random_problem(rank: int) -> Problem:
    """A point of the lattice: the output size and the remainder are drawn, the input follows."""
    axes = []
    for _ in range(rank):
        kernel, stride, dilation, output = (int(RNG.integers(1, top + 1)) for top in (4, 3, 3, 4))
        padded = (output - 1) * stride + (kernel - 1) * dilation + 1 + int(RNG.integers(stride))
        padding = int(RNG.integers(0, (padded - 1) // 2 + 1))
        axes.append(Axis(padded - 2 * padding, kernel, stride, dilation, padding, padding))
    groups, ic, oc = (int(n) for n in RNG.integers(1, 4, 3))
    return whole_numbers(Geometry(int(RNG.integers(1, 4)), groups * ic, groups * oc, groups, tuple(axes)), RNG)


PROBLEMS = [random_problem(rank) for rank in (1, 2, 3) for _ in range(12)]
NAMES = [spelling.spell(p.geometry) for p in PROBLEMS]


def options_of(g: Geometry) -> dict[str, Any]:
    """A geometry's options as a user writes them."""
    return {
        "stride": tuple(a.stride for a in g.axes),
        "padding": tuple((a.before, a.after) for a in g.axes),
        "dilation": tuple(a.dilation for a in g.axes),
        "groups": g.groups,
    }


def ours(p: Problem) -> dict[str, Array]:
    """The three roles through the public functions."""
    g, options = p.geometry, options_of(p.geometry)
    return {
        "forward": cg.conv(p.x, p.w, **options),
        "input_grad": cg.conv_input_grad(p.gy, p.w, input_size=g.input_size, **options),
        "weight_grad": cg.conv_weight_grad(p.gy, p.x, kernel_size=g.kernel_size, **options),
    }


def assert_roles_equal(mine: dict[str, Array], theirs: dict[str, Any]) -> None:
    assert mine.keys() == theirs.keys()
    for role, expected in theirs.items():
        assert_same(mine[role], np.asarray(expected))


@pytest.mark.parametrize("p", PROBLEMS, ids=NAMES)
def test_pytorch_computes_the_same_in_float64(p: Problem) -> None:
    torch = peer("torch")
    g = p.geometry
    x, w = (torch.from_numpy(array).requires_grad_() for array in (p.x, p.w))
    convolve = getattr(torch.nn.functional, f"conv{g.rank}d")
    stride, padding, dilation = ([getattr(a, name) for a in g.axes] for name in ("stride", "before", "dilation"))
    y = convolve(x, w, None, stride, padding, dilation, g.groups)
    y.backward(torch.from_numpy(p.gy))
    assert_roles_equal(ours(p), {"forward": y.detach(), "input_grad": x.grad, "weight_grad": w.grad})


@pytest.mark.parametrize("p", PROBLEMS[::3], ids=NAMES[::3])
def test_jax_computes_the_same_in_float64(p: Problem) -> None:
    jax = peer("jax")
    g = p.geometry

    def convolve(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x,
            w,
            window_strides=[a.stride for a in g.axes],
            padding=[(a.before, a.after) for a in g.axes],
            rhs_dilation=[a.dilation for a in g.axes],
            feature_group_count=g.groups,
        )

    with jax.enable_x64(True):
        y, pull_back = jax.vjp(convolve, p.x, p.w)
        gx, gw = pull_back(p.gy)
        assert_roles_equal(ours(p), {"forward": y, "input_grad": gx, "weight_grad": gw})


@pytest.mark.parametrize("p", PROBLEMS, ids=NAMES)
def test_autograd_differentiates_our_layer_to_our_gradients(p: Problem) -> None:
    peer("autograd")
    import autograd
    import autograd.numpy as anp

    from convgrad.autograd import conv

    options = options_of(p.geometry)
    gx, gw = autograd.grad(lambda x, w: anp.sum(conv(x, w, **options) * p.gy), (0, 1))(p.x, p.w)
    theirs = {"forward": conv(p.x, p.w, **options), "input_grad": gx, "weight_grad": gw}
    assert_roles_equal(ours(p), theirs)


@pytest.mark.parametrize("mode", ["valid", "full"])
def test_the_convolution_that_autograd_brings_has_the_same_gradients(mode: str) -> None:
    peer("autograd")
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.signal import convolve

    x, w = (RNG.integers(-8, 9, shape).astype(float) for shape in ((7, 6), (3, 2)))
    options: dict[str, Any] = {"padding": mode}
    y = cg.conv(x[None, None], w[None, None, ::-1, ::-1], **options)
    gy = RNG.integers(-8, 9, y.shape).astype(float)
    gx, gw = autograd.grad(lambda x, w: anp.sum(convolve(x, w, mode=mode) * gy[0, 0]), (0, 1))(x, w)
    assert_same(y[0, 0], convolve(x, w, mode=mode))
    assert_same(cg.conv_input_grad(gy, w[None, None, ::-1, ::-1], input_size=x.shape, **options)[0, 0], gx)
    assert_same(cg.conv_weight_grad(gy, x[None, None], kernel_size=w.shape, **options)[0, 0, ::-1, ::-1], gw)


# ---- the shape of docs/numbers.md on which PyTorch 2.13 is wrong

STRIDE, PADDING = (2, 3, 1), (3, 1, 0)
GEOMETRY = Geometry(
    2,
    2,
    4,
    1,
    tuple(Axis(i, k, s, 1, p, p) for i, k, s, p in zip((3, 17, 17), (4, 5, 1), STRIDE, PADDING, strict=True)),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("algorithm", [algorithm.name for algorithm in ALGORITHMS if algorithm.name != "fourier"])
def test_the_weight_gradient_that_pytorch_gets_wrong_is_right_here(algorithm: str, dtype: str) -> None:
    if algorithm == "shifted" and jit.available() is not None:
        pytest.skip(f"no compiled kernels: {jit.available()}")
    if algorithm == "tiles" and (dtype != "float32" or not Machine.here().amx):
        pytest.skip("no matrix tiles for this dtype or on this CPU")
    p = whole_numbers(GEOMETRY, np.random.default_rng(0), dtype)
    gw = cg.conv_weight_grad(p.gy, p.x, kernel_size=(4, 5, 1), stride=STRIDE, padding=PADDING, algorithm=algorithm)
    assert_same(gw, definition.weight_grad(p.gy, p.x, GEOMETRY))


@pytest.mark.xfail(reason="PyTorch 2.13 on CPUs with AVX-512; no fault of ours", strict=False, raises=AssertionError)
def test_pytorch_agrees_on_that_weight_gradient() -> None:
    peer("torch")
    # in a process of its own: what writes garbage may write it anywhere
    page = (Path(__file__).parent.parent / "docs" / "numbers.md").read_text("utf-8")
    (block,) = [part.split("```")[0] for part in page.split("```python\n")[1:] if "import torch" in part]
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=True)
    assert done.stdout == "ours: 0 of 160 wrong, PyTorch: 0 of 160\n"
