"""A convolution layer: a weight, a bias, `forward`, and the gradients as the lines that follow it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .api import conv, conv_bias_grad, conv_input_grad, conv_weight_grad
from .arguments import Padding, PaddingMode, PerAxis, entries, padding_constant, padding_modes, per_axis
from .arrays import FLOATS, as_array, dtype_name
from .complexes import REAL
from .errors import GeometryError, UnsupportedError
from .geometry import check_groups, whole

Array = NDArray[Any]

PARAMETERS = (*FLOATS, *REAL)
INITS = ("torch", "he", "glorot", "lecun")


class Conv:
    """y = conv(x, weight) + bias, with both kept and both gradients left behind by `backward`.

    in_channels, out_channels: IC and OC.   kernel_size: K, one int per spatial axis; its length is the rank.
    stride, padding, dilation, groups, padding_mode, padding_value: as in `conv`.   bias: False for none.
    init: "torch" (uniform within 1/sqrt(fan_in), what PyTorch starts with), "he" (normal, variance 2/fan_in, for
    ReLU), "glorot" (uniform, variance 2/(fan_in + fan_out)) or "lecun" (normal, variance 1/fan_in); the bias
    starts uniform within 1/sqrt(fan_in) for "torch" and at zero for the others.
    rng: a NumPy Generator or a seed.   dtype: "float32", "float64", "complex64" or "complex128".
    Attributes: weight (OC, IC/groups, *K), bias (OC,) or None, and after `backward` weight_grad and bias_grad.
    Raises GeometryError for numbers that describe no layer.

    >>> layer = Conv(1, 1, kernel_size=(3,), bias=False, dtype="float64")
    >>> layer.weight[...] = [1, 10, 100]
    >>> layer.forward(np.array([[[1., 2, 3, 4, 5]]]))
    array([[[321., 432., 543.]]])
    >>> layer.backward(np.array([[[0., 1, 0]]]))
    array([[[  0.,   1.,  10., 100.,   0.]]])
    >>> layer.weight_grad
    array([[[2., 3., 4.]]])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        padding_value: complex = 0,
        bias: bool = True,
        init: str = "torch",
        rng: np.random.Generator | int | None = None,
        dtype: DTypeLike = "float32",
    ) -> None:
        in_channels = whole("in_channels", in_channels, least=1)
        out_channels = whole("out_channels", out_channels, least=1)
        groups = whole("groups", groups, least=1)
        check_groups(groups, in_channels=in_channels, out_channels=out_channels)
        sizes = entries(kernel_size)
        if sizes is None:
            rule = "leaves open how many spatial axes there are"
            accepted = f"one int per axis, as in ({kernel_size}, {kernel_size})"
            raise GeometryError("kernel_size", kernel_size, rule, accepted)
        dtype = dtype_name(dtype)
        if dtype not in PARAMETERS:
            raise UnsupportedError("dtype", dtype, "no weight is trained in it", ", ".join(PARAMETERS))
        padding_constant(padding_value, padding_modes(padding_mode, len(sizes)))
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.padding_mode, self.padding_value = padding_mode, padding_value
        shape = (out_channels, in_channels // groups, *per_axis("kernel_size", kernel_size, len(sizes)))
        rng = np.random.default_rng(rng)
        self.weight: Array = _drawn(lambda: initial_weight(shape, groups, init, rng), dtype)
        self.bias: Array | None = _drawn(lambda: initial_bias(shape, init, rng), dtype) if bias else None
        self.weight_grad: Array | None = None
        self.bias_grad: Array | None = None
        self._x: Array | None = None

    def forward(self, x: ArrayLike) -> Array:
        """y: (N, OC, *O) for x: (N, IC, *I), which is kept (not copied) for `backward`."""
        self._x = as_array("x", x)
        return conv(self._x, self.weight, self.bias, **self._options())

    __call__ = forward

    def backward(self, gy: ArrayLike) -> Array:
        """gx: (N, IC, *I) for gy: (N, OC, *O), the gradient by the last output; sets weight_grad and bias_grad."""
        if self._x is None:
            rule = "no forward has run whose gradient this could be"
            raise UnsupportedError("backward", type(gy).__name__, rule, "forward(x) first")
        x, options = self._x, self._options()
        gy = as_array("gy", gy)
        self.weight_grad = conv_weight_grad(gy, x, kernel_size=self.weight.shape[2:], **options)
        if self.bias is not None:
            self.bias_grad = conv_bias_grad(gy)
        return conv_input_grad(gy, self.weight, input_size=x.shape[2:], **options)

    def __repr__(self) -> str:
        oc, ic, *kernel = self.weight.shape
        options = "".join(
            f", {name}={value!r}" for name, value in self._options().items() if value not in (0, 1, "zeros")
        )
        bias = "" if self.bias is not None else ", bias=False"
        return f"Conv({ic * self.groups}, {oc}, {tuple(kernel)}{options}{bias}, dtype={self.weight.dtype.name!r})"

    def _options(self) -> dict[str, Any]:
        names = ("stride", "padding", "dilation", "groups", "padding_mode", "padding_value")
        return {name: getattr(self, name) for name in names}


def _drawn(draw: Callable[[], Array], dtype: str) -> Array:
    """What `draw` returns as `dtype`; complex numbers share its variance between their parts."""
    if not dtype.startswith("complex"):
        return draw().astype(dtype)
    return ((draw() + 1j * draw()) / math.sqrt(2)).astype(dtype)


def initial_weight(shape: tuple[int, ...], groups: int, init: str, rng: np.random.Generator) -> Array:
    """A float64 weight of `shape` (OC, IC/groups, *K), drawn as `init` says; see `Conv`."""
    taps = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * taps, shape[0] // groups * taps
    if init == "torch":
        return rng.uniform(-1, 1, shape) / math.sqrt(fan_in)
    if init == "he":
        return rng.standard_normal(shape) * math.sqrt(2 / fan_in)
    if init == "glorot":
        return rng.uniform(-1, 1, shape) * math.sqrt(6 / (fan_in + fan_out))
    if init == "lecun":
        return rng.standard_normal(shape) / math.sqrt(fan_in)
    raise UnsupportedError("init", init, "is not an initialisation known here", ", ".join(INITS))


def initial_bias(shape: tuple[int, ...], init: str, rng: np.random.Generator) -> Array:
    """A float64 bias for a weight of `shape`."""
    if init == "torch":
        return rng.uniform(-1, 1, shape[0]) / math.sqrt(math.prod(shape[1:]))
    return np.zeros(shape[0])
