"""`convolve` and its family in any number of dimensions, as SciPy centres and broadcasts them, and their adjoints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array, common_dtype
from ..errors import GeometryError, UnsupportedError
from .overlap import overlap, sliding_axes

Array = NDArray[Any]
# SciPy's `method` as an algorithm here; the plan chooses between the two as well, from what each would cost
METHODS = {"auto": None, "direct": "shifted", "fft": "fourier"}


def convolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", *, axes: Any = None) -> Array:
    """Convolution of two arrays, the second read backwards.

    in1, in2: arrays with as many axes.
    mode: the part of the full result: "full", "same" (the shape of in1, from the middle: entry (K - 1) // 2 of K comes
    first) or "valid" (where one lies inside the other).
    method: "auto", "direct" or "fft"; "auto" is the plan's choice.
    axes: where the second slides along the first; all where left out. The other axes broadcast.
    Returns z: float64 or float32, complex128 or complex64, whichever both arrays convert to; integers exactly, as
    int64 or uint64.
    Raises GeometryError for shapes or modes that do not fit, UnsupportedError for other dtypes or sums that could
    leave int64.
    Source: `scipy.signal.convolve`, whose results it has.

    >>> convolve([1, 2, 3], [0, 1, 10])
    array([ 0,  1, 12, 23, 30])
    >>> convolve([1, 2, 3], [0, 1, 10], mode="same")
    array([ 1, 12, 23])
    """
    a, v = _pair(in1, in2)
    return _convolve(a, v, mode, sliding_axes(axes, a.ndim), _algorithm(method))


def correlate(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", *, axes: Any = None) -> Array:
    """Cross-correlation of two arrays: sums of in1[l] * conj(in2[l - k]).

    in1, in2, mode, method, axes: as for `convolve`, whose result with in2 reversed and conjugated this is.
    Returns z: as `convolve` does; lag 0 is entry K - 1 of the full result, for K entries of in2.
    Raises what `convolve` raises.
    Source: `scipy.signal.correlate`, whose results it has.

    >>> correlate([1, 2, 3], [0, 1, 10])
    array([10, 21, 32,  3,  0])
    """
    a, v = _pair(in1, in2)
    return convolve(a, _reversed_conjugate(v), mode, method, axes=axes)


def fftconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Any = None) -> Array:
    """`convolve`, with SciPy's signature and result dtype of the function of this name: integers become float64.

    in1, in2, mode, axes: as for `convolve`. Whether transforms are used is the plan's choice.
    Returns z: float64 or float32, complex128 or complex64.
    Raises what `convolve` raises.
    Source: `scipy.signal.fftconvolve`, whose results it has, more accurately.

    >>> fftconvolve([[1, 2, 3], [4, 5, 6]], [[1, 10]], axes=1)
    array([[ 1., 12., 23., 30.],
           [ 4., 45., 56., 60.]])
    """
    a, v = (_floating(array) for array in _pair(in1, in2))
    if axes is None and mode == "valid":  # an axis of one entry broadcasts
        numbers = tuple(axis for axis, pair in enumerate(zip(a.shape, v.shape, strict=True)) if 1 not in pair)
    else:
        numbers = sliding_axes(axes, a.ndim)
    return _convolve(a, v, mode, numbers, None)


def oaconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Any = None) -> Array:
    """`fftconvolve` again: convolution cuts long arrays into tiles wherever that is quicker.

    >>> oaconvolve([1, 2, 3, 4], [1, 10])
    array([ 1., 12., 23., 34., 40.])
    """
    return fftconvolve(in1, in2, mode, axes)


def convolve_in1_adjoint(
    g: ArrayLike, in2: ArrayLike, in1_shape: tuple[int, ...], mode: str = "full", *, axes: Any = None
) -> Array:
    """Adjoint of `convolve` in its first argument: the gradient by in1 of a loss whose gradient by z is `g`.

    g: an array of the shape of z.   in2: the array that was given to `convolve`.   in1_shape: the shape of in1.
    mode, axes: as in the call of `convolve`.
    Returns an array of shape `in1_shape`; for complex in2 it conjugates, so that vdot(g, convolve(in1, in2)) ==
    vdot(convolve_in1_adjoint(g, in2, ...), in1); where in1 is real, its real part is the gradient.
    Raises what `convolve` raises.

    >>> convolve_in1_adjoint([0, 1, 0, 0], [1, 10], in1_shape=(3,))
    array([10,  1,  0])
    """
    return _adjoint(g, in2, in1_shape, mode, axes, wanted=1)


def convolve_in2_adjoint(
    g: ArrayLike, in1: ArrayLike, in2_shape: tuple[int, ...], mode: str = "full", *, axes: Any = None
) -> Array:
    """Adjoint of `convolve` in its second argument: what the fit of a kernel needs.

    g: an array of the shape of z.   in1: the array that was given to `convolve`.   in2_shape: the shape of in2.
    mode, axes: as in the call of `convolve`.
    Returns an array of shape `in2_shape`, conjugated as in `convolve_in1_adjoint`.
    Raises what `convolve` raises.

    >>> convolve_in2_adjoint([0, 1, 0, 0], [1, 2, 3], in2_shape=(2,))
    array([2, 1])
    """
    return _adjoint(g, in1, in2_shape, mode, axes, wanted=2)


def correlate_in1_adjoint(
    g: ArrayLike, in2: ArrayLike, in1_shape: tuple[int, ...], mode: str = "full", *, axes: Any = None
) -> Array:
    """Adjoint of `correlate` in its first argument; arguments as for `convolve_in1_adjoint`.

    >>> correlate_in1_adjoint([0, 1, 0, 0], [1, 10], in1_shape=(3,))
    array([ 1, 10,  0])
    """
    return _adjoint(g, _reversed_conjugate(as_array("in2", in2)), in1_shape, mode, axes, wanted=1)


def correlate_in2_adjoint(
    g: ArrayLike, in1: ArrayLike, in2_shape: tuple[int, ...], mode: str = "full", *, axes: Any = None
) -> Array:
    """The gradient of Re(vdot(g, correlate(in1, in2))) by in2, which `correlate` conjugates.

    Arguments as for `convolve_in2_adjoint`.

    >>> correlate_in2_adjoint([0, 1, 0, 0], [1, 2, 3], in2_shape=(2,))
    array([1, 2])
    """
    return _reversed_conjugate(_adjoint(g, in1, in2_shape, mode, axes, wanted=2))


def _convolve(a: Array, v: Array, mode: str, axes: tuple[int, ...], algorithm: str | None) -> Array:
    if a.ndim == 0:
        return np.asarray(a * v)
    if 0 in (a.size, v.size):
        return np.zeros(0, common_dtype(a, v))
    return overlap(a.shape, v.shape, mode, axes).convolve(a, v, algorithm=algorithm)


def _adjoint(g: ArrayLike, other: ArrayLike, shape: Any, mode: str, axes: Any, wanted: int) -> Array:
    given, known = as_array("g", g), as_array("in2" if wanted == 1 else "in1", other)
    shape = tuple(shape)
    shape1, shape2 = (shape, known.shape) if wanted == 1 else (known.shape, shape)
    if len(shape) != known.ndim or 0 in (*shape, *known.shape):
        rule = f"cannot be convolved with an array of shape {known.shape}"
        raise GeometryError(f"in{wanted}_shape", shape, rule, f"{known.ndim} axes, none of them empty")
    found = overlap(shape1, shape2, mode, sliding_axes(axes, len(shape)))
    if given.shape != found.z_shape:
        raise GeometryError("g.shape", given.shape, f"the result has shape {found.z_shape}", "an array of that shape")
    return found.adjoint(given, known, wanted)


def _pair(in1: ArrayLike, in2: ArrayLike) -> tuple[Array, Array]:
    a, v = as_array("in1", in1), as_array("in2", in2)
    if a.ndim != v.ndim:
        rule = f"in1 has {a.ndim} axes, and in2 has {v.ndim}"
        raise GeometryError("in2.shape", v.shape, rule, "as many axes; in2[None] adds one")
    return a, v


def _algorithm(method: str) -> str | None:
    if method not in METHODS:
        raise UnsupportedError("method", method, "is no way to convolve here", ", ".join(METHODS))
    return METHODS[method]


def _floating(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def _reversed_conjugate(array: Array) -> Array:
    return np.flip(array).conj() if array.dtype.kind == "c" else np.flip(array)
