"""The three roles as primitives of autograd, with reverse and forward rules of every order.

The roles are the three partial derivatives of one trilinear form, so the derivative of each by each argument is
again one of them, and the rules below close: nothing else is ever needed, at any order.

    by its first argument       by its second argument
    conv(x, w)           gx = input_grad(g, w)       gw = weight_grad(g, x)
    input_grad(gy, w)    conv(h, w)                  weight_grad(gy, h)
    weight_grad(gy, x)   conv(x, v)                  input_grad(gy, v)

With a constant in the padding, conv and weight_grad are linear in x but for a part that does not depend on it; rules
that stand for a change of x use `geometry.linear`, which has zeros there. Complex numbers follow autograd's convention:
nothing is conjugated (so `grad` of a real loss is the conjugate of the adjoint), and the gradient by a real array is
real.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd.extend import defjvp, defvjp, primitive
from autograd.numpy import conj, iscomplexobj, real, reshape
from numpy.typing import NDArray

from ..api import compute
from ..arguments import (
    Padding,
    PaddingMode,
    PerAxis,
    forward_geometry,
    input_grad_geometry,
    transpose_geometry,
    weight_grad_geometry,
)
from ..arrays import as_array
from ..geometry import Geometry

Array = NDArray[Any]
Rule = Callable[[Array], Array]


def conv(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Array:
    """`convgrad.conv`, differentiable by x, w and bias."""
    options = stride, padding, dilation, groups, padding_mode, padding_value
    geometry = forward_geometry(x.shape, w.shape, *options)
    return _add_bias(_forward(x, w, geometry), bias)


def conv_input_grad(
    gy: Array,
    w: Array,
    *,
    input_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Array:
    """`convgrad.conv_input_grad`, differentiable by gy and w."""
    options = stride, padding, dilation, groups, padding_mode, padding_value
    return _input_grad(gy, _conjugate(w), input_grad_geometry(gy.shape, w.shape, input_size, *options))


def conv_weight_grad(
    gy: Array,
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Array:
    """`convgrad.conv_weight_grad`, differentiable by gy and x."""
    options = stride, padding, dilation, groups, padding_mode, padding_value
    return _weight_grad(gy, _conjugate(x), weight_grad_geometry(gy.shape, x.shape, kernel_size, *options))


def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    output_size: PerAxis | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Array:
    """`convgrad.conv_transpose`, differentiable by x, w and bias."""
    options = stride, padding, dilation, groups, padding_mode, padding_value
    geometry = transpose_geometry(x.shape, w.shape, output_size, *options)
    return _add_bias(_input_grad(x, w, geometry), bias)


def _add_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + reshape(bias, (-1,) + (1,) * (y.ndim - 2))


@primitive
def _forward(x: Array, w: Array, geometry: Geometry) -> Array:
    return compute("forward", geometry, as_array("x", x), as_array("w", w))


@primitive
def _input_grad(gy: Array, w: Array, geometry: Geometry) -> Array:
    return compute("input_grad", geometry, as_array("gy", gy), as_array("w", w))


@primitive
def _weight_grad(gy: Array, x: Array, geometry: Geometry) -> Array:
    return compute("weight_grad", geometry, as_array("gy", gy), as_array("x", x))


def _conjugate(array: Array) -> Array:
    return conj(array) if iscomplexobj(array) else array


def _by(argument: Array, gradient: Array) -> Array:
    """The gradient by an argument: real where the argument is."""
    return real(gradient) if iscomplexobj(gradient) and not iscomplexobj(argument) else gradient


# reverse mode: `ans` is the result, g (h, v) the gradient by it
defvjp(
    _forward,
    lambda ans, x, w, geometry: lambda g: _by(x, _input_grad(g, w, geometry)),
    lambda ans, x, w, geometry: lambda g: _by(w, _weight_grad(g, x, geometry)),
)
defvjp(
    _input_grad,
    lambda ans, gy, w, geometry: lambda h: _by(gy, _forward(h, w, geometry.linear)),
    lambda ans, gy, w, geometry: lambda h: _by(w, _weight_grad(gy, h, geometry.linear)),
)
defvjp(
    _weight_grad,
    lambda ans, gy, x, geometry: lambda v: _by(gy, _forward(x, v, geometry)),
    lambda ans, gy, x, geometry: lambda v: _by(x, _input_grad(gy, v, geometry)),
)

# forward mode: each role is linear in each argument, so its derivative is itself at the tangent t
defjvp(
    _forward,
    lambda t, ans, x, w, geometry: _forward(t, w, geometry.linear),
    lambda t, ans, x, w, geometry: _forward(x, t, geometry),
)
defjvp(
    _input_grad,
    lambda t, ans, gy, w, geometry: _input_grad(t, w, geometry),
    lambda t, ans, gy, w, geometry: _input_grad(gy, t, geometry),
)
defjvp(
    _weight_grad,
    lambda t, ans, gy, x, geometry: _weight_grad(t, x, geometry),
    lambda t, ans, gy, x, geometry: _weight_grad(gy, t, geometry.linear),
)
