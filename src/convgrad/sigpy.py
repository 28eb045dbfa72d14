"""SigPy's convolutions: its three functions and four linear operators, computed by convgrad.

    from convgrad.sigpy import convolve, ConvolveFilter      # instead of sigpy's

Names, arguments, shapes and semantics are SigPy's; what differs on purpose stands in docs/sigpy.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import api
from .arguments import per_axis
from .arrays import as_array
from .errors import GeometryError, MissingExtraError

try:
    import sigpy.linop as linop
except ImportError:
    raise MissingExtraError("sigpy", "sigpy", "convgrad.sigpy") from None

Array = NDArray[Any]
Shape = tuple[int, ...]

__all__ = [
    "ConvolveData",
    "ConvolveDataAdjoint",
    "ConvolveFilter",
    "ConvolveFilterAdjoint",
    "convolve",
    "convolve_data_adjoint",
    "convolve_filter_adjoint",
]


def convolve(
    data: ArrayLike,
    filt: ArrayLike,
    mode: str = "full",
    strides: Sequence[int] | None = None,
    multi_channel: bool = False,
) -> Array:
    """Convolution as in signal processing: the filter is read backwards.

    data: (..., *M), or (..., CI, *M) if multi_channel.   filt: (*N), or (CO, CI, *N) if multi_channel.
    mode: "full" or "valid".   strides: of each spatial axis; 1 where left out.
    Returns (..., *P), or (..., CO, *P), in the dtype in which both arrays meet.
    Raises GeometryError for shapes that do not fit, UnsupportedError for dtypes without kernels.
    Source: `sigpy.convolve`.

    >>> import numpy as np
    >>> convolve(np.array([1., 2, 3, 4]), np.array([1., 10]), strides=[2])
    array([ 1., 23., 40.])
    """
    data, filt = as_array("data", data), as_array("filt", filt)
    return _Layer.of(data.shape, filt.shape, mode, strides, multi_channel).convolve(data, filt)


def convolve_data_adjoint(
    output: ArrayLike,
    filt: ArrayLike,
    data_shape: Sequence[int],
    mode: str = "full",
    strides: Sequence[int] | None = None,
    multi_channel: bool = False,
) -> Array:
    """Adjoint of `convolve` in the data; it conjugates a complex filter.

    output: an array of the shape that `convolve` returns.   data_shape: the shape of data.
    The others: as in the call of `convolve`.
    Source: `sigpy.convolve_data_adjoint`.

    >>> import numpy as np
    >>> convolve_data_adjoint(np.array([0., 1, 0]), np.array([1., 10]), [4], strides=[2])
    array([ 0., 10.,  1.,  0.])
    """
    output, filt = as_array("output", output), as_array("filt", filt)
    return _Layer.of(tuple(data_shape), filt.shape, mode, strides, multi_channel).data_adjoint(output, filt)


def convolve_filter_adjoint(
    output: ArrayLike,
    data: ArrayLike,
    filt_shape: Sequence[int],
    mode: str = "full",
    strides: Sequence[int] | None = None,
    multi_channel: bool = False,
) -> Array:
    """Adjoint of `convolve` in the filter; it conjugates complex data.

    output: an array of the shape that `convolve` returns.   filt_shape: the shape of filt.
    The others: as in the call of `convolve`.
    Source: `sigpy.convolve_filter_adjoint`.

    >>> import numpy as np
    >>> convolve_filter_adjoint(np.array([0., 1, 0]), np.array([1., 2, 3, 4]), [2], strides=[2])
    array([3., 2.])
    """
    output, data = as_array("output", output), as_array("data", data)
    return _Layer.of(data.shape, tuple(filt_shape), mode, strides, multi_channel).filter_adjoint(output, data)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A call of SigPy's as a convolution layer. Where the filter is the longer, it is the layer's input."""

    data_shape: Shape
    filt_shape: Shape
    output_shape: Shape
    data: Shape  # (images, CI, *M)
    filt: Shape  # (CO, CI, *N)
    swapped: bool
    options: dict[str, Any]

    @staticmethod
    def of(data: Shape, filt: Shape, mode: str, strides: Sequence[int] | None, multi_channel: bool) -> _Layer:
        rank = len(filt) - (2 if multi_channel else 0)
        least = rank + (1 if multi_channel else 0)
        if rank < 1 or len(data) < least:
            rule = f"with data of shape {data}, multi_channel={multi_channel}, is no layer"
            raise GeometryError("filt.shape", filt, rule, "(*N), or (CO, CI, *N) with multi_channel=True")
        m, n = data[len(data) - rank :], filt[len(filt) - rank :]
        channels = data[-rank - 1] if multi_channel else 1
        outputs, inputs = filt[:2] if multi_channel else (1, 1)
        if inputs != channels:
            rule = f"has {inputs} input channels, and data of shape {data} has {channels}"
            raise GeometryError("filt.shape", filt, rule, "as many channels")
        steps = per_axis("strides", 1 if strides is None else tuple(strides), rank)
        if mode not in ("full", "valid"):
            raise GeometryError("mode", mode, "is no part of a convolution here", "full or valid")
        swapped = mode == "valid" and any(k > size for k, size in zip(n, m, strict=True))
        if swapped and any(k < size for k, size in zip(n, m, strict=True)):
            rule = f"needs one of {m} and {n} to be at least as long on every axis"
            raise GeometryError("mode", mode, rule, "such arrays, or mode='full'")
        whole = [size + k - 1 if mode == "full" else abs(size - k) + 1 for size, k in zip(m, n, strict=True)]
        p = tuple(-(-length // step) for length, step in zip(whole, steps, strict=True))
        images = data[: len(data) - least]
        return _Layer(
            data_shape=data,
            filt_shape=filt,
            output_shape=(*images, *((outputs,) if multi_channel else ()), *p),
            data=(math.prod(images), channels, *m),
            filt=(outputs, channels, *n),
            swapped=swapped,
            options={"stride": steps, "padding": "full" if mode == "full" else 0, "flip": True},
        )

    def convolve(self, data: Array, filt: Array) -> Array:
        x, w = self._turned(data.reshape(self.data), filt.reshape(self.filt))
        y = api.conv(x, w, **self.options)
        return (y.swapaxes(0, 1) if self.swapped else y).reshape(self.output_shape)

    def data_adjoint(self, output: Array, filt: Array) -> Array:
        gy, w = self._given(output), filt.reshape(self.filt)
        if self.swapped:
            found = api.conv_weight_grad(gy, w, kernel_size=self.data[2:], **self.options)
        else:
            found = api.conv_input_grad(gy, w, input_size=self.data[2:], **self.options)
        return found.reshape(self.data_shape)

    def filter_adjoint(self, output: Array, data: Array) -> Array:
        gy, x = self._given(output), data.reshape(self.data)
        if self.swapped:
            found = api.conv_input_grad(gy, x, input_size=self.filt[2:], **self.options)
        else:
            found = api.conv_weight_grad(gy, x, kernel_size=self.filt[2:], **self.options)
        return found.reshape(self.filt_shape)

    def _turned(self, data: Array, filt: Array) -> tuple[Array, Array]:
        return (filt, data) if self.swapped else (data, filt)

    def _given(self, output: Array) -> Array:
        if output.shape != self.output_shape:
            rule = f"the convolution has shape {self.output_shape}"
            raise GeometryError("output.shape", output.shape, rule, "an array of that shape")
        rank = len(self.data) - 2
        gy = output.reshape(self.data[0], self.filt[0], *self.output_shape[len(self.output_shape) - rank :])
        return gy.swapaxes(0, 1) if self.swapped else gy


def _given(operator: Any) -> dict[str, Any]:
    """The options of an operator of SigPy's."""
    return {"mode": operator.mode, "strides": operator.strides, "multi_channel": operator.multi_channel}


class ConvolveData(linop.ConvolveData):
    """`sigpy.linop.ConvolveData`, computed by convgrad.

    >>> import numpy as np
    >>> A = ConvolveData([3], np.array([1., 10]))
    >>> A(np.array([1., 2, 3])), A.H(np.array([0., 1, 0, 0]))
    (array([ 1., 12., 23., 30.]), array([10.,  1.,  0.]))
    """

    def _apply(self, input: Array) -> Array:
        return convolve(input, self.filt, **_given(self))

    def _adjoint_linop(self) -> linop.Linop:
        return ConvolveDataAdjoint(self.ishape, self.filt, **_given(self))


class ConvolveDataAdjoint(linop.ConvolveDataAdjoint):
    """`sigpy.linop.ConvolveDataAdjoint`, computed by convgrad."""

    def _apply(self, input: Array) -> Array:
        return convolve_data_adjoint(input, self.filt, self.oshape, **_given(self))

    def _adjoint_linop(self) -> linop.Linop:
        return ConvolveData(self.oshape, self.filt, **_given(self))


class ConvolveFilter(linop.ConvolveFilter):
    """`sigpy.linop.ConvolveFilter`, computed by convgrad."""

    def _apply(self, input: Array) -> Array:
        return convolve(self.data, input, **_given(self))

    def _adjoint_linop(self) -> linop.Linop:
        return ConvolveFilterAdjoint(self.ishape, self.data, **_given(self))


class ConvolveFilterAdjoint(linop.ConvolveFilterAdjoint):
    """`sigpy.linop.ConvolveFilterAdjoint`, computed by convgrad."""

    def _apply(self, input: Array) -> Array:
        return convolve_filter_adjoint(input, self.data, self.oshape, **_given(self))

    def _adjoint_linop(self) -> linop.Linop:
        return ConvolveFilter(self.oshape, self.data, **_given(self))
