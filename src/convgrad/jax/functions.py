"""The functions of convgrad on JAX arrays."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..arguments import (
    Padding,
    PaddingMode,
    PerAxis,
    forward_geometry,
    input_grad_geometry,
    transpose_geometry,
    weight_grad_geometry,
)
from ..errors import UnsupportedError
from ..geometry import Geometry
from .primitives import DTYPES, apply

Array = Any  # jax.Array, or what stands for one while a program is traced
NARROW = ("bfloat16", "float16")


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
    padding_value: float = 0,
) -> Array:
    """`convgrad.conv` of JAX arrays.

    x: (N, IC, *I).   w: (OC, IC/groups, *K).   bias: (OC,), or None.   The options are those of `convgrad.conv`.
    dtypes: float32, float64, complex64, complex128, which meet as in JAX; bfloat16 and float16 are computed in float32.
    Returns y: (N, OC, *O). Raises what `convgrad.conv` raises.

    >>> import jax
    >>> x, w = jax.numpy.array([[[1., 2, 3, 4, 5]]]), jax.numpy.array([[[1., 10, 100]]])
    >>> jax.jit(conv)(x, w)
    Array([[[321., 432., 543.]]], dtype=float32)
    >>> jax.grad(lambda w: conv(x, w).sum())(w)
    Array([[[ 6.,  9., 12.]]], dtype=float32)
    """
    x, w = jnp.asarray(x), jnp.asarray(w)
    geometry = forward_geometry(x.shape, w.shape, stride, padding, dilation, groups, padding_mode, padding_value)
    return _plus(forward(x, w, geometry), bias)


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
    padding_value: float = 0,
) -> Array:
    """`convgrad.conv_input_grad` of JAX arrays: the adjoint, which conjugates complex weights.

    >>> conv_input_grad(jnp.array([[[0., 1, 0]]]), jnp.array([[[1., 10, 100]]]), input_size=5)
    Array([[[  0.,   1.,  10., 100.,   0.]]], dtype=float32)
    """
    gy, w = jnp.asarray(gy), jnp.asarray(w)
    options = stride, padding, dilation, groups, padding_mode, padding_value
    return _meet("input_grad", gy, w.conj(), input_grad_geometry(gy.shape, w.shape, input_size, *options).linear)


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
    padding_value: float = 0,
) -> Array:
    """`convgrad.conv_weight_grad` of JAX arrays: the adjoint, which conjugates complex inputs.

    >>> conv_weight_grad(jnp.array([[[0., 1, 0]]]), jnp.array([[[1., 2, 3, 4, 5]]]), kernel_size=3)
    Array([[[2., 3., 4.]]], dtype=float32)
    """
    gy, x = jnp.asarray(gy), jnp.asarray(x)
    options = stride, padding, dilation, groups, padding_mode, padding_value
    geometry = weight_grad_geometry(gy.shape, x.shape, kernel_size, *options)
    gw = _meet("weight_grad", gy, (x - geometry.fill).conj() if geometry.fill else x.conj(), geometry.linear)
    if geometry.fill:  # every tap has met the constant at every position
        gw = gw + geometry.fill * _totals(gy)
    return gw


def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    output_size: PerAxis | None = None,
    output_padding: PerAxis = 0,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> Array:
    """`convgrad.conv_transpose` of JAX arrays.

    >>> conv_transpose(jnp.array([[[1., 2]]]), jnp.array([[[1., 10, 100]]]), stride=3)
    Array([[[  1.,  10., 100.,   2.,  20., 200.]]], dtype=float32)
    """
    x, w = jnp.asarray(x), jnp.asarray(w)
    options = stride, padding, dilation, groups, padding_mode, 0, output_padding
    return _plus(_meet("input_grad", x, w, transpose_geometry(x.shape, w.shape, output_size, *options)), bias)


def forward(x: Array, w: Array, geometry: Geometry) -> Array:
    """`conv` of a known geometry.

    A constant c in the padding is what is left of zeros after c was taken from x, so the primitives need not know it:
    conv(x, w) = conv(x - c, w), with zeros, + c times the sum over each output's taps.
    """
    if not geometry.fill:
        return _meet("forward", x, w, geometry)
    y = _meet("forward", x - geometry.fill, w, geometry.linear)
    return _plus(y, geometry.fill * w.sum(axis=tuple(range(1, w.ndim))).astype(y.dtype))


def _meet(role: str, a: Array, b: Array, geometry: Geometry) -> Array:
    """One role in the dtype in which both arrays meet."""
    dtype = jnp.promote_types(a.dtype, b.dtype)
    if dtype.name in NARROW:
        return apply(role, a.astype("float32"), b.astype("float32"), geometry).astype(dtype)
    if dtype.name not in DTYPES:
        raise UnsupportedError("dtype", dtype.name, "no kernel computes it", ", ".join((*DTYPES, *NARROW)))
    return apply(role, a.astype(dtype), b.astype(dtype), geometry)


def _plus(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + jnp.reshape(bias, (-1, *(1,) * (y.ndim - 2)))


def _totals(gy: Array) -> Array:
    """(OC, 1, ...): the sum over images and positions."""
    return gy.sum(axis=(0, *range(2, gy.ndim))).reshape(-1, *(1,) * (gy.ndim - 1))
