"""Small random distortions of training images: each is turned, stretched, slanted and moved a little.

A scan of 8x8 pixels leaves no room for whole-pixel shifts (they cost accuracy); these move ink by fractions of one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STRETCH = 0.1  # largest change of each entry of the 2x2 matrix: about 6 degrees, 10 per cent
SHIFT = 0.03  # largest move, as a part of the image's side


def distort(x: Array, rng: np.random.Generator, ground: float) -> Array:
    """Images like x (N, C, H, W), float32, each seen through its own random affine map; `ground` lies around them."""
    images, _, height, width = x.shape
    matrix = np.eye(2) + rng.uniform(-STRETCH, STRETCH, (images, 2, 2))
    shift = rng.uniform(-SHIFT, SHIFT, (images, 2)) * (height, width)
    centre = np.array([height - 1, width - 1]) / 2
    positions = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1) - centre
    # a sum of products rather than a matrix product: no BLAS, so the same bits everywhere
    sources = (matrix[:, None, None] * positions[None, :, :, None, :]).sum(-1) + (shift[:, None, None] + centre)
    return sample(x, sources, ground)


def sample(x: Array, sources: Array, ground: float) -> Array:
    """x (N, C, H, W) at real positions `sources` (N, H', W', 2) of (row, column): linear between pixels and `ground`.

    >>> x = np.array([[[[0, 1], [2, 3]]]], "float32")
    >>> sample(x, np.array([[[[0, 0], [0.5, 0.5], [1, 1], [2, 2]]]]), ground=9)
    array([[[[0. , 1.5, 3. , 9. ]]]], dtype=float32)
    """
    images, _, height, width = x.shape
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=ground)
    row, column = sources[..., 0] + 1, sources[..., 1] + 1  # in the framed image
    row, column = np.clip(row, 0, height + 1), np.clip(column, 0, width + 1)
    top = np.minimum(row.astype(np.intp), height)
    left = np.minimum(column.astype(np.intp), width)
    down, right = (row - top)[..., None].astype(x.dtype), (column - left)[..., None].astype(x.dtype)
    image = np.arange(images)[:, None, None]

    def at(r: Array, c: Array) -> Array:
        return framed[image, :, r, c]  # (N, H', W', C)

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return np.ascontiguousarray(np.moveaxis(upper * (1 - down) + lower * down, 3, 1))
