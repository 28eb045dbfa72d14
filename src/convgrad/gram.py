"""The normal matrix of a convolution in its weight, from few correlations: the covariance method, in any rank.

    G[(a, k), (b, l)] = sum over images n and outputs o of  conj(x[n, a, o + k]) x[n, b, o + l]

One step along the diagonal moves the window by one position, so a sum differs from the one before by what leaves it and
what enters. Along each axis only the sums with k = 0 or l = 0 are computed from the whole input; the rest follows from
its first and last rows. A 31 x 31 kernel has 923 521 entries and needs some sixty correlations of the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .api import compute
from .geometry import Axis, Geometry

Array = NDArray[Any]


def cross_gram(a: Array, b: Array, kernel: tuple[int, ...]) -> Array:
    """(A, *K, B, *K): for arrays (N, A, *E) and (N, B, *E), all sums over windows of E - K + 1 positions."""
    if not kernel:
        found: Array = np.einsum("na,nb->ab", a.conj(), b)
        return found
    size, rest = kernel[0], kernel[1:]
    windows = a.shape[2] - size + 1
    if not rest:
        return _along_one_axis(a, b, size, windows)
    found = np.empty((a.shape[1], *kernel, b.shape[1], *kernel), np.result_type(a, b))
    by_rows = np.moveaxis(found, (1, 2 + len(kernel)), (0, 1))  # (K0, K0, A, *K rest, B, *K rest)
    for tap in range(size):  # one of the two windows stands at the first row
        by_rows[0, tap] = cross_gram(_joined(a[:, :, :windows]), _joined(b[:, :, tap : tap + windows]), rest)
        if tap:
            by_rows[tap, 0] = cross_gram(_joined(a[:, :, tap : tap + windows]), _joined(b[:, :, :windows]), rest)
    # rows as channels: what leaves and what enters, for every pair of rows
    leaves = _pairs_of_rows(a[:, :, : size - 1], b[:, :, : size - 1], rest)
    enters = _pairs_of_rows(a[:, :, windows:], b[:, :, windows:], rest)
    for k in range(size - 1):
        for j in range(size - 1):
            by_rows[k + 1, j + 1] = by_rows[k, j] - leaves[k, j] + enters[k, j]
    return found


def _along_one_axis(a: Array, b: Array, size: int, windows: int) -> Array:
    found = np.empty((a.shape[1], size, b.shape[1], size), np.result_type(a, b))
    found[:, 0] = _correlations(a[..., :windows], b, size)
    found[..., 0] = _correlations(b[..., :windows], a, size).conj().transpose(1, 2, 0)
    first_a, first_b = a[..., : size - 1], b[..., : size - 1]
    last_a, last_b = a[..., windows:], b[..., windows:]
    change = np.einsum("nak,nbl->akbl", last_a.conj(), last_b) - np.einsum("nak,nbl->akbl", first_a.conj(), first_b)
    for k in range(size - 1):
        found[:, k + 1, :, 1:] = found[:, k, :, :-1] + change[:, k]
    return found


def _correlations(gy: Array, x: Array, size: int) -> Array:
    """(A, B, K): sums of conj(gy[n, a, o]) x[n, b, o + k]: a weight gradient."""
    axis = Axis(x.shape[2], size)
    geometry = Geometry(len(x), x.shape[1], gy.shape[1], 1, (axis,))
    return compute("weight_grad", geometry, gy.conj(), x)


def _joined(array: Array) -> Array:
    """The first axis of positions joined with the images: both are summed over."""
    n, channels, rows, *rest = array.shape
    return np.ascontiguousarray(array.swapaxes(1, 2)).reshape(n * rows, channels, *rest)


def _pairs_of_rows(a: Array, b: Array, rest: tuple[int, ...]) -> Array:
    """(rows, rows, A, *K, B, *K): the sums over the other axes for every pair of rows."""
    rows = a.shape[2]
    if rows == 0:
        return np.empty((0, 0))
    one, two = (z.reshape(len(z), z.shape[1] * rows, *z.shape[3:]) for z in (a, b))
    found = cross_gram(one, two, rest)
    split = found.reshape(a.shape[1], rows, *rest, b.shape[1], rows, *rest)
    return np.moveaxis(split, (1, 3 + len(rest)), (0, 1))
