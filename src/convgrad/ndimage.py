"""SciPy's ndimage filters by a kernel, with their adjoints: the same names, modes and origins, computed by convgrad.

    from convgrad import ndimage            # instead of `from scipy import ndimage`
    ndimage.correlate(volume, weights, mode="mirror", origin=(0, 0, 1))

What differs on purpose is listed in docs/signal.md. The adjoints, which SciPy does not have, are called after the
argument that they give back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import api
from .arrays import as_array
from .errors import GeometryError, UnsupportedError

Array = NDArray[Any]
# what stands beyond the borders, in SciPy's words
MODES = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "circular",
    "grid-wrap": "circular",
    "constant": "constant",
    "grid-constant": "constant",
}


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Array | DTypeLike | None = None,
    mode: Any = "reflect",
    cval: complex = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Each entry replaced by a weighted sum of its neighbours.

    input: an array with any number of axes.   weights: the kernel, with as many axes as `axes` names; complex weights
    are conjugated.
    output: an array to write into, or the dtype of the result; the dtype of input where left out. Whole numbers are
    truncated, as in SciPy; one that the dtype cannot hold is an error.
    mode: beyond the borders: "reflect" (mirrored behind the last entry), "mirror" (mirrored at it), "nearest" (the last
    entry), "wrap" (the array again) or "constant" (`cval`); one word, or one for each axis.
    origin: entries by which the kernel's middle, K // 2, is moved; one whole number, or one for each axis.
    axes: those along which is filtered; all where left out.
    Returns an array of the shape of input.
    Raises GeometryError for shapes and words that do not fit, UnsupportedError for dtypes without kernels and numbers
    that the result cannot hold.
    Source: `scipy.ndimage.correlate`, whose results it has.

    >>> correlate([1., 2, 3, 4], [1, 10, 100])
    array([211., 321., 432., 443.])
    """
    return _filter(input, weights, output, mode, cval, origin, axes, backwards=False)


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Array | DTypeLike | None = None,
    mode: Any = "reflect",
    cval: complex = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """`correlate` with the kernel read backwards and not conjugated; the origin moves the other way.

    Arguments, result and errors are those of `correlate`.
    Source: `scipy.ndimage.convolve`, whose results it has.

    >>> convolve([1., 2, 3, 4], [1, 10, 100])
    array([112., 123., 234., 344.])
    """
    return _filter(input, weights, output, mode, cval, origin, axes, backwards=True)


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Array | DTypeLike | None = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    """`correlate` along one axis; the arguments are those of `correlate`, weights with one axis.

    >>> correlate1d([[1., 2], [3, 4]], [1, 10], axis=0)
    array([[11., 22.],
           [31., 42.]])
    """
    return _filter(input, _line(weights), output, mode, cval, origin, (axis,), backwards=False)


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Array | DTypeLike | None = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    """`convolve` along one axis; the arguments are those of `correlate`, weights with one axis.

    >>> convolve1d([[1., 2], [3, 4]], [1, 10], axis=0)
    array([[13., 24.],
           [33., 44.]])
    """
    return _filter(input, _line(weights), output, mode, cval, origin, (axis,), backwards=True)


def correlate_input_adjoint(
    g: ArrayLike, weights: ArrayLike, mode: Any = "reflect", origin: Any = 0, *, axes: Any = None
) -> Array:
    """Adjoint of `correlate` in its input: what lies beyond the borders folds back.

    g: an array of the shape of the result, which is that of input.   The others: as in the call of `correlate`.
    Returns an array of the shape of g, conjugated for complex weights so that vdot(g, correlate(input, weights)) ==
    vdot(correlate_input_adjoint(g, weights), input); integers exactly, as int64 or uint64.
    Raises what `correlate` raises.

    >>> correlate_input_adjoint([1., 0, 0, 0], [1, 10, 100])
    array([ 11., 100.,   0.,   0.])
    """
    return _input_adjoint(g, weights, mode, origin, axes, backwards=False)


def correlate_weights_adjoint(
    g: ArrayLike,
    input: ArrayLike,
    weights_shape: Any,
    mode: Any = "reflect",
    cval: complex = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """The gradient of Re(vdot(g, correlate(input, weights))) by the weights.

    g: an array of the shape of input.   weights_shape: the shape of weights.   The others: as in `correlate`.
    Returns an array of shape `weights_shape`; integers exactly, as int64 or uint64.
    Raises what `correlate` raises.

    >>> correlate_weights_adjoint([1., 0, 0, 0], [1., 2, 3, 4], weights_shape=(3,))
    array([1., 1., 2.])
    """
    return _weights_adjoint(g, input, weights_shape, mode, cval, origin, axes, backwards=False)


def convolve_input_adjoint(
    g: ArrayLike, weights: ArrayLike, mode: Any = "reflect", origin: Any = 0, *, axes: Any = None
) -> Array:
    """Adjoint of `convolve` in its input; arguments as for `correlate_input_adjoint`.

    >>> convolve_input_adjoint([1., 0, 0, 0], [1, 10, 100])
    array([110.,   1.,   0.,   0.])
    """
    return _input_adjoint(g, weights, mode, origin, axes, backwards=True)


def convolve_weights_adjoint(
    g: ArrayLike,
    input: ArrayLike,
    weights_shape: Any,
    mode: Any = "reflect",
    cval: complex = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Adjoint of `convolve` in its weights; arguments as for `correlate_weights_adjoint`.

    >>> convolve_weights_adjoint([1., 0, 0, 0], [1., 2, 3, 4], weights_shape=(3,))
    array([2., 1., 1.])
    """
    return _weights_adjoint(g, input, weights_shape, mode, cval, origin, axes, backwards=True)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A kernel on an array: the axes before the first that is filtered are images, those after it positions."""

    shape: tuple[int, ...]
    images: int  # axes
    kernel_shape: tuple[int, ...]
    kernel_size: tuple[int, ...]  # with one entry for each position axis that is not filtered
    options: dict[str, Any]

    def image(self, array: Array) -> Array:
        """(N, 1, *I)"""
        positions = self.shape[self.images :] or (1,)
        return array.reshape(math.prod(self.shape[: self.images]), 1, *positions)

    def kernel(self, weights: Array) -> Array:
        """(1, 1, *K)"""
        return weights.reshape(1, 1, *self.kernel_size)


def _filter(
    input: ArrayLike, weights: ArrayLike, output: Any, mode: Any, cval: complex, origin: Any, axes: Any, backwards: bool
) -> Array:
    x, w = as_array("input", input), as_array("weights", weights)
    placed = _placed(x.shape, w.shape, axes, mode, cval, origin, backwards)
    w = w if backwards else w.conj()
    result = _output(output, x, "c" in (x.dtype.kind, w.dtype.kind))
    if x.size:
        found = api.conv(placed.image(_computable(x, w, cval)), placed.kernel(w), **placed.options)
        _write(found.reshape(x.shape), result)
    return result


def _output(output: Any, x: Array, is_complex: bool) -> Array:
    """Where the result goes: by SciPy's rule an array of the dtype of the input, where nothing else is asked for."""
    if isinstance(output, np.ndarray):
        if output.shape != x.shape:
            rule = f"the result has shape {x.shape}"
            raise GeometryError("output.shape", output.shape, rule, "an array of that shape")
        return output
    dtype = x.dtype.newbyteorder("=") if output is None else np.dtype(output)
    return np.empty(x.shape, np.promote_types(dtype, np.complex64) if is_complex else dtype)


def _computable(x: Array, w: Array, cval: complex) -> Array:
    """Whole numbers as float64 where something else is not whole, so that truncation meets no rounding of float32."""
    if x.dtype.kind in "iu" and (w.dtype.kind not in "iu" or cval != int(cval.real)):
        return x.astype(np.float64)
    return x


def _write(found: Array, output: Array) -> None:
    """`found` in `output`, truncated where that holds whole numbers."""
    if output.dtype.kind == "c" or found.dtype.kind != "c":
        if output.dtype.kind in "iu" and found.size:
            limits, least, most = np.iinfo(output.dtype), np.trunc(found.min()), np.trunc(found.max())
            if not limits.min <= least <= most <= limits.max:
                raise UnsupportedError(
                    "output.dtype",
                    output.dtype.name,
                    f"results lie between {found.min()} and {found.max()}",
                    "a dtype that holds them, as in output='float64'",
                )
        output[...] = found.astype(output.dtype, copy=False)
        return
    raise UnsupportedError("output.dtype", output.dtype.name, "the result is complex", "complex64 or complex128")


def _input_adjoint(g: ArrayLike, weights: ArrayLike, mode: Any, origin: Any, axes: Any, backwards: bool) -> Array:
    given, w = as_array("g", g), as_array("weights", weights)
    placed = _placed(given.shape, w.shape, axes, mode, 0.0, origin, backwards)
    w = w if backwards else w.conj()
    image = placed.image(given)
    gx = api.conv_input_grad(image, placed.kernel(w), input_size=image.shape[2:], **placed.options)
    return gx.reshape(given.shape)


def _weights_adjoint(
    g: ArrayLike, input: ArrayLike, shape: Any, mode: Any, cval: complex, origin: Any, axes: Any, backwards: bool
) -> Array:
    given, x = as_array("g", g), as_array("input", input)
    if given.shape != x.shape:
        raise GeometryError("g.shape", given.shape, f"input has shape {x.shape}", "an array of that shape")
    placed = _placed(x.shape, tuple(shape), axes, mode, cval, origin, backwards)
    size = placed.kernel_size
    gw = api.conv_weight_grad(placed.image(given), placed.image(x), kernel_size=size, **placed.options)
    return (gw if backwards else gw.conj()).reshape(placed.kernel_shape)


def _placed(
    shape: tuple[int, ...], kernel: tuple[int, ...], axes: Any, mode: Any, cval: complex, origin: Any, backwards: bool
) -> _Placed:
    rank = len(shape)
    filtered = _axes(axes, rank)
    if len(kernel) != len(filtered) or 0 in kernel:
        rule = f"{len(filtered)} axes of input are filtered"
        raise GeometryError("weights.shape", kernel, rule, f"{len(filtered)} axes, none of them empty")
    origins = _for_each("origin", origin, len(filtered))
    modes = _for_each("mode", mode, len(filtered))
    first = min(filtered, default=0)
    padding: list[tuple[int, int]] = [(0, 0)] * rank
    size, words = [1] * rank, ["zeros"] * rank
    for axis, k, moved, word in zip(filtered, kernel, origins, modes, strict=True):
        padding[axis], size[axis], words[axis] = _around(k, moved, backwards), k, _mode(word)
    if not filtered:  # one number for every entry
        return _Placed(shape, rank, kernel, (1,), {})
    options = {
        "padding": padding[first:],
        "padding_mode": words[first:],
        "padding_value": cval if "constant" in words else 0,
        "flip": backwards,
    }
    return _Placed(shape, first, kernel, tuple(size[first:]), options)


def _around(k: int, origin: Any, backwards: bool) -> tuple[int, int]:
    """Entries before and after the one that is computed, under a kernel of k."""
    try:
        moved = index(origin)
    except TypeError:
        moved = k  # outside
    if not -(k // 2) <= moved <= (k - 1) // 2:
        raise GeometryError(
            "origin", origin, f"moves a kernel of {k} off the entry", f"whole numbers {-(k // 2)} to {(k - 1) // 2}"
        )
    before = (k - 1) // 2 - moved if backwards else k // 2 + moved
    return before, k - 1 - before


def _mode(word: Any) -> str:
    if word not in MODES:
        raise GeometryError("mode", word, "is no way to continue an array", ", ".join(MODES))
    return MODES[word]


def _axes(axes: Any, rank: int) -> tuple[int, ...]:
    """The filtered axes from zero. In ascending order, because SciPy reads weights and origins in different ones."""
    if axes is None:
        return tuple(range(rank))
    try:
        found = tuple(index(axis) for axis in (axes if np.iterable(axes) else (axes,)))
    except TypeError:
        found = (rank,)
    numbers = [axis % rank if -rank <= axis < rank else -1 for axis in found]
    if -1 in numbers or numbers != sorted(set(numbers)):
        accepted = f"whole numbers {-rank} to {rank - 1} in ascending order"
        raise GeometryError("axes", axes, f"input has {rank} axes, and none is filtered twice", accepted)
    return tuple(numbers)


def _for_each(argument: str, value: Any, count: int) -> list[Any]:
    values = [value] * count if isinstance(value, str) or not np.iterable(value) else list(value)
    if len(values) != count:
        raise GeometryError(argument, value, f"{count} axes are filtered", f"one, or {count}")
    return values


def _line(weights: ArrayLike) -> Array:
    w = as_array("weights", weights)
    if w.ndim != 1 or not w.size:
        raise GeometryError("weights.shape", w.shape, "is filtered along one axis", "one axis that is not empty")
    return w
