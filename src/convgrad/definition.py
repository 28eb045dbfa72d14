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
    for i, k, o in _pairs(geometry):
        inside = tuple(i_ for i_ in i if i_ is not None)
        if len(inside) == len(i):
            yield inside, k, o


def constant_terms(geometry: Geometry) -> Iterator[tuple[complex, Index, Index]]:
    """Every (constant, weight index, output index) that meet where padding holds a constant that is not zero."""
    g = geometry
    for i, k, o in _pairs(g) if g.fill != 0 else ():
        # axes are padded one after the other: in a corner the last of them decides
        held = [axis.fill for axis, i_ in zip(g.axes, i[2:], strict=True) if i_ is None]
        if held and held[-1] != 0:
            yield held[-1], k, o


def _pairs(g: Geometry) -> Iterator[tuple[tuple[int | None, ...], Index, Index]]:
    """Every window: its output, its taps, and the input that each reads; None where a constant stands."""
    for n, oc, ic in np.ndindex(g.batch, g.out_channels, g.in_channels_per_group):
        channel = oc // g.out_channels_per_group * g.in_channels_per_group + ic
        for o in np.ndindex(*g.output_size):
            for k in np.ndindex(*g.kernel_size):
                i = (axis.entry(axis.source(o_, k_)) for axis, o_, k_ in zip(g.axes, o, k, strict=True))
                yield (n, channel, *i), (oc, ic, *k), (n, oc, *o)


def forward(x: Array, w: Array, geometry: Geometry) -> Array:
    """y[o] = sum of x[i] * w[k]: every output looks at its window."""
    y = np.zeros(geometry.output_shape, np.result_type(x, w))
    for i, k, o in terms(geometry):
        y[o] += x[i] * w[k]
    for constant, k, o in constant_terms(geometry):
        y[o] += y.dtype.type(constant) * w[k]
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
    for constant, k, o in constant_terms(geometry):
        gw[k] += gy[o] * gw.dtype.type(constant)
    return gw


def bias_grad(gy: Array) -> Array:
    """dL/dbias[oc] = sum of gy: the bias was added once at every position of every image."""
    gb = np.zeros(gy.shape[1], gy.dtype)
    for n, oc, *o in np.ndindex(*gy.shape):
        gb[oc] += gy[(n, oc, *o)]
    return gb


def extended(x: Array, geometry: Geometry) -> Array:
    """(N, IC, *read): what stands at every position that a window may read, padding included."""
    for number, axis in enumerate(geometry.axes, start=2):
        entries = [axis.entry(position) for position in axis.read]
        x = np.take(x, [0 if entry is None else entry for entry in entries], axis=number)
        np.moveaxis(x, number, 0)[[entry is None for entry in entries]] = axis.fill
    return x


def norms(role: str, a: Array, b: Array, geometry: Geometry) -> Array:
    """The product of the Euclidean norms of the two parts that each entry of a role sums over.

    By Cauchy and Schwarz no entry is larger. Errors of transforms are relative to it, so a plan with the
    `error_scale` "norm" is measured by it. Its shape broadcasts to the result's.
    """
    g = geometry
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    if role == "weight_grad":
        gy, x = (_norms(array.swapaxes(0, 1), 1) for array in (a, extended(b, g)))
        found: Array = gy[:, None] * np.repeat(x.reshape(g.groups, ic), oc, axis=0)
        return found.reshape(*found.shape, *(1,) * g.rank)
    # of each image and group, and of what one channel of the result meets in the weight
    image = _norms((extended(a, g) if role == "forward" else a).reshape(g.batch, g.groups, -1), 2)
    w = b.reshape(g.groups, oc, ic, -1)
    weight = _norms(w if role == "forward" else w.swapaxes(1, 2), 2)
    found = (image[:, :, None] * weight).reshape(g.batch, -1, *(1,) * g.rank)
    if role == "input_grad":  # an entry that stands at several positions collects from all of them
        for number, axis in enumerate(g.axes):
            stands = [axis.entry(position) for position in axis.read]
            counts = np.array([max(1, stands.count(i)) for i in range(axis.input)])
            found = found * counts.reshape(-1, *(1,) * (g.rank - 1 - number))
    return found


def _norms(array: Array, kept: int) -> Array:
    found: Array = np.sqrt(np.sum(np.square(np.abs(array)), axis=tuple(range(kept, array.ndim))))
    return found
