"""The three roles as operators of torch's library: what `torch.compile` and `torch.export` see in a graph."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from . import roles
from .options import SCHEMA, Options, of_flat
from .rules import adjoints

LIBRARY = torch.library.Library("convgrad", "DEF")
NAMES = {"forward": "x, Tensor w", "input_grad": "gy, Tensor w", "weight_grad": "gy, Tensor x"}
for _role, _names in NAMES.items():
    LIBRARY.define(f"{_role}(Tensor {_names}, SymInt[] size, {SCHEMA}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))


def call(role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> Tensor:
    """One role as an operator."""
    result: Tensor = getattr(torch.ops.convgrad, role)(a, b, list(size), *options.flat())
    return result


def _shape(role: str, a: Tensor, b: Tensor, size: Any, options: Options) -> list[Any]:
    if role == "forward":
        return [a.shape[0], b.shape[0], *options.output_size(a.shape[2:], b.shape[2:])]
    if role == "input_grad":
        return [a.shape[0], b.shape[1] * options.groups, *size]
    return [a.shape[1], b.shape[1] // options.groups, *size]


def _register(role: str) -> None:
    def compute(a: Tensor, b: Tensor, size: list[int], *flat: Any) -> Tensor:
        return roles.compute(role, a, b, size, of_flat(*flat))

    def fake(a: Tensor, b: Tensor, size: list[int], *flat: Any) -> Tensor:
        return a.new_empty(_shape(role, a, b, size, of_flat(*flat)))

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[1])
        ctx.options = of_flat(*inputs[3:])

    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        a, b = ctx.saved_tensors
        first, second = adjoints(role, g, a, b, ctx.options, call, ctx.needs_input_grad[:2])
        return first, second, *(None,) * 8

    def operations(a: Any, b: Any, size: Any, *flat: Any, out_shape: Any = None, **unused: Any) -> int:
        y, w = {"forward": (out_shape, b), "input_grad": (a, b), "weight_grad": (a, out_shape)}[role]
        positions: int = y[0] * math.prod(y[2:])
        taps: int = math.prod(w)
        return 2 * positions * taps  # each weight has a product at every position

    name = f"convgrad::{role}"
    LIBRARY.impl(role, compute, "CPU")
    torch.library.register_fake(name, fake)
    torch.library.register_autograd(name, backward, setup_context=keep)
    register_flop_formula(getattr(torch.ops.convgrad, role))(operations)


for _role in NAMES:
    _register(_role)
