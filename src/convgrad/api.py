"""The functions that people call: arrays in, arrays out.

Each reads its arguments through the gates (`arrays`, `arguments`), asks `choose` for a plan and hands it to
`execute`; a call like one before goes through `repeats` instead. Nothing is computed here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import bfloat16, integers, samples, spelling, tuned
from .arguments import (
    Padding,
    PaddingMode,
    PerAxis,
    entries,
    forward_geometry,
    input_grad_geometry,
    input_sizes,
    per_axis,
    transpose_geometry,
    weight_grad_geometry,
)
from .arrays import as_array, check_bias, check_fill, check_gy, check_out, check_range, common_dtype, dtype_name
from .choose import REMEMBERED, WORKSPACE_LIMIT, choose
from .complexes import METHODS, REAL, Product, product_of
from .errors import UnsupportedError
from .execute import execute
from .foreign import of_kind
from .geometry import Geometry
from .machine import Machine
from .plan import Plan
from .repeats import Seen, remember, repeat

Array = NDArray[Any]


def conv(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    out: Array | None = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
    precision: str = "highest",
) -> Array:
    """Convolution as deep learning means it: cross-correlation, the kernel is not flipped.

    x: (N, IC, *I) input, with one spatial axis or more.   w: (OC, IC/groups, *K) weight.
    bias: (OC,) added at every position, or None.
    stride, dilation: an int, or one per spatial axis, in positions.
    padding: positions around x: an int, one per axis, a pair (before, after) per axis, below zero to cut x off, or
    "valid" (none), "same" or "same_upper" (ceil(I / stride) outputs, an odd rest after: PyTorch's same, TensorFlow's
    and JAX's SAME), "same_lower" (an odd rest before) or "full" (every overlap).
    padding_mode: what stands there: "zeros", "constant" (`padding_value`), "edge" (the last entry again), "reflect"
    (mirrored at the last entry), "symmetric" (mirrored behind it) or "circular" (x again); one word, or one per axis.
    flip: True for convolution as mathematics means it: the kernel is read backwards.
    out: array of the result's shape and dtype to write into.   algorithm: a name in `print(plan_for(...))`.
    precision: of float32: "highest" (float32's own), or where the CPU has matrix tiles, quicker: "high" (17 bits) or
    "medium" (8 bits, as bfloat16); the plan names its bound. Elsewhere all three are "highest".
    Returns y: (N, OC, *O) with O = (I + before + after - (K-1)*dilation - 1) // stride + 1, of the dtype in which NumPy
    promotes x and w (bfloat16, from `ml_dtypes`, is summed in float32 and rounded once); each entry sums
    IC/groups * prod(K) products, error bound in `plan_for(...).error_bound`.
    Raises GeometryError where the shapes describe no convolution, UnsupportedError for other dtypes.
    Source: `definition.forward`, derived in docs/derivation.md.

    >>> x = np.array([[[1., 2, 3, 4, 5]]]); w = np.array([[[1., 10, 100]]])
    >>> conv(x, w)
    array([[[321., 432., 543.]]])
    >>> conv(x, w, stride=2, padding=1)
    array([[[210., 432.,  54.]]])
    """
    options = stride, padding, dilation, groups, padding_mode, padding_value, complex_method, precision, algorithm
    y = _call(_CONV, x, _backwards(w) if flip else w, options, out)
    return _alike(y if bias is None else _add_bias(y, bias), x, w)


def conv_input_grad(
    gy: ArrayLike,
    w: ArrayLike,
    *,
    input_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    out: Array | None = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
    precision: str = "highest",
) -> Array:
    """Gradient of `conv` with respect to its input.

    gy: (N, OC, *O) gradient of the loss by the output.   w: (OC, IC/groups, *K) weight that was given to `conv`.
    input_size: the input's spatial shape I (an int: the same on every axis); a stride leaves it open: with
    kernel 3 and stride 2, inputs of 5 and 6 both have 2 outputs.
    The other options: as in the call of `conv`.
    Returns gx: (N, IC, *I); each entry sums at most OC/groups * prod(K) products; an input that no window reads
    gets exactly zero.
    Raises GeometryError where the shapes describe no convolution, UnsupportedError for other dtypes.
    Source: `definition.input_grad`, derived in docs/derivation.md.

    >>> gy = np.array([[[0., 1, 0]]]); w = np.array([[[1., 10, 100]]])
    >>> conv_input_grad(gy, w, input_size=5)
    array([[[  0.,   1.,  10., 100.,   0.]]])
    """
    given = input_size, stride, padding, dilation, groups, padding_mode, padding_value
    options = *given, complex_method, precision, algorithm
    return _alike(_call(_INPUT_GRAD, gy, _backwards(w) if flip else w, options, out), gy, w)


def conv_weight_grad(
    gy: ArrayLike,
    x: ArrayLike,
    *,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    reduce: str = "sum",
    out: Array | None = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
    precision: str = "highest",
) -> Array:
    """Gradient of `conv` with respect to its weight.

    gy: (N, OC, *O) gradient of the loss by the output.   x: (N, IC, *I) input that was given to `conv`.
    kernel_size: the weight's spatial shape K (an int: the same on every axis); the other shapes leave it open
    when the stride leaves a remainder.
    The other options: as in the call of `conv`.
    reduce: "sum" over the images; "none" for the gradient of each image, (N, OC, IC/groups, *K), whose numbers do not
    depend on the images beside it; "sqnorm" for the squared norm of each, (N,), without storing them.
    Returns gw: (OC, IC/groups, *K); each entry sums N * prod(O) products in blocks, so that the error does not
    grow with their number; bound in `plan_for(...).error_bound`.
    Raises GeometryError where the shapes describe no convolution, UnsupportedError for other dtypes.
    Source: `definition.weight_grad`, derived in docs/derivation.md.

    >>> x = np.array([[[1., 2, 3, 4, 5]]]); gy = np.array([[[1., 10, 100]]])
    >>> conv_weight_grad(gy, x, kernel_size=3)
    array([[[321., 432., 543.]]])
    """
    given = kernel_size, stride, padding, dilation, groups, padding_mode, padding_value
    options = *given, complex_method, precision, algorithm
    if reduce != "sum":
        gw = _per_image(gy, x, options, reduce, flip, out)
    elif flip:
        gw = _flipped("gw", _call(_WEIGHT_GRAD, gy, x, options, out if out is None else _flipped("out", out)))
    else:
        gw = _call(_WEIGHT_GRAD, gy, x, options, out)
    return _alike(gw, gy, x)


def conv_bias_grad(gy: ArrayLike, *, out: Array | None = None) -> Array:
    """Gradient of `conv` with respect to its bias: the sum of `gy` over images and positions.

    gy: (N, OC, *O) gradient of the loss by the output.
    Returns gb: (OC,), dtype of gy; summed pairwise in 64 bits, integers exactly.
    Raises GeometryError where gy has no channel axis, UnsupportedError for other dtypes.
    Source: `definition.bias_grad`.

    >>> conv_bias_grad(np.array([[[1., 10, 100], [2, 20, 200]]]))
    array([111., 222.])
    """
    given, gy = gy, check_gy(as_array("gy", gy))
    shape, dtype = (gy.shape[1],), common_dtype(gy)
    gb = np.empty(shape, dtype) if out is None else check_out(out, shape, dtype, {"gy": gy})
    if dtype.kind in "iu":
        check_range("gy", gy, gy.size // max(1, gy.shape[1]), dtype)
    # one image at a time, so that NumPy's pairwise sum runs along positions and then along images
    wide = np.float64 if dtype.name == bfloat16.DTYPE else {"f": np.float64, "c": np.complex128}.get(dtype.kind, dtype)
    per_image = gy.sum(axis=tuple(range(2, gy.ndim)), dtype=wide)
    gb[...] = np.ascontiguousarray(per_image.T).sum(axis=1)
    return _alike(gb, given)


def conv_transpose(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    output_size: PerAxis | None = None,
    output_padding: PerAxis = 0,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    out: Array | None = None,
    algorithm: str | None = None,
    complex_method: str = "3m",
    precision: str = "highest",
) -> Array:
    """Transposed convolution: the input gradient of `conv`, used forwards, for instance to enlarge an image.

    x: (N, OC, *O) input.   w: (OC, IC/groups, *K) weight, laid out as for the `conv` that this transposes.
    bias: (IC,) added at every position, or None.
    output_size: spatial shape of the result, among those that `conv` with these options takes to O; the smallest
    where left out (with padding="same": O * stride); `sizes` lists them.
    output_padding: PyTorch's way to say the same: positions to add to the smallest size, 0 to stride - 1.
    The other options: those of the transposed `conv`; padding takes positions away from the result.
    Returns y: (N, IC, *output_size).
    Raises GeometryError where the shapes describe no convolution, UnsupportedError for other dtypes.
    Source: `definition.input_grad`.

    >>> x = np.array([[[1., 2]]]); w = np.array([[[1., 10, 100]]])
    >>> conv_transpose(x, w, stride=3)
    array([[[  1.,  10., 100.,   2.,  20., 200.]]])
    >>> conv_transpose(x, w, stride=3, output_size=7)
    array([[[  1.,  10., 100.,   2.,  20., 200.,   0.]]])
    """
    given = output_size, stride, padding, dilation, groups, padding_mode, padding_value, output_padding
    options = *given, complex_method, precision, algorithm
    y = _call(_TRANSPOSE, x, _backwards(w) if flip else w, options, out)
    return _alike(y if bias is None else _add_bias(y, bias), x, w)


def sizes(
    output_size: PerAxis,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> tuple[range, ...]:
    """The input sizes from which `conv` makes an output of a given size: what `conv_transpose` can return.

    output_size, kernel_size: spatial shapes O and K; where one is an int, the other says how many axes there are.
    stride, padding, dilation: those of `conv`.
    Returns a range for each spatial axis: as many sizes as the stride is long, because a stride forgets the rest.
    Raises GeometryError where no input has such an output.

    >>> sizes((2,), (3,), stride=2)
    (range(5, 7),)
    """
    rank = len(entries(output_size) or entries(kernel_size) or (0,))
    outputs, kernels = per_axis("output_size", output_size, rank), per_axis("kernel_size", kernel_size, rank)
    return input_sizes(outputs, kernels, stride, padding, dilation)


def plan_for(
    role: str,
    geometry: Geometry | str,
    *,
    dtype: DTypeLike = "float32",
    algorithm: str | None = None,
    workspace_limit: int = WORKSPACE_LIMIT,
    complex_method: str = "3m",
    precision: str = "highest",
) -> Plan:
    """How a call would be computed, without computing it; `print` it.

    role: "forward", "input_grad" or "weight_grad".
    geometry: a Geometry or its spelling, as in "n8 ic64 oc64 i56x56 k3x3 p1".
    workspace_limit: bytes that buffers may take.
    Returns a frozen Plan. Raises GeometryError for a spelling that describes no convolution.

    >>> plan = plan_for("forward", "n8 ic64 oc64 i56x56 k3x3 p1")
    >>> plan.operations, plan.workspace_bytes <= 32 << 20
    (1805910016, True)
    """
    if isinstance(geometry, str):
        geometry = spelling.parse(geometry)
    name = dtype_name(dtype)
    if name in integers.DTYPES:
        name = integers.result_dtype(np.dtype(name)).name
    product = Product(complex_method, role != "forward") if name in REAL else None
    return choose(role, geometry, name, Machine.here(), algorithm, workspace_limit, tuned.here(), product, precision)


def compute(
    role: str,
    geometry: Geometry,
    a: Array,
    b: Array,
    *,
    out: Array | None = None,
    algorithm: str | None = None,
    precision: str = "highest",
) -> Array:
    """One role of a known geometry: what the functions above and the adapters call.

    a, b: (x, w) for "forward", (gy, w) for "input_grad", (gy, x) for "weight_grad", of the geometry's shapes.
    """
    plan = _plan(role, geometry, a, b, "3m", False, algorithm, precision)
    return execute(plan, a, b, _result(plan, out, dict(zip(_ARGUMENTS[role], (a, b), strict=True))))


def _plan(
    role: str,
    geometry: Geometry,
    a: Array,
    b: Array,
    complex_method: str,
    conjugate: bool,
    algorithm: str | None,
    precision: str = "highest",
) -> Plan:
    """The plan for two arrays; `conjugate` is for gradients."""
    if complex_method not in METHODS:
        raise UnsupportedError("complex_method", complex_method, "is no way to multiply here", " or ".join(METHODS))
    if geometry.fill != 0 and role != "input_grad":
        check_fill(geometry.fill, a if role == "forward" else b)
    dtype = common_dtype(a, b)
    product = product_of(a.dtype, b.dtype, complex_method, conjugate) if dtype.kind == "c" else None
    here, tuning = Machine.here(), tuned.here()
    return choose(role, geometry, dtype.name, here, algorithm, tuning=tuning, product=product, precision=precision)


_RESULT_SHAPE = {"forward": "output_shape", "input_grad": "input_shape", "weight_grad": "weight_shape"}
_ARGUMENTS = {"forward": ("x", "w"), "input_grad": ("gy", "w"), "weight_grad": ("gy", "x")}


@dataclass(frozen=True, slots=True)
class _Function:
    """A public function: the role that it computes, the names of its arrays, its gate, the calls that it has seen."""

    role: str
    arguments: tuple[str, str]
    geometry: Callable[..., Geometry]
    conjugates: bool = False  # the second array, so that a gradient is the adjoint
    seen: Seen = field(default_factory=dict)


_CONV = _Function("forward", ("x", "w"), forward_geometry)
_INPUT_GRAD = _Function("input_grad", ("gy", "w"), input_grad_geometry, conjugates=True)
_WEIGHT_GRAD = _Function("weight_grad", ("gy", "x"), weight_grad_geometry, conjugates=True)
_TRANSPOSE = _Function("input_grad", ("x", "w"), transpose_geometry)


def _call(function: _Function, a: ArrayLike, b: ArrayLike, options: tuple[Any, ...], out: Array | None) -> Array:
    """What `function` returns for two arrays and its options, an algorithm the last of them."""
    repeated = repeat(function.seen, a, b, options, out)
    if repeated is not None:
        return repeated
    names = function.arguments
    a, b = as_array(names[0], a), as_array(names[1], b)
    *numbers, complex_method, precision, algorithm = options
    geometry = _geometry(function.geometry, a.shape, b.shape, *numbers)
    plan = _plan(function.role, geometry, a, b, complex_method, function.conjugates, algorithm, precision)
    result = execute(plan, a, b, _result(plan, out, {names[0]: a, names[1]: b}))
    remember(function.seen, a, b, options, plan, result)
    return result


def _per_image(
    gy: ArrayLike, x: ArrayLike, options: tuple[Any, ...], reduce: str, flip: bool, out: Array | None
) -> Array:
    """The weight gradient of every image, or its squared norm."""
    if reduce not in samples.REDUCTIONS:
        raise UnsupportedError("reduce", reduce, "is no way to sum over images", ", ".join(samples.REDUCTIONS))
    gy, x = as_array("gy", gy), as_array("x", x)
    *numbers, complex_method, precision, algorithm = options
    geometry = _geometry(weight_grad_geometry, gy.shape, x.shape, *numbers)
    plan = _plan("weight_grad", geometry.with_batch(1), gy, x, complex_method, True, algorithm, precision)
    shape, dtype = (geometry.batch, *geometry.weight_shape), np.dtype(plan.dtype)
    if reduce == "sqnorm":
        shape, dtype = shape[:1], samples.norm_dtype(dtype)
    found = np.empty(shape, dtype) if out is None else check_out(out, shape, dtype, {"gy": gy, "x": x})
    if reduce == "sqnorm":
        return samples.squared_norms(plan, gy, x, found)
    samples.each(plan, gy, x, _flipped("out", found, 3) if flip else found)
    return found


def _alike(result: Array, *arguments: ArrayLike) -> Array:
    """The result as an array of the library of the arguments: a tensor for tensors."""
    for value in arguments:
        if type(value) is not np.ndarray:
            found: Array = of_kind(result, *arguments)
            return found
    return result


def _flipped(name: str, value: ArrayLike, first: int = 2) -> Array:
    """`value` with its spatial axes, those from `first`, backwards: a view."""
    array = as_array(name, value)
    return np.flip(array, tuple(range(first, array.ndim)))


def _backwards(w: ArrayLike) -> Array:
    """The weight with its taps in the other order: a copy, because calls with plain arrays are repeated quickly."""
    return np.ascontiguousarray(_flipped("w", w))


def _result(plan: Plan, out: Array | None, inputs: dict[str, Array]) -> Array:
    """The array that `plan` fills: `out`, if it may be written, or a new one."""
    shape, dtype = getattr(plan.geometry, _RESULT_SHAPE[plan.role]), np.dtype(plan.dtype)
    return np.empty(shape, dtype) if out is None else check_out(out, shape, dtype, inputs)


_PLAIN = {int, str, NoneType, float, complex}


def _geometry(gate: Callable[..., Geometry], *arguments: Any) -> Geometry:
    """What `gate` makes of the arguments of a call, remembered for the calls that repeat them."""
    plain = all(
        type(a) in _PLAIN or (type(a) is tuple and ({int}.issuperset(map(type, a)) or {str}.issuperset(map(type, a))))
        for a in arguments
    )
    return _remembered(gate, *arguments) if plain else gate(*arguments)


@functools.lru_cache(maxsize=REMEMBERED, typed=True)
def _remembered(gate: Callable[..., Geometry], *arguments: Any) -> Geometry:
    return gate(*arguments)


def _add_bias(y: Array, bias: ArrayLike) -> Array:
    array = check_bias(bias, y)
    y += array.reshape(-1, *(1,) * (y.ndim - 2)).astype(y.dtype, copy=False)
    return y
