"""One step towards a sharper scene, and one towards the psf: multiplicative, so that nothing gets negative.

Richardson (1972) and Lucy (1974): the scene that makes the picture most likely, if pixels count photons. Each step
multiplies by what the blur puts back of picture / seen(scene), over what the picture catches of each point. Total
variation (Dey et al. 2006) subtracts strength * div(grad / |grad|) from the latter: it charges for edges, not for
steepness. The psf is stepped in the same way with the scene held fixed (Fish et al. 1995).

Lazy, on Dask arrays: (planes, 1, *size) float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dask import conv, conv_input_grad
from ..dask.libraries import DaskArray, da
from .blur import Blur
from .psf import normalized

Array = NDArray[Any]

DARK = 1e-6  # of the mean of the picture: what a pixel that nothing reaches divides by
UNSEEN = 0.01  # of its light: a point of which the picture catches less is not estimated
FLAT = 1e-3  # of the mean, per pixel: gradients below have no direction


def ratio(picture: DaskArray, scene: DaskArray, blur: Blur, mean: float) -> DaskArray:
    """picture / seen(scene): above one where light is missing."""
    return picture / da.maximum(blur.seen(scene), np.float32(DARK * mean))


def next_scene(
    picture: DaskArray, scene: DaskArray, blur: Blur, mean: float, total_variation: float = 0.0
) -> DaskArray:
    """The scene after one step; total_variation: its strength, 0.002 mild, 0.02 strong."""
    caught = blur.caught(scene)
    divisor = caught
    if total_variation:
        divisor = da.maximum(caught - np.float32(total_variation) * curvature(scene, FLAT * mean), np.float32(UNSEEN))
    back = blur.put_back(ratio(picture, scene, blur, mean), like=scene)
    return da.where(caught >= UNSEEN, scene * back / da.maximum(divisor, np.float32(UNSEEN)), np.float32(0))


def next_psf(picture: DaskArray, scene: DaskArray, blur: Blur, mean: float) -> Array:
    """The psf after one step; computed, for it is small."""
    step = blur.by_psf(ratio(picture, scene, blur, mean), scene)
    light = blur.by_psf(da.ones_like(picture), scene)  # of the scene that each entry of the psf spreads
    step, light = da.compute(step, light)
    return normalized(blur.psf * (step / np.maximum(light, np.finfo(np.float32).tiny)).astype(np.float64))


def curvature(scene: DaskArray, flat: float) -> DaskArray:
    """div(grad / |grad|) of a scene, with differences to the next pixel and none across the borders.

    The gradient is a `conv` with one kernel of differences per axis, minus the divergence its adjoint.
    """
    size = scene.shape[2:]
    rank = len(size)
    differences = np.zeros((rank, 1, *(2,) * rank), np.float32)
    for axis in range(rank):
        line = differences[axis, 0]  # taps of one axis, 0 on all others
        line[(0,) * rank] = -1
        line[tuple(int(a == axis) for a in range(rank))] = 1
    options: dict[str, Any] = {"padding": [(0, 1)] * rank}

    def direction(differences: Array, block_info: Any = None) -> Array:
        gradient, place = differences.copy(), block_info[0]["array-location"][2:]
        for axis, (_, stop) in enumerate(place):
            if stop == size[axis]:  # what lies behind the border is not known to be dark
                np.moveaxis(gradient[:, axis], 1 + axis, 0)[-1] = 0
        length = np.sqrt(np.square(gradient).sum(axis=1, keepdims=True))
        gradient /= np.maximum(length, np.float32(flat))
        return gradient

    gradient = conv(scene, differences, **options)
    unit = da.map_blocks(direction, gradient, dtype=gradient.dtype, meta=gradient._meta)
    return -conv_input_grad(unit, differences, input_size=size, chunks=scene.chunks, **options)
