"""Derivative rules: the three roles are the partial derivatives of one trilinear form, so each gives way to the others.

    by its first argument       by its second argument
    conv(x, w)           gx = input_grad(g, w)       gw = weight_grad(g, x)
    input_grad(gy, w)    conv(h, w)                  weight_grad(gy, h)
    weight_grad(gy, x)   conv(x, v)                  input_grad(gy, v)

With a constant in the padding, conv and weight_grad are linear in x but for a part that does not depend on it; rules
that stand for a change of x use `options.linear`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ..folding import FOLDS
from .options import Options

# (role, first tensor, second tensor, input or kernel size, options) -> the result of the role
Call = Callable[[str, Tensor, Tensor, Any, Options], Tensor]


def adjoints(
    role: str, g: Tensor, a: Tensor, b: Tensor, o: Options, call: Call, needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients by a and b of a role whose result has the gradient g: each is a role again."""
    first = second = None
    if role == "forward":
        if needed[0]:
            first = call("input_grad", g, b, a.shape[2:], o)
        if needed[1]:
            second = call("weight_grad", g, a, b.shape[2:], o)
    elif role == "input_grad":
        if needed[0]:
            first = call("forward", g, b, (), o.linear)
        if needed[1]:
            second = call("weight_grad", a, g, b.shape[2:], o.linear)
    else:
        if needed[0]:
            first = call("forward", b, g, (), o)
        if needed[1]:
            second = call("input_grad", a, g, b.shape[2:], o)
    return first, second


def tangent(
    role: str, a: Tensor, b: Tensor, da: Tensor | None, db: Tensor | None, size: Any, o: Options, call: Call
) -> Any:
    """How the result of a role changes with its arguments; None for one that stays."""
    of_a = of_b = None
    if da is not None:
        of_a = call(role, da, b, size, o.linear if role == "forward" else o)
    if db is not None:
        of_b = call(role, a, db, size, o.linear if role == "weight_grad" else o)
    return of_b if of_a is None else of_a if of_b is None else of_a + of_b


def batched(role: str, count: int, a: Tensor, b: Tensor, in_dims: Any, size: Any, o: Options, call: Call) -> Tensor:
    """`count` problems as one: `in_dims` are the axes along which they lie; first axis of the result."""
    a_dim, b_dim = in_dims
    fold = FOLDS[role, a_dim is not None, b_dim is not None]
    if fold.a is not None:
        a = _folded(a, a_dim, fold.a, o.groups if fold.a_inside else 1)
    if fold.b is not None:
        b = _folded(b, b_dim, fold.b, o.groups if fold.b_inside else 1)
    result = call(role, a, b, size, o.times(count) if fold.as_groups else o)
    blocks, axis = o.groups if fold.out_inside else 1, fold.out
    apart = result.unflatten(axis, (blocks, count, result.shape[axis] // (blocks * count)))
    return apart.movedim(axis + 1, 0).flatten(axis + 1, axis + 2)


def _folded(tensor: Tensor, dim: int, axis: int, blocks: int) -> Tensor:
    """Axis `dim` inside axis `axis` of the others, which has `blocks` blocks."""
    tensor = tensor.movedim(dim, 0)
    apart = tensor.unflatten(axis + 1, (blocks, tensor.shape[axis + 1] // blocks))
    return apart.movedim(0, axis + 1).flatten(axis, axis + 2)
