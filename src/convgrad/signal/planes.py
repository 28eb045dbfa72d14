"""`convolve2d` and `correlate2d`: two axes, and a boundary that can be wrapped or mirrored; and their adjoints.

For mode="valid" no boundary is read, and they are `convolve` and `correlate`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import api
from ..arrays import as_array
from ..errors import GeometryError
from . import functions
from .overlap import MODES

Array = NDArray[Any]
BOUNDARIES = {"fill": "constant", "wrap": "circular", "symm": "symmetric"}


def convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: complex = 0
) -> Array:
    """Convolution of two planes, the second read backwards.

    in1, in2: arrays with two axes.   mode: "full", "same" or "valid", as for `convolve`.
    boundary: what stands beyond in1: "fill" (`fillvalue`), "wrap" (in1 again) or "symm" (mirrored behind the edge).
    Returns z: dtypes as for `convolve`.
    Raises GeometryError for shapes and words that do not fit, UnsupportedError for other dtypes.
    Source: `scipy.signal.convolve2d`, whose results it has.

    >>> convolve2d([[1, 2, 3]], [[1, 10]], boundary="wrap")
    array([[31, 12, 23, 31]])
    """
    a, v = _plane("in1", in1), _plane("in2", in2)
    if mode == "valid":
        return functions.convolve(a, v, mode)
    return _slide(a, v, mode, boundary, fillvalue, flip=True)


def correlate2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: complex = 0
) -> Array:
    """Cross-correlation of two planes: the second is conjugated and not read backwards.

    The arguments are those of `convolve2d`. For mode="same" and K entries of in2, entry (K - 1) // 2 lies on the
    position that is computed; `correlate` puts entry K // 2 there. Both are as in SciPy.
    Source: `scipy.signal.correlate2d`, whose results it has.

    >>> correlate2d([[1, 2, 3]], [[1, 10]], mode="same")
    array([[21, 32,  3]])
    """
    a, v = _plane("in1", in1), _plane("in2", in2)
    if mode == "valid":
        return functions.correlate(a, v, mode)
    return _slide(a, v.conj(), mode, boundary, fillvalue, flip=False)


def convolve2d_in1_adjoint(
    g: ArrayLike, in2: ArrayLike, in1_shape: tuple[int, int], mode: str = "full", boundary: str = "fill"
) -> Array:
    """Adjoint of `convolve2d` in its first argument; what lies beyond the boundary folds back.

    g: an array of the shape of z.   in1_shape: the shape of in1.   The others: as in the call of `convolve2d`.
    Returns an array of shape `in1_shape`, conjugated as in `convolve_in1_adjoint`.
    Raises what `convolve2d` raises.

    >>> convolve2d_in1_adjoint([[1, 0, 0, 0]], [[1, 10]], in1_shape=(1, 3), boundary="wrap")
    array([[ 1,  0, 10]])
    """
    return _in1_adjoint(g, _plane("in2", in2), in1_shape, mode, boundary, flip=True)


def convolve2d_in2_adjoint(
    g: ArrayLike,
    in1: ArrayLike,
    in2_shape: tuple[int, int],
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: complex = 0,
) -> Array:
    """Adjoint of `convolve2d` in its second argument.

    g: an array of the shape of z.   in2_shape: the shape of in2.   The others: as in the call of `convolve2d`.
    Returns an array of shape `in2_shape`, conjugated as in `convolve_in1_adjoint`.
    Raises what `convolve2d` raises.

    >>> convolve2d_in2_adjoint([[1, 0, 0, 0]], [[1, 2, 3]], in2_shape=(1, 2), boundary="wrap")
    array([[1, 3]])
    """
    return _in2_adjoint(g, _plane("in1", in1), in2_shape, mode, boundary, fillvalue, flip=True)


def correlate2d_in1_adjoint(
    g: ArrayLike, in2: ArrayLike, in1_shape: tuple[int, int], mode: str = "full", boundary: str = "fill"
) -> Array:
    """Adjoint of `correlate2d` in its first argument; arguments as for `convolve2d_in1_adjoint`.

    >>> correlate2d_in1_adjoint([[1, 0, 0, 0]], [[1, 10]], in1_shape=(1, 3), boundary="wrap")
    array([[10,  0,  1]])
    """
    return _in1_adjoint(g, _plane("in2", in2).conj(), in1_shape, mode, boundary, flip=False)


def correlate2d_in2_adjoint(
    g: ArrayLike,
    in1: ArrayLike,
    in2_shape: tuple[int, int],
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: complex = 0,
) -> Array:
    """The gradient of Re(vdot(g, correlate2d(in1, in2))) by in2; arguments as for `convolve2d_in2_adjoint`.

    >>> correlate2d_in2_adjoint([[1, 0, 0, 0]], [[1, 2, 3]], in2_shape=(1, 2), boundary="wrap")
    array([[3, 1]])
    """
    return _in2_adjoint(g, _plane("in1", in1), in2_shape, mode, boundary, fillvalue, flip=False).conj()


def _slide(a: Array, v: Array, mode: str, boundary: str, fillvalue: complex, flip: bool) -> Array:
    z = api.conv(a[None, None], v[None, None], flip=flip, **_options(v.shape, mode, boundary, fillvalue, flip))
    return z.reshape(z.shape[2:])


def _in1_adjoint(g: ArrayLike, v: Array, in1_shape: Any, mode: str, boundary: str, flip: bool) -> Array:
    given, size = _plane("g", g), _two("in1_shape", in1_shape)
    if mode == "valid":
        return functions.convolve_in1_adjoint(given, v if flip else np.flip(v), size, mode)
    options = _options(v.shape, mode, boundary, 0, flip)
    gx = api.conv_input_grad(given[None, None], v[None, None], input_size=size, flip=flip, **options)
    return gx.reshape(size)


def _in2_adjoint(
    g: ArrayLike, a: Array, in2_shape: Any, mode: str, boundary: str, fillvalue: complex, flip: bool
) -> Array:
    given, size = _plane("g", g), _two("in2_shape", in2_shape)
    if mode == "valid":
        gv = functions.convolve_in2_adjoint(given, a, size, mode)
        return gv if flip else np.flip(gv)
    options = _options(size, mode, boundary, fillvalue, flip)
    gw = api.conv_weight_grad(given[None, None], a[None, None], kernel_size=size, flip=flip, **options)
    return gw.reshape(size)


def _options(kernel: tuple[int, ...], mode: str, boundary: str, fillvalue: complex, backwards: bool) -> dict[str, Any]:
    """What `conv` is to do at the borders of in1."""
    if mode not in MODES:
        raise GeometryError("mode", mode, "is no part of a convolution", ", ".join(MODES))
    if boundary not in BOUNDARIES:
        raise GeometryError("boundary", boundary, "is no way to continue a plane", ", ".join(BOUNDARIES))
    if mode == "full":
        padding = [(k - 1, k - 1) for k in kernel]
    else:
        before = [k // 2 if backwards else (k - 1) // 2 for k in kernel]
        padding = [(b, k - 1 - b) for b, k in zip(before, kernel, strict=True)]
    border = {"padding_mode": BOUNDARIES[boundary], "padding_value": fillvalue if boundary == "fill" else 0}
    return {"padding": padding, **border}


def _plane(argument: str, value: ArrayLike) -> Array:
    array = as_array(argument, value)
    if array.ndim != 2:
        raise GeometryError(f"{argument}.shape", array.shape, f"has {array.ndim} axes", "an array with two axes")
    return array


def _two(argument: str, shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape)
    if len(sizes) != 2 or 0 in sizes:
        raise GeometryError(argument, sizes, "is the shape of no plane", "two sizes of at least 1")
    return sizes
