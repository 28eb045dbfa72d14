"""What the arrays of a call may be: dtypes, and where a result may be written.

The gate for arrays, as `arguments` is the gate for numbers. Nothing is copied here: strided, read-only,
unaligned and foreign-endian arrays pass, and the algorithms convert them block by block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import bfloat16, integers
from .complexes import REAL
from .errors import GeometryError, UnsupportedError
from .foreign import to_numpy

Array = NDArray[Any]
FLOATS = ("float32", "float64")
DTYPES = (*FLOATS, *REAL, bfloat16.DTYPE, *integers.DTYPES)
_PLAIN = (np.ndarray, list, tuple, float, int)
_NATIVE = {np.dtype(name) for name in FLOATS}
_ACCEPTED = "float32, float64, bfloat16, complex64, complex128 or integers of 8 to 64 bits"


def as_array(argument: str, value: ArrayLike) -> Array:
    """`value` as an ndarray of a dtype that has kernels."""
    try:
        array = np.asarray(value) if type(value) in _PLAIN else to_numpy(argument, value)
    except ValueError as error:
        raise GeometryError(argument, type(value).__name__, f"is no array ({error})", "an array of one shape") from None
    if array.dtype not in _NATIVE and array.dtype.name not in DTYPES:
        raise UnsupportedError(
            f"{argument}.dtype",
            array.dtype.name,
            "no kernel computes it",
            f"{_ACCEPTED}, as from {argument}.astype('float64')",
        )
    return array


def dtype_name(dtype: DTypeLike) -> str:
    """The name of a dtype that has kernels."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise UnsupportedError("dtype", name, "no kernel computes it", _ACCEPTED)
    return name


def common_dtype(*arrays: Array) -> np.dtype[Any]:
    """The dtype in which arrays meet, as NumPy promotes, native byte order; integers meet in 64 bits."""
    first = arrays[0].dtype
    if first in _NATIVE and all(array.dtype == first for array in arrays):
        return first
    if all(array.dtype.kind in "iu" for array in arrays):
        return integers.result_dtype(*(array.dtype for array in arrays))
    try:
        return np.result_type(*(array.dtype.newbyteorder("=") for array in arrays))
    except np.exceptions.DTypePromotionError:
        names = " and ".join(array.dtype.name for array in arrays)
        raise UnsupportedError("dtypes", names, "have no common dtype", "arrays of one dtype; .astype(...)") from None


def check_out(out: object, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: dict[str, Array]) -> Array:
    """`out`, if a result of this shape and dtype may be written there."""
    if not isinstance(out, np.ndarray):
        raise UnsupportedError("out", type(out).__name__, "is no array to write into", "a NumPy array, or None")
    if out.shape != shape:
        raise GeometryError("out.shape", out.shape, f"the result has shape {shape}", f"an array of shape {shape}")
    if out.dtype != dtype:
        raise UnsupportedError(
            "out.dtype",
            out.dtype.str,
            f"the result is {dtype.name}",
            f"an array of dtype {dtype.name}, native byte order",
        )
    if not out.flags.writeable:
        raise UnsupportedError("out", "a read-only array", "cannot be written", "a writeable array")
    for name, array in inputs.items():
        if _overlap(out, array):
            raise UnsupportedError(
                "out",
                f"an array of shape {out.shape}",
                f"shares memory with {name}, which is still read while out is written",
                "an array of its own memory",
            )
    return out


def _overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share an element; undecidable layouts count as sharing."""
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def check_bias(bias: ArrayLike, y: Array) -> Array:
    """`bias` as an array of one entry per channel of `y`, to which it can be added."""
    array, channels, dtype = as_array("bias", bias), y.shape[1], y.dtype
    if array.shape != (channels,):
        raise GeometryError(
            "bias.shape", array.shape, f"the result has {channels} channels", f"a bias of shape {(channels,)}"
        )
    if not np.can_cast(array.dtype, dtype, "same_kind") or _digits(array.dtype) > _digits(dtype):
        raise UnsupportedError(
            "bias.dtype", array.dtype.name, f"the result is {dtype.name}", f"{dtype.name}; bias.astype(...)"
        )
    if dtype.kind in "iu":
        check_range("bias", array, 1, dtype, beside=integers.magnitude(y))
    return array


def check_fill(fill: complex, x: Array) -> None:
    """Refuse a constant for the padding that is no number of the kind of `x`."""
    if isinstance(fill, complex) and x.dtype.kind != "c":
        raise UnsupportedError("padding_value", fill, f"is complex, but x is {x.dtype.name}", "a real number")
    if x.dtype.kind in "iu" and fill.real != int(fill.real):
        raise UnsupportedError("padding_value", fill, f"is no whole number, but x is {x.dtype.name}", "a whole number")


def check_range(name: str, array: Array, terms: int, dtype: np.dtype[Any], beside: int = 0) -> None:
    """Refuse integers of which a sum of `terms`, and a number `beside` it, could leave the range of `dtype`."""
    largest, most = integers.magnitude(array), int(np.iinfo(dtype).max)
    if terms * largest + beside > most:
        raise UnsupportedError(
            name,
            f"up to {largest}",
            f"sums can reach {terms * largest + beside}, and {dtype.name} holds {most}",
            f"smaller numbers, or floats, as from {name}.astype('float64')",
        )


def _digits(dtype: np.dtype[Any]) -> int:
    """Bytes of a real number."""
    return dtype.itemsize // (2 if dtype.kind == "c" else 1)


def check_gy(gy: Array) -> Array:
    """`gy`, if it has a batch axis, a channel axis and spatial axes."""
    if gy.ndim < 3:
        raise GeometryError(
            "gy.shape",
            gy.shape,
            f"has {gy.ndim} axes, but (N, OC, *O) needs at least 3",
            "the gradient of `conv`'s output",
        )
    return gy
