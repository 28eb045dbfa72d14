"""`accelerate` and `restore`: the convolution layers of a model, swapped in place."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from ..machine import Machine
from .layers import OURS

Filter = Callable[[nn.Module, str], bool]
THEIRS = {ours: theirs for theirs, ours in OURS.items()}
ROUNDS = 7  # of a measurement, of which the least counts
DENSE = 64  # channels of a group, from which matrix tiles are faster
SURELY = 0.9  # of torch's time, so that noise swaps no layer


def accelerate(
    model: nn.Module, filter_fn: Filter | None = None, *, example_inputs: Sequence[Any] | torch.Tensor | None = None
) -> list[str]:
    """Let convgrad compute the convolution layers of a model, where it is faster.

    model: changed in place; parameters, buffers, hooks and optimizers keep their objects, because only the class of a
    layer changes.
    filter_fn: called with each layer and its name; those for which it is true are swapped. `lambda layer, name: True`
    swaps all.
    example_inputs: arguments of `model`, or a tensor that is its only one: every layer is measured, forwards and
    backwards, both ways, on what reaches it, and swapped where ours took less time; then the whole model is, and stays
    as it was if that did not help. The model runs some times for that; its buffers and random numbers are left as they
    were.
    With neither, layers are swapped by their kind: `likely_faster`.
    Returns the names of the layers that were swapped. Subclasses of torch's layers are left alone.

    >>> model = nn.Sequential(nn.Conv2d(8, 8, 5, groups=8), nn.ReLU(), nn.Conv2d(8, 16, 1))
    >>> accelerate(model)
    ['0']
    >>> restore(model)
    ['0']
    """
    found = [(name, layer) for name, layer in model.named_modules() if type(layer) in OURS]
    if filter_fn is not None:
        found = [(name, layer) for name, layer in found if filter_fn(layer, name)]
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    if example_inputs is not None:
        faster = _measured(model, dict(found), example_inputs)
        found = [(name, layer) for name, layer in found if name in faster]
        if found and not _helped(model, [layer for _, layer in found], example_inputs):
            return []
    elif filter_fn is None:
        found = [(name, layer) for name, layer in found if likely_faster(layer)]
    for _, layer in found:
        layer.__class__ = OURS[type(layer)]
    return [name for name, _ in found]


def restore(model: nn.Module) -> list[str]:
    """Give layers that `accelerate` swapped back to torch; the names of those."""
    found = [(name, layer) for name, layer in model.named_modules() if type(layer) in THEIRS]
    for _, layer in found:
        layer.__class__ = THEIRS[type(layer)]
    return [name for name, _ in found]


def likely_faster(layer: Any) -> bool:
    """Whether our kernels train layers of this kind in less time than torch's: by the tables of docs/torch.md."""
    rank, taps = len(layer.kernel_size), layer.weight[0, 0].numel()
    per_group = layer.in_channels // layer.groups
    dense = min(per_group, layer.out_channels // layer.groups) >= DENSE
    return bool(
        layer.weight.dtype == torch.float64
        or (dense and layer.weight.dtype == torch.float32 and Machine.here().amx)
        or (per_group <= 4 and taps > 1)
        or (rank == 1 and taps > 2)
        or (rank == 3 and taps > 1)
        or (max(layer.dilation) > 1 and taps > 1)
        or taps >= 49
    )


def _measured(model: nn.Module, layers: dict[str, nn.Module], example_inputs: Sequence[Any]) -> set[str]:
    """The names of the layers that are faster as ours, on what reaches them from `example_inputs`."""
    inputs: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, arguments: Any, named: dict[str, Any], output: Any) -> None:
            inputs.setdefault(name, (*arguments, *named.values()))  # forward has them in this order

        return hook

    hooks = [layer.register_forward_hook(keep(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        with torch.no_grad(), _left_as_it_was(model):
            model(*example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return {name for name, given in inputs.items() if _is_faster(layers[name], given)}


def _is_faster(layer: nn.Module, arguments: Any) -> bool:
    theirs, ours = type(layer), OURS[type(layer)]

    def swap(kind: type[nn.Module]) -> None:
        layer.__class__ = kind

    try:
        return _compared(swap, theirs, ours, lambda: _step(layer, arguments))
    finally:
        layer.__class__ = theirs


def _helped(model: nn.Module, layers: list[Any], example_inputs: Sequence[Any]) -> bool:
    """Whether the whole model becomes faster: layers measured alone find their numbers nearer than among others."""
    kinds = [(layer, type(layer), OURS[type(layer)]) for layer in layers]

    def swap(ours: bool) -> None:
        for layer, its, our in kinds:
            layer.__class__ = our if ours else its

    try:
        with _left_as_it_was(model):
            return _compared(swap, False, True, lambda: _step(model, example_inputs), surely=1.0)
    finally:
        swap(False)


def _compared(
    swap: Callable[[Any], None], first: Any, second: Any, step: Callable[[], float], surely: float = SURELY
) -> bool:
    """Whether `step` takes less time after `swap(second)` than after `swap(first)`, in turns.

    The least and the middle time must say so: on a busy machine either alone may be chance.
    """
    seconds: dict[Any, list[float]] = {first: [], second: []}
    for kind in seconds:  # compiled and warm
        swap(kind)
        step()
    for _ in range(ROUNDS):
        for kind, found in seconds.items():
            swap(kind)
            found.append(step())
    return all(of(seconds[second]) < surely * of(seconds[first]) for of in (min, statistics.median))


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Running averages and the generator of random numbers move within, and not beyond."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:  # parameters do not change, and graphs that hold them stay valid
                buffer.copy_(before)


def _step(model: nn.Module, arguments: Sequence[Any]) -> float:
    """Seconds of a forward and a backward pass that leave no gradients behind."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    given = [_wanting_gradient(argument) for argument in arguments]
    wanted = [tensor for tensor in (*given, *parameters) if isinstance(tensor, torch.Tensor) and tensor.requires_grad]
    with torch.enable_grad():
        started = time.perf_counter()
        outputs = [tensor for tensor in tree_leaves(model(*given)) if _is_differentiable(tensor)]
        if outputs and wanted:
            ones = [torch.ones_like(output) for output in outputs]
            torch.autograd.grad(outputs, wanted, ones, allow_unused=True)
        return time.perf_counter() - started


def _wanting_gradient(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor) and (argument.is_floating_point() or argument.is_complex()):
        return argument.detach().requires_grad_()
    return argument


def _is_differentiable(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad
