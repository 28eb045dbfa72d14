"""`autograd.scipy.signal.convolve`, with its signature: axes that slide, axes that are summed, and all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import autograd.numpy as np

from ..errors import GeometryError
from ..signal.overlap import overlap
from .functions import Array, conv

Axes = Sequence[Sequence[int]] | None


def convolve(
    A: Array,  # noqa: N803
    B: Array,  # noqa: N803
    axes: Axes = None,
    dot_axes: Sequence[Sequence[int]] = ((), ()),
    mode: str = "full",
) -> Array:
    """Convolution of two arrays along some of their axes, differentiable by both.

    A, B: arrays.   axes: which axes of A, and which of B, slide along each other; all of both where left out.
    dot_axes: which are multiplied and summed.   mode: "full", "valid", or "same", which is as long as A.
    Returns an array with the remaining axes of A, those of B, and those that slide.
    Raises GeometryError where axes do not match.
    Source: `autograd.scipy.signal.convolve`.

    >>> from autograd import grad
    >>> convolve(np.array([1., 2, 3]), np.array([0., 1, 10]))
    array([ 0.,  1., 12., 23., 30.])
    >>> grad(lambda B: np.sum(convolve(np.array([1., 2, 3]), B, mode="valid")))(np.array([1., 10]))
    array([5., 3.])
    """
    slide_a, slide_b = ([*range(A.ndim)], [*range(B.ndim)]) if axes is None else map(list, axes)
    dot_a, dot_b = map(list, dot_axes)
    slide_a, dot_a = _checked("A", A, slide_a, dot_a)
    slide_b, dot_b = _checked("B", B, slide_b, dot_b)
    if (len(slide_a), [A.shape[axis] for axis in dot_a]) != (len(slide_b), [B.shape[axis] for axis in dot_b]):
        rule = f"do not match for arrays of shapes {A.shape} and {B.shape}"
        raise GeometryError("axes, dot_axes", (axes, dot_axes), rule, "as many to slide, and equal lengths to sum")
    keep_a = [axis for axis in range(A.ndim) if axis not in (*slide_a, *dot_a)]
    keep_b = [axis for axis in range(B.ndim) if axis not in (*slide_b, *dot_b)]
    a = _layer(A, keep_a, dot_a, slide_a)
    b = _layer(B, keep_b, dot_b, slide_b)
    lengths_a, lengths_b = a.shape[2:], b.shape[2:]
    met = overlap(lengths_a, lengths_b, mode, tuple(range(len(lengths_a))))
    x, w = (b, a) if met.swapped else (a, b)
    flipped = w[(slice(None), slice(None), *(slice(None, None, -1),) * len(lengths_a))]
    y = conv(x, flipped, padding=met.padding)
    if met.swapped:
        y = np.swapaxes(y, 0, 1)
    kept = [A.shape[axis] for axis in keep_a] + [B.shape[axis] for axis in keep_b]
    found: Array = np.reshape(y, (*kept, *(y.shape[2:] if slide_a else ())))
    return found


def _layer(array: Array, keep: list[int], dot: list[int], slide: list[int]) -> Array:
    """(images or outputs, channels, *positions)"""
    shape = array.shape
    sizes = [shape[axis] for axis in slide] or [1]
    first = (math.prod(shape[axis] for axis in keep), math.prod(shape[axis] for axis in dot))
    packed: Array = np.reshape(np.transpose(array, (*keep, *dot, *slide)), (*first, *sizes))
    return packed


def _checked(name: str, array: Any, slide: list[int], dot: list[int]) -> tuple[list[int], list[int]]:
    """Both lists with numbers from zero, if they name no axis twice."""
    rank = array.ndim
    numbers = [axis % rank if -rank <= axis < rank else -1 for axis in (*slide, *dot)]
    if -1 in numbers or len(set(numbers)) < len(numbers):
        accepted = f"axes from {-rank} to {rank - 1}, each once"
        raise GeometryError(f"axes of {name}", (slide, dot), f"{name} has {rank} axes", accepted)
    return numbers[: len(slide)], numbers[len(slide) :]
