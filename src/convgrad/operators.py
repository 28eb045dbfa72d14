"""Convolutions as SciPy LinearOperators: linear in the input, and linear in the weight.

What solves, inverts or estimates with operators (`scipy.sparse.linalg`, PyLops) takes them as they are. Vectors are
flattened arrays. `WeightOperator.gram` is the small matrix that fitting a kernel needs instead of the large operator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import pieces
from .api import conv, conv_input_grad, conv_weight_grad
from .arguments import PerAxis, forward_geometry, per_axis
from .arrays import FLOATS, as_array
from .assemble import fetch
from .complexes import REAL
from .errors import MissingExtraError, UnsupportedError
from .geometry import Geometry, whole
from .gram import cross_gram

try:
    from scipy.linalg import solve
    from scipy.sparse.linalg import LinearOperator
except ImportError:
    raise MissingExtraError("scipy", "scipy", "convgrad.operators") from None

Array = NDArray[Any]

__all__ = ["ConvOperator", "WeightOperator"]

MOST_GRAM_BYTES = 1 << 31


class _Operator(LinearOperator):  # type: ignore[misc]
    """What both operators share: arrays for vectors, several vectors at once, and the test of the adjoint."""

    _from: tuple[int, ...]
    _to: tuple[int, ...]

    def dottest(self, rng: np.random.Generator | int | None = None) -> float:
        """How far <A u, v> and <u, A* v> are apart for random u and v, relative to |A u| |v|.

        Whole numbers of few digits are drawn, so anything but 0.0 is a mistake in an adjoint, unless the plan takes
        an algorithm that rounds them (`fourier`).
        """
        rng = np.random.default_rng(rng)
        u, v = _whole_numbers(rng, self.shape[1], self.dtype), _whole_numbers(rng, self.shape[0], self.dtype)
        image = self.matvec(u)
        scale = float(np.linalg.norm(image) * np.linalg.norm(v))
        return float(abs(np.vdot(image, v) - np.vdot(u, self.rmatvec(v)))) / (scale or 1.0)


class ConvOperator(_Operator):
    """`conv` with a fixed weight, as a linear operator on inputs.

    w: (OC, IC/groups, *K) weight.   input_size: the spatial shape I of the inputs.   batch: N, images of a vector.
    options: those of `conv`; a constant in the padding is refused, because it is not linear.
    A vector is an input (N, IC, *I) as one axis; the result is an output (N, OC, *O) as one. `matmat` takes columns as
    further images, in one convolution. Attributes: input_shape, output_shape, and those of a LinearOperator.
    Raises GeometryError where the shapes describe no convolution.
    Source: `definition.forward` and `definition.input_grad`.

    >>> A = ConvOperator(np.array([[[1., 10, 100]]]), input_size=5)
    >>> A @ np.array([1., 2, 3, 4, 5])
    array([321., 432., 543.])
    >>> A.H @ np.array([0., 1, 0])
    array([  0.,   1.,  10., 100.,   0.])
    """

    def __init__(self, w: ArrayLike, input_size: PerAxis, *, batch: int = 1, **options: Any) -> None:
        self.w = _numbers("w", w)
        sizes = per_axis("input_size", input_size, self.w.ndim - 2)
        groups = whole("groups", options.get("groups", 1), least=1)
        shape = (whole("batch", batch, least=1), self.w.shape[1] * groups, *sizes)
        geometry = _geometry(shape, self.w.shape, options)
        self._options, self.input_shape, self.output_shape = options, geometry.input_shape, geometry.output_shape
        super().__init__(self.w.dtype, (math.prod(self.output_shape), math.prod(self.input_shape)))

    def _matvec(self, x: Array) -> Array:
        return self._matmat(x.reshape(-1, 1)).reshape(-1)

    def _rmatvec(self, y: Array) -> Array:
        return self._rmatmat(y.reshape(-1, 1)).reshape(-1)

    def _matmat(self, x: Array) -> Array:
        y = conv(_images(x, self.input_shape), self.w, **self._options)
        return y.reshape(x.shape[1], self.shape[0]).T

    def _rmatmat(self, y: Array) -> Array:
        gy = _images(y, self.output_shape)
        gx = conv_input_grad(gy, self.w, input_size=self.input_shape[2:], **self._options)
        return gx.reshape(y.shape[1], self.shape[1]).T

    def norm_bound(self) -> float:
        """An upper bound of the operator's norm, its largest singular value: steps below 2/bound**2 converge.

        Schur's: the geometric mean of the largest sums of |w| that an output and an input meet, borders included.
        """
        size, absolute = self.input_shape[2:], np.abs(self.w)
        ones_in, ones_out = (
            np.ones((1, *shape[1:]), absolute.dtype) for shape in (self.input_shape, self.output_shape)
        )
        rows = conv(ones_in, absolute, algorithm="im2col", **self._options)
        columns = conv_input_grad(ones_out, absolute, input_size=size, algorithm="im2col", **self._options)
        return math.sqrt(float(rows.max(initial=0)) * float(columns.max(initial=0)))


class WeightOperator(_Operator):
    """`conv` of a fixed input, as a linear operator on weights: what is fitted when a PSF, a wavelet or a filter is.

    x: (N, IC, *I) input.   kernel_size: the spatial shape K of the weights.   out_channels: OC.
    options: those of `conv`; a constant in the padding is refused, because it is not linear.
    A vector is a weight (OC, IC/groups, *K) as one axis; the result is an output (N, OC, *O) as one.
    Attributes: weight_shape, output_shape, and those of a LinearOperator.
    Raises GeometryError where the shapes describe no convolution.
    Source: `definition.forward` and `definition.weight_grad`.

    >>> A = WeightOperator(np.array([[[1., 2, 0, 3, 1]]]), kernel_size=3)
    >>> A @ np.array([1., 10, 100])
    array([ 21., 302., 130.])
    >>> A.gram()[0]
    array([[ 5.,  2.,  6.],
           [ 2., 13.,  3.],
           [ 6.,  3., 10.]])
    >>> A.fit(np.array([[[21., 302, 130]]])).round(9)
    array([[[  1.,  10., 100.]]])
    """

    def __init__(self, x: ArrayLike, kernel_size: PerAxis, *, out_channels: int = 1, **options: Any) -> None:
        self.x = _numbers("x", x)
        sizes = per_axis("kernel_size", kernel_size, self.x.ndim - 2)
        groups = whole("groups", options.get("groups", 1), least=1)
        shape = (whole("out_channels", out_channels, least=1), self.x.shape[1] // groups, *sizes)
        self._geometry = _geometry(self.x.shape, shape, options)
        self._options, self.weight_shape, self.output_shape = options, shape, self._geometry.output_shape
        super().__init__(self.x.dtype, (math.prod(self.output_shape), math.prod(shape)))

    def _matvec(self, w: Array) -> Array:
        return self._matmat(w.reshape(-1, 1)).reshape(-1)

    def _matmat(self, w: Array) -> Array:
        # columns as further output channels, in the order that keeps each in its group
        columns, groups = w.shape[1], self._geometry.groups
        oc, *rest = self.weight_shape
        stacked = w.T.reshape(columns, groups, oc // groups, *rest).swapaxes(0, 1).reshape(columns * oc, *rest)
        y = conv(self.x, stacked, **self._options)
        n, _, *size = y.shape
        return np.moveaxis(y.reshape(n, groups, columns, oc // groups, *size), 2, 0).reshape(columns, self.shape[0]).T

    def _rmatvec(self, y: Array) -> Array:
        gy = y.reshape(self.output_shape)
        return conv_weight_grad(gy, self.x, kernel_size=self.weight_shape[2:], **self._options).reshape(-1)

    def gram(self) -> Array:
        """The normal matrices, (groups, M, M) with M = IC/groups * prod(K): A* A is made of OC/groups copies of each.

        Computed once, in 64 bits, from correlations of the input with itself, borders exact; then an iteration that
        fits a weight costs a product with this matrix, whatever the size of the input.
        Raises UnsupportedError where the matrix would take more than 2 GiB.
        """
        g = self._geometry
        entries = g.in_channels_per_group * math.prod(g.kernel_size)
        bytes_ = g.groups * entries**2 * (16 if self.dtype.kind == "c" else 8)
        if bytes_ > MOST_GRAM_BYTES:
            rule = f"has {entries} numbers in each group, and its normal matrix would take {bytes_ >> 20} MiB"
            raise UnsupportedError("kernel_size", g.kernel_size, rule, "a smaller kernel, or the operator itself")
        wide = self.x.astype("complex128" if self.dtype.kind == "c" else "float64")
        seen = _all_that_is_read(wide, g).reshape(g.batch, g.groups, g.in_channels_per_group, *_read_size(g))
        found = [_gram_of(seen[:, group], g) for group in range(g.groups)]
        return np.stack(found).reshape(g.groups, entries, entries)

    def fit(self, y: ArrayLike, *, ridge: float = 0.0, gram: Array | None = None) -> Array:
        """The weight whose convolution with the input is nearest to `y`, in the sense of least squares.

        y: (N, OC, *O).   ridge: adds ridge * |w|^2 to what is minimised, for inputs that leave the weight open.
        gram: what `gram()` returned, if it is at hand.
        Returns w: (OC, IC/groups, *K).
        """
        target = as_array("y", y).reshape(self.output_shape)
        g, matrices = self._geometry, self.gram() if gram is None else gram
        right = conv_weight_grad(target, self.x, kernel_size=g.kernel_size, **self._options)
        right = right.reshape(g.groups, g.out_channels_per_group, -1).swapaxes(1, 2)
        ridges = ridge * np.eye(matrices.shape[-1])
        found = [
            solve(m + ridges, r, assume_a="pos") for m, r in zip(matrices, right.astype(matrices.dtype), strict=True)
        ]
        return np.stack(found).swapaxes(1, 2).reshape(self.weight_shape).astype(self.dtype)


def _gram_of(x: Array, g: Geometry) -> Array:
    """(M, M) for one group, whose (N, C, *read) array holds all that windows read."""
    if all(axis.stride == axis.dilation == 1 for axis in g.axes):
        found = cross_gram(x, x, g.kernel_size)
    else:
        found = np.empty((x.shape[1], *g.kernel_size, x.shape[1], *g.kernel_size), x.dtype)
        step: dict[str, Any] = {"stride": [a.stride for a in g.axes], "dilation": [a.dilation for a in g.axes]}
        for tap in np.ndindex(*g.kernel_size):
            starts = [k * a.dilation for k, a in zip(tap, g.axes, strict=True)]
            ends = [s + (a.output - 1) * a.stride + 1 for s, a in zip(starts, g.axes, strict=True)]
            places: Any = tuple(slice(s, e, a.stride) for s, e, a in zip(starts, ends, g.axes, strict=True))
            # the conjugate of its second argument is the first factor
            sums = conv_weight_grad(x[(..., *places)], x, kernel_size=g.kernel_size, **step)
            found[(slice(None), *(slice(None),) * g.rank, slice(None), *tap)] = np.moveaxis(sums, 0, -1)
    matrix: Array = found.reshape(2 * (x.shape[1] * math.prod(g.kernel_size),))
    return matrix


def _all_that_is_read(x: Array, g: Geometry) -> Array:
    """(N, IC, *read): the input with its border."""
    found = np.zeros((*x.shape[:2], *_read_size(g)), x.dtype)
    for piece in pieces.whole(g):
        starts = (p.positions.start - a.read.start for p, a in zip(piece.parts, g.axes, strict=True))
        places: Any = tuple(slice(s, s + len(p.positions)) for s, p in zip(starts, piece.parts, strict=True))
        found[(..., *places)] = fetch(x, piece)
    return found


def _read_size(g: Geometry) -> tuple[int, ...]:
    return tuple(len(axis.read) for axis in g.axes)


def _geometry(x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any]) -> Geometry:
    defaults: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
    known = {name: options.get(name, default) for name, default in defaults.items()}
    if options.get("padding_value", 0) != 0:
        rule = "makes the convolution affine: what stands in the padding does not scale with the vector"
        raise UnsupportedError("padding_value", options["padding_value"], rule, "0, and the constant part apart")
    return forward_geometry(x_shape, w_shape, *known.values())


def _numbers(name: str, value: ArrayLike) -> Array:
    array = as_array(name, value)
    if array.dtype.name not in (*FLOATS, *REAL):
        rule = "operators are computed with floats"
        raise UnsupportedError(f"{name}.dtype", array.dtype.name, rule, f"{name}.astype('float64')")
    return array


def _images(vectors: Array, shape: tuple[int, ...]) -> Array:
    """The columns of a matrix as further images."""
    return vectors.T.reshape(vectors.shape[1] * shape[0], *shape[1:])


def _whole_numbers(rng: np.random.Generator, size: int, dtype: np.dtype[Any]) -> Array:
    found = rng.integers(-8, 9, size).astype(dtype)
    return found + (1j * rng.integers(-8, 9, size)).astype(dtype) if dtype.kind == "c" else found
