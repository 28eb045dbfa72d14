"""The gradient check of a run: our layer and our gradients, on its trained parameters and real images, judged twice.

Against `definition`: the first convolution and its two gradients in float32, as they trained the network, on the very
arrays that meet there. Against finite differences: the derivative of the whole loss by every parameter array and by
the images, in float64. How the verdicts are shown is left to `page` and to the command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from autograd import grad
from numpy.typing import NDArray

from ... import definition
from ...api import compute, plan_for
from ...geometry import Axis, Geometry
from ..checkpoint import Checkpoint
from ..data import Dataset
from ..network import KERNEL, Network, Parameters, logits, loss

Array = NDArray[Any]

IMAGES = 8
PRODUCTS = 20_000  # of the definition, per role: it takes about 1 us for each
ENTRIES = 16  # of each array that are moved by a step
STEPS = (1e-6, 1e-7, 1e-8, 1e-9)  # the next is taken where the one before steps over a kink of ReLU or pooling
RELATIVE = 1e-5  # rounding leaves 1e-8, and 1e-6 with the last step; a gradient with a tap too few is beyond 1e-3
NOISE = 1e-2  # of the brightness of a pixel; takes the place of a parameter that is still exactly zero, as a bias may


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was compared with what, how far apart it was and how far it may be."""

    subject: str
    against: str  # "definition" or "finite differences"
    entries: int
    difference: float  # the largest absolute one
    error: float  # in `unit`
    limit: float  # in `unit`
    unit: str

    @property
    def passed(self) -> bool:
        return self.error <= self.limit  # NaN never is

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return f"{verdict:<6} {self.subject:<16} {self.error:.2g} of {self.limit:.2g} {self.unit}, by {self.against}"


def check_gradients(checkpoint: Checkpoint, dataset: Dataset) -> tuple[Check, ...]:
    """Every comparison for this network, on a few of its held-out images; none where there is no image at all.

    The labels are the network's second guesses: where it is sure and right, there is no gradient to speak of.
    """
    x = dataset.x_test if len(dataset.x_test) else dataset.x_train
    x = x[:IMAGES]
    if not x.size:
        return ()
    network, parameters = checkpoint.network, checkpoint.parameters
    y = np.argsort(logits(network, parameters, x), axis=1)[:, -min(2, network.classes)]
    return (
        *_against_definition(network, parameters, x, y),
        *_against_differences(network, parameters, x, y),
    )


def layer_geometry(size: tuple[int, int], weight: Array, batch: int) -> Geometry:
    """The convolution of a batch of images of this size by a layer's weight, padded as the network pads."""
    out_channels, in_channels, *_ = weight.shape
    axes = tuple(Axis(length, KERNEL, before=KERNEL // 2, after=KERNEL // 2) for length in size)
    return Geometry(batch, in_channels, out_channels, 1, axes)


def _against_definition(network: Network, parameters: Parameters, x: Array, y: Array) -> list[Check]:
    w = parameters["conv1.weight"]
    gy = _output_gradient(network, parameters, x, y)
    x, gy = _crop(x, gy, products_per_position=w.size)
    geometry = layer_geometry((x.shape[2], x.shape[3]), w, len(x))
    problems = {
        "forward": (definition.forward, x, w),
        "input_grad": (definition.input_grad, gy, w),
        "weight_grad": (definition.weight_grad, gy, x),
    }
    return [_compare(role, define, a, b, geometry) for role, (define, a, b) in problems.items()]


def _compare(role: str, define: Callable[[Array, Array, Geometry], Array], a: Array, b: Array, g: Geometry) -> Check:
    """One role against its sum, in the plan's own measure of error: eps times the sum of absolute values."""
    plan = plan_for(role, g, dtype=a.dtype)
    got = compute(role, g, a, b)
    exact = define(a.astype(np.float64), b.astype(np.float64), g)
    scale = np.finfo(got.dtype).eps * define(np.abs(a).astype(np.float64), np.abs(b).astype(np.float64), g)
    difference = np.abs(got - exact)
    # where nothing was added there is nothing to round: any difference there is infinitely many eps
    ratio = np.divide(difference, scale, out=np.where(difference > 0, np.inf, difference), where=scale > 0)
    unit = "eps x definition(|a|, |b|)"
    name = f"conv1 {role}"
    return Check(name, "definition", got.size, _largest(difference), _largest(ratio), plan.error_bound, unit)


def _output_gradient(network: Network, parameters: Parameters, x: Array, y: Array) -> Array:
    """dL/dy behind the first convolution, before its ReLU.

    It is the input gradient of the same network with a first layer that changes nothing: one centred 1 per channel.
    """
    w, bias = parameters["conv1.weight"], parameters["conv1.bias"]
    output = compute("forward", layer_geometry((network.height, network.width), w, len(x)), x, w)
    output += bias[:, None, None]
    identity = np.zeros((len(w), len(w), KERNEL, KERNEL), w.dtype)
    identity[np.arange(len(w)), np.arange(len(w)), KERNEL // 2, KERNEL // 2] = 1
    behind = {**parameters, "conv1.weight": identity, "conv1.bias": np.zeros_like(bias)}
    gy: Array = grad(lambda h: loss(replace(network, in_channels=len(w)), behind, h, y))(output)
    return gy.astype(output.dtype)


def _crop(x: Array, gy: Array, products_per_position: int) -> tuple[Array, Array]:
    """As many images, or else as large a piece from the middle of one, as the definition computes in good time."""
    positions = max(KERNEL**2, PRODUCTS // products_per_position)
    *_, height, width = x.shape
    side = math.isqrt(positions)
    rows, columns = min(height, max(side, positions // width)), min(width, max(side, positions // height))
    top, left = (height - rows) // 2, (width - columns) // 2
    images = max(1, positions // (rows * columns))
    cut = (slice(images), slice(None), slice(top, top + rows), slice(left, left + columns))
    return x[cut], gy[cut]


def _against_differences(network: Network, parameters: Parameters, x: Array, y: Array) -> list[Check]:
    """The derivative by each array beside what the loss does when one of its entries moves."""
    # on exact zeros and ties, as on empty paper, ReLU and pooling have no derivative: a little noise leads off them
    rng = np.random.default_rng(0)
    arrays = {name: value.astype(np.float64) for name, value in parameters.items()}
    for value in arrays.values():
        value[value == 0] = NOISE * rng.standard_normal(np.count_nonzero(value == 0))
    arrays["images"] = x + NOISE * rng.standard_normal(x.shape)

    def objective(arrays: Parameters) -> Array:
        return loss(network, arrays, arrays["images"], y)

    gradients = grad(objective)(arrays)
    return [_differentiate(name, objective, arrays, gradients[name]) for name in arrays]


def _differentiate(name: str, objective: Callable[[Parameters], Array], arrays: Parameters, gradient: Array) -> Check:
    # the steepest entry and a few others, the same ones in every run
    steepest = int(np.abs(gradient).argmax())
    others = np.random.default_rng(0).permutation(gradient.size)
    entries = [steepest, *others[others != steepest][: ENTRIES - 1]]

    def moved(entry: int, step: float) -> float:
        array = arrays[name].copy()
        array.flat[entry] += step
        return float(objective({**arrays, name: array}))

    scale = float(np.abs(gradient).max())
    differences = np.full(len(entries), np.inf)
    for place, entry in enumerate(entries):
        for step in STEPS:
            quotient = (moved(entry, step) - moved(entry, -step)) / (2 * step)
            scale = max(scale, abs(quotient))
            differences[place] = min(differences[place], abs(quotient - gradient.flat[entry]))
            if differences[place] <= RELATIVE * scale:
                break
    worst = _largest(differences)
    error = worst / scale if scale else worst
    return Check(name, "finite differences", len(entries), worst, error, RELATIVE, "x the largest gradient")


def _largest(values: Array) -> float:
    return float(values.max(initial=0))
