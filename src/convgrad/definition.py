"""The convolution layer and its gradients, as the mathematics writes them. Start reading here.

One list of index triples says which input position, which weight and which output position belong
together. The layer and its two gradients are three sums over that same list: each multiplies two of the
three arrays and adds the product where the third stands.

This page is the oracle of every test and the text of every explanation. It is slow on purpose, it works on
any numbers (also exact fractions and symbols), and no computation ever falls back to it.

>>> import numpy as np
>>> g = Geometry(1, 1, 1, 1, (Axis(input=5, kernel=3),))
>>> x, w, gy = (np.array([[row]]) for row in ([1, 2, 3, 4, 5], [1, 10, 100], [0, 1, 0]))
>>> forward(x, w, g)         # each output spells the window that it saw, last tap first
array([[[321, 432, 543]]])
>>> input_grad(gy, w, g)     # the kernel, stamped where the output's gradient was
array([[[  0,   1,  10, 100,   0]]])
>>> weight_grad(gy, x, g)    # each tap collects every position at which it was used
array([[[2, 3, 4]]])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Axis as Axis
from .geometry import Geometry

Index = tuple[int, ...]
Array = NDArray[Any]


def terms(geometry: Geometry) -> Iterator[tuple[Index, Index, Index]]:
    """Every (input index, weight index, output index) that meet in one product of the sums below."""
    g = geometry
    for n, oc, ic in np.ndindex(g.batch, g.out_channels, g.in_channels_per_group):
        channel = oc // g.out_channels_per_group * g.in_channels_per_group + ic
        for o in np.ndindex(*g.output_size):
            for k in np.ndindex(*g.kernel_size):
                i = tuple(axis.source(o_, k_) for axis, o_, k_ in zip(g.axes, o, k, strict=True))
                if all(0 <= i_ < axis.input for axis, i_ in zip(g.axes, i, strict=True)):
                    yield (n, channel, *i), (oc, ic, *k), (n, oc, *o)


def forward(x: Array, w: Array, geometry: Geometry) -> Array:
    """y[o] = sum of x[i] * w[k]: every output looks at its window."""
    y = np.zeros(geometry.output_shape, np.result_type(x, w))
    for i, k, o in terms(geometry):
        y[o] += x[i] * w[k]
    return y


def input_grad(gy: Array, w: Array, geometry: Geometry) -> Array:
    """dL/dx[i] = sum of gy[o] * w[k]: every input collects from the outputs that looked at it."""
    gx = np.zeros(geometry.input_shape, np.result_type(gy, w))
    for i, k, o in terms(geometry):
        gx[i] += gy[o] * w[k]
    return gx


def weight_grad(gy: Array, x: Array, geometry: Geometry) -> Array:
    """dL/dw[k] = sum of gy[o] * x[i]: every weight collects from all positions, because all share it."""
    gw = np.zeros(geometry.weight_shape, np.result_type(gy, x))
    for i, k, o in terms(geometry):
        gw[k] += gy[o] * x[i]
    return gw


def bias_grad(gy: Array) -> Array:
    """dL/dbias[oc] = sum of gy: the bias was added once at every position of every image."""
    gb = np.zeros(gy.shape[1], gy.dtype)
    for n, oc, *o in np.ndindex(*gy.shape):
        gb[oc] += gy[(n, oc, *o)]
    return gb


def norms(role: str, a: Array, b: Array, geometry: Geometry) -> Array:
    """The product of the Euclidean norms of the two parts that each entry of a role sums over.

    By Cauchy and Schwarz no entry is larger. Errors of transforms are relative to it, so a plan with the
    `error_scale` "norm" is measured by it. Its shape broadcasts to the result's.
    """
    g = geometry
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    if role == "weight_grad":
        gy, x = (_norms(array.swapaxes(0, 1), 1) for array in (a, b))
        found: Array = gy[:, None] * np.repeat(x.reshape(g.groups, ic), oc, axis=0)
    else:
        # of each image and group, and of what one channel of the result meets in the weight
        image = _norms(a.reshape(g.batch, g.groups, -1), 2)
        w = b.reshape(g.groups, oc, ic, -1)
        weight = _norms(w if role == "forward" else w.swapaxes(1, 2), 2)
        found = (image[:, :, None] * weight).reshape(g.batch, -1)
    return found.reshape(*found.shape, *(1,) * g.rank)


def _norms(array: Array, kept: int) -> Array:
    found: Array = np.sqrt(np.sum(np.square(array), axis=tuple(range(kept, array.ndim))))
    return found
