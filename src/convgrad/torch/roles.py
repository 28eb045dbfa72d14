"""The three roles on tensors without derivatives: NumPy views of them go in, and the result's memory comes out.

What NumPy has no numbers for is computed in float32 and rounded once: float16, and bfloat16 where `ml_dtypes` is not
installed. With it bfloat16 goes in as it is, which matrix tiles multiply without a conversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

try:
    from ml_dtypes import bfloat16 as BFLOAT16  # noqa: N812
except ImportError:
    BFLOAT16 = None

from .. import api, settings
from ..errors import UnsupportedError
from .options import Options

DTYPES = {torch.float32, torch.float64, torch.complex64, torch.complex128}
if BFLOAT16 is not None:
    DTYPES.add(torch.bfloat16)
WIDENED = {torch.bfloat16: torch.float32, torch.float16: torch.float32}
FUNCTIONS: dict[str, tuple[Any, str]] = {
    "forward": (api.conv, ""),
    "input_grad": (api.conv_input_grad, "input_size"),
    "weight_grad": (api.conv_weight_grad, "kernel_size"),
}


def compute(role: str, a: Tensor, b: Tensor, size: Sequence[int], options: Options) -> Tensor:
    """One role: (x, w), (gy, w) and input size, or (gy, x) and kernel size. Gradients are adjoints, as torch's are."""
    if a.dtype not in DTYPES or b.dtype is not a.dtype:
        narrow = _checked(a, b)
        wide = WIDENED[narrow]
        return compute(role, a.to(wide), b.to(wide), size, options).to(narrow)
    function, argument = FUNCTIONS[role]
    given = {argument: tuple(size), **options.keywords} if argument else options.keywords
    with settings.at_most(torch.get_num_threads()):
        return _tensor(function(_array(a), _array(b), **given))


def _array(tensor: Tensor) -> Any:
    """The tensor's memory as an array."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    try:
        if tensor.dtype is torch.bfloat16:
            return tensor.view(torch.int16).numpy().view(BFLOAT16)
        return tensor.numpy()
    except RuntimeError:  # views that are conjugated or negated where they are read
        return tensor.resolve_conj().resolve_neg().numpy()
    except TypeError:
        layout = str(tensor.layout).removeprefix("torch.")
        rule = "is no memory that NumPy reads"
        raise UnsupportedError("tensor", f"{layout} on {tensor.device}", rule, "strided tensors on the CPU") from None


def _tensor(array: Any) -> Tensor:
    if BFLOAT16 is not None and array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _checked(a: Tensor, b: Tensor) -> torch.dtype:
    """The dtype of both tensors, if it is one that can be widened."""
    if a.dtype is not b.dtype:
        rule = f"the other tensor is {_name(a.dtype)}"
        raise UnsupportedError("dtype", _name(b.dtype), rule, f"tensors of one dtype; .to(torch.{_name(a.dtype)})")
    if a.dtype not in WIDENED:
        accepted = ", ".join(sorted(map(_name, DTYPES | WIDENED.keys())))
        raise UnsupportedError("dtype", _name(a.dtype), "no kernel computes it", accepted)
    return a.dtype


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
