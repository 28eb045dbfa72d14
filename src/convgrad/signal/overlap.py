"""Two arrays of equal rank, convolved: which axes slide, which go in step, and how `conv` computes it.

An axis that does not slide is one of three things to a convolution layer: images (only the first array has it), output
channels (only the second has it), or groups (both have it, in step). So every case is one call.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import api
from ..choose import REMEMBERED
from ..errors import GeometryError

Array = NDArray[Any]
MODES = ("full", "same", "valid")


@dataclass(frozen=True, slots=True)
class Overlap:
    """How a larger array x and a smaller one w meet: x is the input of a convolution, w its weight, read backwards.

    An `order` lists all axes, those that become images, groups, channels and positions one after the other.
    """

    swapped: bool  # x is the second of the two arrays
    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    z_shape: tuple[int, ...]
    order: tuple[int, ...]  # images, groups, channels, positions: of x and of the result
    w_order: tuple[int, ...]  # groups, channels, images, positions
    images: int
    groups: int
    channels: int
    padding: tuple[tuple[int, int], ...]

    @property
    def rank(self) -> int:
        """The number of axes that slide."""
        return len(self.padding)

    @property
    def x_size(self) -> tuple[int, ...]:
        """Positions of x."""
        return self._positions(self.x_shape)

    @property
    def w_size(self) -> tuple[int, ...]:
        """Taps of w."""
        return self._positions(self.w_shape)

    def _positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(shape[axis] for axis in self.order[len(self.order) - self.rank :]) or (1,)

    def convolve(self, in1: Array, in2: Array, **options: Any) -> Array:
        """The convolution of the two arrays."""
        x, w = (in2, in1) if self.swapped else (in1, in2)
        z = api.conv(self._input(x), self._weight(w), **self._options(options))
        return self._plain(z, self.order, self.z_shape)

    def adjoint(self, g: Array, other: Array, wanted: int, **options: Any) -> Array:
        """The adjoint with respect to the first (1) or second (2) of the arrays, given the other one."""
        given = self._packed(g, self.order, (self.images, self.groups * self.channels), self._positions(self.z_shape))
        options = self._options(options)
        if (wanted == 2) == self.swapped:
            gx = api.conv_input_grad(given, self._weight(other), input_size=self.x_size, **options)
            return self._plain(gx, self.order, self.x_shape)
        gw = api.conv_weight_grad(given, self._input(other), kernel_size=self.w_size, **options)
        return self._plain(gw, self.w_order, self.w_shape)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"padding": self.padding or 0, "groups": self.groups, "flip": True, **options}

    def _input(self, x: Array) -> Array:
        return self._packed(x, self.order, (self.images, self.groups), self.x_size)

    def _weight(self, w: Array) -> Array:
        return self._packed(w, self.w_order, (self.groups * self.channels, 1), self.w_size)

    @staticmethod
    def _packed(array: Array, order: tuple[int, ...], first: tuple[int, int], positions: tuple[int, ...]) -> Array:
        return array.transpose(order).reshape(*first, *positions)

    @staticmethod
    def _plain(array: Array, order: tuple[int, ...], shape: tuple[int, ...]) -> Array:
        """The inverse of `_packed`."""
        return array.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


@functools.lru_cache(maxsize=REMEMBERED)
def overlap(shape1: tuple[int, ...], shape2: tuple[int, ...], mode: str, axes: tuple[int, ...]) -> Overlap:
    """How arrays of these shapes meet when the second slides along `axes`.

    mode: which part of the full result there is: "full", "same" (as long as the first array, from its middle) or
    "valid" (where the shorter lies inside the longer).
    """
    windows = {axis: window(shape1[axis], shape2[axis], mode) for axis in axes}
    if mode == "valid":
        _check_one_contains_the_other(shape1, shape2, axes)
    others = [axis for axis in range(len(shape1)) if axis not in windows]
    for axis in others:
        if shape1[axis] != shape2[axis] and 1 not in (shape1[axis], shape2[axis]):
            rule = f"axis {axis} has {shape1[axis]} and {shape2[axis]} entries, and does not slide"
            raise GeometryError("shapes", (shape1, shape2), rule, "as many entries, or one; or that axis among `axes`")
    swapped = math.prod(shape1[axis] for axis in axes) < math.prod(shape2[axis] for axis in axes)
    x, w = (shape2, shape1) if swapped else (shape1, shape2)
    groups = [axis for axis in others if x[axis] == w[axis]]
    images = [axis for axis in others if w[axis] == 1 and x[axis] != 1]
    channels = [axis for axis in others if x[axis] == 1 and w[axis] != 1]
    z = tuple(windows[axis][1] if axis in windows else max(pair) for axis, pair in enumerate(zip(x, w, strict=True)))
    return Overlap(
        swapped=swapped,
        x_shape=x,
        w_shape=w,
        z_shape=z,
        order=(*images, *groups, *channels, *axes),
        w_order=(*groups, *channels, *images, *axes),
        images=math.prod(x[axis] for axis in images),
        groups=math.prod(x[axis] for axis in groups),
        channels=math.prod(w[axis] for axis in channels),
        padding=tuple(_padding(x[axis], w[axis], *windows[axis]) for axis in axes),
    )


def window(n1: int, n2: int, mode: str) -> tuple[int, int]:
    """Where the result of a mode begins in the full convolution of n1 and n2 entries, and how long it is.

    >>> [window(5, 2, mode) for mode in ("full", "same", "valid")]
    [(0, 6), (0, 5), (1, 4)]
    """
    if mode not in MODES:
        raise GeometryError("mode", mode, "is no part of a convolution", ", ".join(MODES))
    if mode == "full":
        return 0, n1 + n2 - 1
    if mode == "same":
        return (n2 - 1) // 2, n1
    return min(n1, n2) - 1, max(n1, n2) - min(n1, n2) + 1


def _padding(x: int, w: int, start: int, length: int) -> tuple[int, int]:
    """Positions around x, below zero to cut off, so that `conv` gives these entries of the full convolution."""
    before = w - 1 - start
    return before, length - x + w - 1 - before


def _check_one_contains_the_other(shape1: tuple[int, ...], shape2: tuple[int, ...], axes: Sequence[int]) -> None:
    longer = [shape1[axis] >= shape2[axis] for axis in axes]
    shorter = [shape1[axis] <= shape2[axis] for axis in axes]
    if not (all(longer) or all(shorter)):
        rule = f"needs one of {shape1} and {shape2} to be at least as long on every axis that slides"
        raise GeometryError("mode", "valid", rule, "such arrays, or mode='full'")


def sliding_axes(axes: Any, rank: int) -> tuple[int, ...]:
    """`axes` as numbers from zero, each once, in order; all where it is None."""
    if axes is None:
        return tuple(range(rank))
    try:
        numbers = [index(axis) for axis in (axes if np.iterable(axes) else (axes,))]
    except TypeError:
        raise GeometryError("axes", axes, "is no list of axes", f"whole numbers from {-rank} to {rank - 1}") from None
    if not numbers or not all(-rank <= axis < rank for axis in numbers):
        raise GeometryError("axes", axes, f"the arrays have {rank} axes", f"some of {-rank} to {rank - 1}")
    found = sorted({axis % rank for axis in numbers})
    if len(found) != len(numbers):
        raise GeometryError("axes", axes, "names an axis twice", "each axis once")
    return tuple(found)
