"""`accelerate` and `restore`: the convolution layers of a model, swapped in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .layers import OURS

Filter = Callable[[nn.Module, str], bool]
THEIRS = {ours: theirs for theirs, ours in OURS.items()}
ROUNDS = 5  # of a measurement, of which the least counts
SURELY = 0.97  # of torch's time, so that noise swaps no layer


def accelerate(
    model: nn.Module, filter_fn: Filter | None = None, *, example_inputs: Sequence[Any] | None = None
) -> list[str]:
    """Let convgrad compute the convolution layers of a model, where it is faster.

    model: changed in place; parameters, buffers, hooks and optimizers keep their objects, because only the class of a
    layer changes.
    filter_fn: called with each layer and its name; those for which it is true are swapped. `lambda layer, name: True`
    swaps all.
    example_inputs: arguments of `model`: every layer is measured, forwards and backwards, both ways, on what reaches
    it, and swapped where ours took less time. The model runs once for that, and its state is left as it was.
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
    if example_inputs is not None:
        faster = _measured(model, dict(found), example_inputs)
        found = [(name, layer) for name, layer in found if name in faster]
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
    return bool(
        layer.weight.dtype == torch.float64
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
        def hook(layer: nn.Module, arguments: Any, output: Any) -> None:
            inputs.setdefault(name, arguments)

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(*example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
        model.load_state_dict(state)  # running averages have moved
    return {name for name, given in inputs.items() if _is_faster(layers[name], given)}


def _is_faster(layer: nn.Module, arguments: Any) -> bool:
    theirs, ours = type(layer), OURS[type(layer)]
    least = dict.fromkeys((theirs, ours), float("inf"))
    try:
        for kind in (theirs, ours):  # compiled and warm
            layer.__class__ = kind
            _step(layer, arguments)
        for _ in range(ROUNDS):
            for kind in (theirs, ours):
                layer.__class__ = kind
                least[kind] = min(least[kind], _step(layer, arguments))
    finally:
        layer.__class__ = theirs
    return least[ours] < SURELY * least[theirs]


def _step(layer: nn.Module, arguments: Any) -> float:
    """Seconds of a forward and a backward pass that leave no gradients behind."""
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    first, *others = arguments
    x = first.detach().requires_grad_(first.is_floating_point())
    with torch.enable_grad():
        started = time.perf_counter()
        y = layer(x, *others)
        torch.autograd.grad(y, [x, *parameters], torch.ones_like(y))
        return time.perf_counter() - started
