"""What a blur does, and its adjoints: three calls of `convgrad.dask`.

A camera also sees light that was blurred into the picture from beyond its borders. So the scene is larger than the
picture, by the size of the point spread function less one, and the picture is the part of it that is blurred completely
(Bertero and Boccacci 2005). No border is made up. With the flipped psf as weight w:

    picture = conv(scene, w)
    its adjoint, a picture put back into a scene    conv_input_grad(picture, w)
    its derivative by w                             conv_weight_grad(picture, scene)

Arrays: scene (planes, 1, *S), picture (planes, 1, *P), psf (*K), S = P + K - 1.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dask import conv, conv_input_grad, conv_weight_grad
from ..dask.libraries import DaskArray, da

Array = NDArray[Any]


@dataclass(frozen=True)
class Blur:
    """A blur by `psf` that scenes of `size` undergo."""

    psf: Array  # float64, sum one
    size: tuple[int, ...]

    @property
    def weight(self) -> Array:
        """The psf as a weight, float32: flipped, because `conv` does not flip."""
        return np.flip(self.psf).astype(np.float32)[np.newaxis, np.newaxis]

    def seen(self, scene: DaskArray) -> DaskArray:
        """The picture of a scene."""
        return conv(scene, self.weight)

    def put_back(self, picture: DaskArray, like: DaskArray) -> DaskArray:
        """The adjoint of `seen`: every pixel's value where its light may have come from, cut like the scene `like`."""
        return conv_input_grad(picture, self.weight, input_size=self.size, chunks=like.chunks)

    def by_psf(self, picture: DaskArray, scene: DaskArray) -> DaskArray:
        """The derivative of <seen(scene), picture> by the psf, lazy, (*K)."""
        gw = conv_weight_grad(picture, scene, kernel_size=self.psf.shape)
        return gw[(0, 0, *(slice(None, None, -1),) * self.psf.ndim)]

    def caught(self, like: DaskArray) -> DaskArray:
        """How much of the light of each point of the scene the picture catches: `put_back` of ones, cut like `like`.

        A sum of psf over a box of taps: 2**rank entries of its running sums.
        """
        sums = np.zeros([size + 1 for size in self.psf.shape])
        running = np.flip(self.psf)
        for axis in range(self.psf.ndim):
            running = running.cumsum(axis)
        sums[(slice(1, None),) * self.psf.ndim] = running

        def block(chunk: Array, block_info: Any = None) -> Array:
            place = block_info[0]["array-location"][2:]
            first, last = [], []
            for (start, stop), kernel, size in zip(place, self.psf.shape, self.size, strict=True):
                # tap k of the output i - k exists for 0 <= i - k < size - kernel + 1
                positions = np.arange(start, stop)
                first.append(np.maximum(0, positions - (size - kernel)))
                last.append(np.minimum(kernel, positions + 1))
            total = np.zeros(chunk.shape[2:])
            for ends in itertools.product((0, 1), repeat=len(first)):
                corner = [last[a] if end else first[a] for a, end in enumerate(ends)]
                total += (-1) ** (len(ends) - sum(ends)) * sums[np.ix_(*corner)]
            return np.broadcast_to(total.astype(chunk.dtype), chunk.shape)

        return da.map_blocks(block, like, dtype=like.dtype, meta=like._meta)
