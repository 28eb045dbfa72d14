"""`conv` and `conv_transpose` of tensors, differentiable in every way that torch has.

Arguments are read here, what torch computes itself goes there, and `dispatch` does the rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..arguments import Padding, PaddingMode, PerAxis, padding_pairs, transpose_geometry
from ..errors import GeometryError, UnsupportedError
from .dispatch import apply, is_plain
from .options import Options, read


def conv(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
) -> Tensor:
    """`convgrad.conv` of tensors.

    x: (N, IC, *I), on the CPU, of any strides.   w: (OC, IC/groups, *K).   bias: (OC,), or None.
    The options are those of `convgrad.conv`; padding_mode takes torch's words too.
    dtypes: float32, float64, complex64, complex128; bfloat16 and float16, computed in float32 and rounded once.
    Inside `torch.autocast` x, w and bias are cast as for torch's own convolutions.
    Returns y: (N, OC, *O), contiguous. On devices other than the CPU torch computes it.
    Raises what `convgrad.conv` raises.

    >>> x, w = torch.tensor([[[1., 2, 3, 4, 5]]]), torch.tensor([[[1., 10, 100]]], requires_grad=True)
    >>> y = conv(x, w)
    >>> y.detach().tolist()
    [[[321.0, 432.0, 543.0]]]
    >>> y.sum().backward()
    >>> w.grad.tolist()
    [[[6.0, 9.0, 12.0]]]
    """
    if x.ndim < 3:
        raise GeometryError("x.shape", tuple(x.shape), "has no spatial axes", "(N, IC, *I)")
    value = 0 if padding_mode == "zeros" and padding_value == 0 else padding_value
    options = read(x.ndim - 2, stride, padding, dilation, groups, padding_mode, value)
    return forward(x, w, bias, options)


def conv_transpose(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    *,
    output_size: PerAxis | None = None,
    output_padding: PerAxis = 0,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Tensor:
    """`convgrad.conv_transpose` of tensors; weights are laid out as torch's `conv_transpose` has them.

    x: (N, OC, *O).   w: (OC, IC/groups, *K).   bias: (IC,), or None.
    Returns y: (N, IC, *output_size).
    The options are those of `convgrad.conv_transpose`; dtypes, devices and errors those of `conv`.

    >>> conv_transpose(torch.tensor([[[1., 2]]]), torch.tensor([[[1., 10, 100]]]), stride=3).tolist()
    [[[1.0, 10.0, 100.0, 2.0, 20.0, 200.0]]]
    """
    if x.ndim < 3:
        raise GeometryError("x.shape", tuple(x.shape), "has no spatial axes", "(N, OC, *O)")
    options = read(x.ndim - 2, stride, padding, dilation, groups, "zeros", 0)
    if torch.compiler.is_compiling() and output_size is None and not isinstance(padding, str):
        size: Any = _transposed_size(x.shape[2:], w.shape[2:], output_padding, options)
    else:
        given = {**options.keywords, "output_size": output_size, "output_padding": output_padding}
        size = transpose_geometry(tuple(x.shape), tuple(w.shape), **given).input_size
    return transposed(x, w, bias, size, options)


def forward(x: Tensor, w: Tensor, bias: Tensor | None, options: Options) -> Tensor:
    """`conv` with options that were read before."""
    if _is_torchs(x):
        return _elsewhere(x, w, bias, options)
    if torch.is_autocast_enabled("cpu"):
        x, w, bias = _cast(x, w, bias)
    y = apply("forward", x, w, (), options)
    return y if bias is None else _plus(y, bias)


def transposed(x: Tensor, w: Tensor, bias: Tensor | None, size: Any, options: Options) -> Tensor:
    """`conv_transpose` to a given spatial size."""
    if _is_torchs(x):
        return _transposed_elsewhere(x, w, bias, size, options)
    if torch.is_autocast_enabled("cpu"):
        x, w, bias = _cast(x, w, bias)
    # a gradient conjugates the weight, a transposed convolution does not
    y = apply("input_grad", x, w.conj() if w.is_complex() else w, size, options)
    return y if bias is None else _plus(y, bias)


def _is_torchs(x: Tensor) -> bool:
    """Whether torch computes: on other devices, and for `torch.jit.trace`, whose programs run without Python."""
    return not x.is_cpu or torch.jit.is_tracing()


def _plus(y: Tensor, bias: Tensor) -> Tensor:
    """`y` and a bias for each channel: in place where nobody else can hold y."""
    if bias.ndim != 1 or bias.shape[0] != y.shape[1]:  # would be spread over the channels
        rule = f"the result has {y.shape[1]} channels"
        raise GeometryError("bias.shape", tuple(bias.shape), rule, f"({y.shape[1]},), or None")
    if bias.dtype is not y.dtype:
        names = [str(tensor.dtype).removeprefix("torch.") for tensor in (bias, y)]
        raise UnsupportedError("bias.dtype", names[0], f"x and w are {names[1]}", f"bias.to(torch.{names[1]})")
    entries = bias.reshape(-1, *(1,) * (y.ndim - 2))
    return y.add_(entries) if is_plain(y, bias) else y + entries


def _cast(x: Tensor, w: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """What torch does to the arguments of a convolution inside `torch.autocast`: float64 stays."""
    dtype = torch.get_autocast_dtype("cpu")
    tensors = (
        tensor.to(dtype)
        if tensor is not None and tensor.is_floating_point() and tensor.dtype != torch.float64
        else tensor
        for tensor in (x, w, bias)
    )
    return tuple(tensors)  # type: ignore[return-value]


def _transposed_size(sizes: Any, kernels: Any, output_padding: PerAxis, o: Options) -> list[Any]:
    """The sizes of the result, which may be symbols."""
    more = (output_padding,) * len(sizes) if isinstance(output_padding, int) else tuple(output_padding)
    pairs: Any = o.padding
    return [
        (size - 1) * s - sum(pair) + d * (k - 1) + 1 + extra
        for size, k, s, d, pair, extra in zip(sizes, kernels, o.stride, o.dilation, pairs, more, strict=True)
    ]


def _elsewhere(x: Tensor, w: Tensor, bias: Tensor | None, o: Options) -> Tensor:
    """By torch, on the device of the tensors."""
    pairs = padding_pairs(o.padding, x.shape[2:], w.shape[2:], o.stride, o.dilation)
    if any(before != after for before, after in pairs) or set(o.modes) != {"zeros"}:
        x = _padded(x, pairs, o)
        pairs = [(0, 0)] * len(pairs)
    around = [before for before, _ in pairs]
    return torch.convolution(x, w, bias, o.stride, around, o.dilation, False, [0] * len(around), o.groups)


def _padded(x: Tensor, pairs: list[tuple[int, int]], o: Options) -> Tensor:
    words = {
        "zeros": "constant",
        "constant": "constant",
        "reflect": "reflect",
        "edge": "replicate",
        "circular": "circular",
    }
    word = words.get(o.modes[0])
    if word is None or len(set(o.modes)) > 1:
        where = f"on {x.device}" if not x.is_cpu else "in torch.jit.trace"
        rule = f"{where} torch computes, and it has no such border"
        raise UnsupportedError("padding_mode", o.modes, rule, ", ".join(words) + "; the same for every axis")
    ends = [number for pair in reversed(pairs) for number in pair]
    return torch.nn.functional.pad(x, ends, word, o.fill if word == "constant" else None)


def _transposed_elsewhere(x: Tensor, w: Tensor, bias: Tensor | None, size: Any, o: Options) -> Tensor:
    """By torch, on the device of the tensors: all of it, then what the padding leaves."""
    pairs = padding_pairs(o.padding, size, w.shape[2:], o.stride, o.dilation)
    none = [0] * len(pairs)
    y = torch.convolution(x, w, None, o.stride, none, o.dilation, True, none, o.groups)
    ends = []
    for (before, _), whole, wanted in reversed(list(zip(pairs, y.shape[2:], size, strict=True))):
        ends += [-before, wanted - whole + before]
    y = torch.nn.functional.pad(y, ends)
    return y if bias is None else _plus(y, bias)
