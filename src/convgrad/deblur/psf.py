"""Point spread functions: what a point of light becomes. Numbers >= 0 with sum one, odd or even in size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .images import read_pixels

Array = NDArray[Any]

RADII = 3.0  # of a Gaussian, in sigmas: all but 0.3 % of its light along one axis
ACCEPTED = "gaussian:SIGMA, gaussian:SIGMA,SIGMA,... (one per axis, in pixels), or a .npy, .png or .tif file"


def read_psf(text: str, rank: int) -> Array:
    """The point spread function that `text` names, for images of `rank` axes.

    >>> read_psf("gaussian:0.5,1", rank=2).shape
    (5, 7)
    """
    if text.startswith("gaussian:"):
        return gaussian(_sigmas(text, rank))
    path = Path(text)
    if not path.is_file():
        raise InputError("psf", text, "is neither a Gaussian nor a file", ACCEPTED)
    found = np.load(path) if path.suffix == ".npy" else read_pixels(path)
    if found.ndim != rank:
        raise InputError("psf", text, f"has {found.ndim} axes, the image {rank}", f"an array with {rank} axes")
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise InputError("psf", text, "holds numbers below zero, no light at all, or no numbers", "light, >= 0")
    return normalized(found)


def gaussian(sigmas: tuple[float, ...]) -> Array:
    """A Gaussian of these widths, in pixels, cut off at three of them.

    >>> gaussian((1.0,)).round(3)
    array([0.004, 0.054, 0.242, 0.399, 0.242, 0.054, 0.004])
    """
    result = np.ones((1,) * len(sigmas))
    for axis, sigma in enumerate(sigmas):
        radius = math.ceil(RADII * sigma)
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        result = result * line.reshape([-1 if a == axis else 1 for a in range(len(sigmas))])
    return normalized(result)


def normalized(psf: Array) -> Array:
    """The same with sum one."""
    wide: Array = psf.astype(np.float64)
    wide /= wide.sum()
    return wide


def _sigmas(text: str, rank: int) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.removeprefix("gaussian:").split(","))
    except ValueError:
        raise InputError("psf", text, "has a width that is no number", ACCEPTED) from None
    if len(found) == 1:
        found *= rank
    if len(found) != rank or not all(0 < sigma < 1000 for sigma in found):
        raise InputError("psf", text, f"is no Gaussian of {rank} axes", ACCEPTED)
    return found
