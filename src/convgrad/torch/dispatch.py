"""Which way a call of a role takes, and the functions that torch's autograd knows.

compiled, exported, or a tensor that is no plain one        the operators of `ops`
inside torch.func, or with forward mode                     a function with rules for vmap and jvp as well
with gradients                                              a function with the same rules, half the overhead
else                                                        `roles` at once; where operators are recorded, `ops`
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import ops, roles
from .options import Options
from .rules import adjoints, batched, tangent

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def apply(role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> Tensor:
    """One role, in the way that the call needs."""
    if not is_plain(a, b):
        if torch.compiler.is_compiling() or not _transforms():
            return ops.call(role, a, b, size, options)
        return _Functional.apply(role, a, b, size, options)
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        return _Eager.apply(role, a, b, size, options)
    try:
        return _compute(role, a, b, size, options)
    except RuntimeError:  # a tensor without memory of its own: of the vmap with which gradcheck batches gradients
        return ops.call(role, a, b, size, options)


def is_plain(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are what they seem: nothing traces, maps or differentiates forwards."""
    if torch.compiler.is_compiling() or _transforms():
        return False
    return type(a) in _PLAIN and type(b) in _PLAIN


def _transforms() -> bool:
    """Whether torch.func or forward mode is at work."""
    if torch._C._are_functorch_transforms_active():
        return True
    return bool(forward_ad._current_level >= 0 and torch._C._is_fwd_grad_enabled())


def _compute(role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> Tensor:
    """A role without derivatives."""
    # make_fx and other modes record operators, and would take an array's memory for a constant
    compute = ops.call if torch._C._len_torch_dispatch_stack() else roles.compute
    return compute(role, a, b, size, options)


def _backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    a, b = ctx.saved_tensors
    return None, *adjoints(ctx.role, g, a, b, ctx.options, apply, ctx.needs_input_grad[1:3]), None, None


class _Eager(torch.autograd.Function):
    """A role, where nothing but gradients is asked for."""

    @staticmethod
    def forward(ctx: Any, role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.role, ctx.options = role, options
        return _compute(role, a, b, size, options)

    backward = staticmethod(_backward)


class _Functional(torch.autograd.Function):
    """A role, for every transform."""

    @staticmethod
    def forward(role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> Tensor:
        return _compute(role, a, b, size, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.role, a, b, ctx.size, ctx.options = inputs
        ctx.save_for_backward(a, b)
        ctx.save_for_forward(a, b)

    backward = staticmethod(_backward)

    @staticmethod
    def jvp(ctx: Any, role: None, da: Tensor | None, db: Tensor | None, *others: None) -> Any:
        a, b = ctx.saved_tensors
        return tangent(ctx.role, a, b, da, db, ctx.size, ctx.options, apply)

    @staticmethod
    def vmap(info: Any, in_dims: Any, role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> Any:
        return batched(role, info.batch_size, a, b, in_dims[1:3], size, options, apply), 0
