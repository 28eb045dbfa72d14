"""The functions that people call: Dask arrays in, a lazy Dask array out. They check like those of `convgrad`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import (
    Padding,
    PaddingMode,
    PerAxis,
    forward_geometry,
    input_grad_geometry,
    transpose_geometry,
    weight_grad_geometry,
)
from ..arrays import as_array, check_bias
from ..errors import GeometryError, UnsupportedError
from ..geometry import Geometry
from ..plan import Plan
from .cuts import Chunks, channel_chunks, input_chunks, output_chunks
from .graph import data_array, weight_grad_array
from .libraries import DaskArray, as_dask, normalized_chunks
from .numbers import computed


def conv(
    x: DaskArray,
    w: DaskArray,
    bias: Any = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    chunks: Any = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
) -> DaskArray:
    """`convgrad.conv` of chunked arrays, lazily, with the bits of the result in memory.

    x: (N, IC, *I) input, chunked along any axes.   w: (OC, IC/groups, *K) weight; a NumPy array goes to every worker.
    bias: (OC,) NumPy array, or None.
    chunks: of the result, as Dask spells them; left out, it is cut where x is (channels where w is).
    The other options: as in the call of `convgrad.conv`. An algorithm whose pieces differ in bits from the whole
    ("fourier") is taken only by name.
    Returns y: (N, OC, *O).   Raises as `convgrad.conv` does; UnsupportedError where chunks are of unknown size.

    >>> import dask.array as da
    >>> x = da.from_array(np.array([[[1., 2, 3, 4, 5]]]), chunks=(1, 1, 2)); w = np.array([[[1., 10, 100]]])
    >>> y = conv(x, w)
    >>> y.chunks[2], y.compute()
    ((2, 1), array([[[321., 432., 543.]]]))
    """
    x, w = _array("x", x), _weight(w, flip)
    g = forward_geometry(x.shape, w.shape, stride, padding, dilation, groups, padding_mode, padding_value)
    channels = w.chunks[0]
    if len(channels) == 1 and g.groups > 1:
        channels = channel_chunks(x.chunks[1], g.in_channels_per_group, g.out_channels_per_group, g.out_channels)
    spatial = (output_chunks(axis, cut) for axis, cut in zip(g.axes, x.chunks[2:], strict=True))
    default = (x.chunks[0], channels, *spatial)
    cut = _chunks(chunks, default, g.output_shape, x.dtype)

    def build(plan: Plan, x: DaskArray, w: DaskArray) -> DaskArray:
        return data_array(plan, x, w, cut)

    y = computed("forward", g, {"x": x, "w": w}, build, algorithm, complex_method, conjugate=False)
    return _add_bias(y, bias)


def conv_input_grad(
    gy: DaskArray,
    w: DaskArray,
    *,
    input_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    chunks: Any = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
) -> DaskArray:
    """`convgrad.conv_input_grad` of chunked arrays, lazily, with the bits of the result in memory.

    gy: (N, OC, *O), chunked along any axes.   w: as for `conv`.
    Returns gx: (N, IC, *input_size), cut where gy is unless `chunks` says otherwise; each chunk gathers what all
    outputs give to it, so that nothing is added across chunks.

    >>> import dask.array as da
    >>> gy = da.from_array(np.array([[[0., 1, 0]]]), chunks=(1, 1, 2)); w = np.array([[[1., 10, 100]]])
    >>> conv_input_grad(gy, w, input_size=5).compute()
    array([[[  0.,   1.,  10., 100.,   0.]]])
    """
    gy, w = _array("gy", gy), _weight(w, flip)
    g = input_grad_geometry(
        gy.shape, w.shape, input_size, stride, padding, dilation, groups, padding_mode, padding_value
    )
    return _input_grad(g, {"gy": gy, "w": w}, chunks, algorithm, complex_method, conjugate=True)


def conv_transpose(
    x: DaskArray,
    w: DaskArray,
    bias: Any = None,
    *,
    output_size: PerAxis | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    chunks: Any = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
) -> DaskArray:
    """`convgrad.conv_transpose` of chunked arrays, lazily, with the bits of the result in memory.

    x: (N, OC, *O), chunked along any axes.   w, bias, chunks: as for `conv`; the bias has IC entries.
    Returns y: (N, IC, *output_size).

    >>> import dask.array as da
    >>> x = da.from_array(np.array([[[1., 2]]]), chunks=(1, 1, 1)); w = np.array([[[1., 10, 100]]])
    >>> conv_transpose(x, w, stride=3).compute()
    array([[[  1.,  10., 100.,   2.,  20., 200.]]])
    """
    x, w = _array("x", x), _weight(w, flip)
    g = transpose_geometry(
        x.shape, w.shape, output_size, stride, padding, dilation, groups, padding_mode, padding_value
    )
    y = _input_grad(g, {"x": x, "w": w}, chunks, algorithm, complex_method, conjugate=False)
    return _add_bias(y, bias)


def conv_weight_grad(
    gy: DaskArray,
    x: DaskArray,
    *,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    algorithm: str | None = None,
    complex_method: str = "3m",
) -> DaskArray:
    """`convgrad.conv_weight_grad` of chunked arrays, lazily: a sum over chunks of gy in a tree of fixed order.

    gy: (N, OC, *O), x: (N, IC, *I), each chunked along any axes.
    Returns gw: (OC, IC/groups, *K), cut along OC where gy is, along IC where x is if there is one group. Its bits
    follow the chunks of gy, and nothing else: no scheduler, no number of workers. Its error is at most that of one
    piece and two more roundings.

    >>> import dask.array as da
    >>> x = da.from_array(np.array([[[1., 2, 3, 4, 5]]]), chunks=(1, 1, 2))
    >>> gy = da.from_array(np.array([[[1., 10, 100]]]), chunks=(1, 1, 2))
    >>> conv_weight_grad(gy, x, kernel_size=3).compute()
    array([[[321., 432., 543.]]])
    """
    gy, x = _array("gy", gy), _array("x", x)
    g = weight_grad_geometry(
        gy.shape, x.shape, kernel_size, stride, padding, dilation, groups, padding_mode, padding_value
    )
    columns = x.chunks[1] if g.groups == 1 else (g.in_channels_per_group,)
    cut = (gy.chunks[1], columns, *((size,) for size in g.kernel_size))

    def build(plan: Plan, gy: DaskArray, x: DaskArray) -> DaskArray:
        return weight_grad_array(plan, gy, x, cut)

    gw = computed("weight_grad", g, {"gy": gy, "x": x}, build, algorithm, complex_method, conjugate=True)
    return _flipped(gw) if flip else gw


def _input_grad(
    g: Geometry,
    arrays: dict[str, DaskArray],
    chunks: Any,
    algorithm: str | None,
    complex_method: str,
    conjugate: bool,
) -> DaskArray:
    gy, w = arrays.values()
    channels = w.chunks[1] if g.groups == 1 else (g.in_channels,)
    if g.groups > 1:
        channels = channel_chunks(gy.chunks[1], g.out_channels_per_group, g.in_channels_per_group, g.in_channels)
    spatial = (input_chunks(axis, cut) for axis, cut in zip(g.axes, gy.chunks[2:], strict=True))
    cut = _chunks(chunks, (gy.chunks[0], channels, *spatial), g.input_shape, gy.dtype)

    def build(plan: Plan, gy: DaskArray, w: DaskArray) -> DaskArray:
        return data_array(plan, gy, w, cut)

    return computed("input_grad", g, arrays, build, algorithm, complex_method, conjugate)


def _array(argument: str, array: Any) -> DaskArray:
    """`array` as a Dask array of known chunks and a dtype that has kernels."""
    found = as_dask(array)
    as_array(argument, np.empty(0, found.dtype))
    if any(length != length for lengths in found.chunks for length in lengths):  # NaN: unknown
        raise UnsupportedError(
            f"{argument}.chunks", found.chunks, "are of unknown size", f"{argument}.compute_chunk_sizes()"
        )
    return found


def _weight(w: Any, flip: bool) -> DaskArray:
    return _array("w", _flipped(w) if flip and w.ndim > 2 else w)


def _flipped(w: Any) -> Any:
    """A weight, NumPy or Dask, with its taps in the other order."""
    return w[(..., *(slice(None, None, -1),) * (w.ndim - 2))]


def _chunks(asked: Any, default: tuple[Chunks, ...], shape: tuple[int, ...], dtype: Any) -> tuple[Chunks, ...]:
    """The chunks of a result of this shape."""
    if asked is None:
        return default
    try:
        return normalized_chunks(asked, shape, dtype)
    except (ValueError, TypeError) as error:
        rule = f"do not cut a result of shape {shape} ({error})"
        raise GeometryError("chunks", asked, rule, "chunks as Dask spells them, such as 512 or 'auto'") from None


def _add_bias(y: DaskArray, bias: Any) -> DaskArray:
    if bias is None:
        return y
    array = check_bias(bias, np.empty((0, *y.shape[1:]), y.dtype))
    return y + array.astype(y.dtype).reshape(-1, *(1,) * (y.ndim - 2))
