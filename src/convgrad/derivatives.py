"""Derivatives of `conv` as plain functions: backwards, forwards, and backwards through the backward pass.

The layer and its gradients are the partial derivatives of one trilinear form, so whatever is differentiated, the result
is one of the three again: the rules below are all there are, at any order.

    y  = conv(x, w)            dy  = conv(dx, w) + conv(x, dw)
    gx = input_grad(gy, w)     dgx = input_grad(dgy, w) + input_grad(gy, dw)
    gw = weight_grad(gy, x)    dgw = weight_grad(dgy, x) + weight_grad(gy, dx)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .api import conv, conv_input_grad, conv_weight_grad
from .arrays import as_array

Array = NDArray[Any]


def conv_vjp(gy: ArrayLike, x: ArrayLike, w: ArrayLike, **options: Any) -> tuple[Array, Array]:
    """Both gradients of `conv(x, w, **options)`, for the gradient `gy` by its output.

    gy: (N, OC, *O).   x: (N, IC, *I).   w: (OC, IC/groups, *K).   options: those of `conv`.
    Returns gx: (N, IC, *I) and gw: (OC, IC/groups, *K): two convolutions.
    Raises what `conv_input_grad` and `conv_weight_grad` raise.
    Source: `definition.input_grad` and `definition.weight_grad`.

    >>> x = np.array([[[1., 2, 3, 4, 5]]]); w = np.array([[[1., 10, 100]]]); gy = np.array([[[0., 1, 0]]])
    >>> conv_vjp(gy, x, w)
    (array([[[  0.,   1.,  10., 100.,   0.]]]), array([[[2., 3., 4.]]]))
    """
    x, w = as_array("x", x), as_array("w", w)
    gx = conv_input_grad(gy, w, input_size=x.shape[2:], **options)
    return gx, conv_weight_grad(gy, x, kernel_size=w.shape[2:], **options)


def conv_jvp(x: ArrayLike, w: ArrayLike, dx: ArrayLike | None, dw: ArrayLike | None, **options: Any) -> Array:
    """How the output of `conv(x, w, **options)` changes with its arguments, to first order.

    x, dx: (N, IC, *I).   w, dw: (OC, IC/groups, *K).   dx, dw: the changes; None for one that stays.
    options: those of `conv`.
    Returns dy: (N, OC, *O): a convolution for each change.
    Raises what `conv` raises.

    >>> x = np.array([[[1., 2, 3, 4]]]); w = np.array([[[1., 10]]])
    >>> conv_jvp(x, w, dx=np.array([[[0., 1, 0, 0]]]), dw=None)
    array([[[10.,  1.,  0.]]])
    """
    return _sum(conv, (dx, w, _linear(options)), (x, dw, options), like=lambda: np.zeros_like(conv(x, w, **options)))


def conv_double_vjp(
    gy: ArrayLike, x: ArrayLike, w: ArrayLike, ggx: ArrayLike | None, ggw: ArrayLike | None, **options: Any
) -> tuple[Array, Array, Array]:
    """Backwards through the backward pass of `conv(x, w, **options)`: what gradient penalties and curvature need.

    gy, x, w: what the backward pass was given, as for `conv_vjp`, whose results are gx and gw.
    ggx, ggw: gradients of a loss by gx and by gw; None for a result that the loss does not use.
    Returns its gradients by gy, by x and by w: at most four convolutions, and no arrays beside their results.
    Raises what `conv` and its gradients raise.

    >>> x = np.array([[[1., 2, 3]]]); w = np.array([[[1., 10]]]); gy = np.array([[[1., 0]]])
    >>> conv_double_vjp(gy, x, w, ggx=np.array([[[1., 1, 0]]]), ggw=None)
    (array([[[11.,  1.]]]), array([[[0., 0., 0.]]]), array([[[1., 1.]]]))
    """
    gy, x, w = as_array("gy", gy), as_array("x", x), as_array("w", w)
    by_gy = _sum(conv, (ggx, w, _linear(options)), (x, ggw, options), like=lambda: np.zeros_like(gy))
    by_x = np.zeros_like(x) if ggw is None else conv_input_grad(gy, ggw, input_size=x.shape[2:], **options)
    linear = _linear(options)
    by_w = np.zeros_like(w) if ggx is None else conv_weight_grad(gy, ggx, kernel_size=w.shape[2:], **linear)
    return by_gy, by_x, by_w


def _sum(function: Any, first: tuple[Any, Any, Any], second: tuple[Any, Any, Any], like: Any) -> Array:
    """The sum of what a function gives for two pairs of arguments; one that holds None is nothing."""
    found: Array | None = None
    for a, b, options in (first, second):
        if a is not None and b is not None:
            one = function(a, b, **options)
            found = one if found is None else np.add(found, one, out=found) if found.dtype == one.dtype else found + one
    return like() if found is None else found


def _linear(options: dict[str, Any]) -> dict[str, Any]:
    """The options for a change of x: a constant in the padding does not change."""
    return {name: value for name, value in options.items() if name != "padding_value"}
