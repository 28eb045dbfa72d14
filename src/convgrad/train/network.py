"""The network as a value: which layers, their parameters, what they compute and the loss.

    conv 3x3, ReLU, max pool 2   ...   conv 3x3, ReLU, max pool 2   ->   dense   ->   softmax

One convolution per entry of `widths`. The last is always pooled, the others while the image is larger than 8, so
that 8x8 scans and 64x64 photographs go through the same lines. The convolution is ours, everything else is
autograd's NumPy; `loop` decides how the parameters move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError
from ..layer import initial_bias, initial_weight

try:
    import autograd.numpy as anp
except ImportError:
    raise MissingExtraError("autograd", "train", "training") from None

from ..autograd import conv

Array = NDArray[Any]
Parameters = dict[str, Array]

KERNEL = 3
POOLED_ABOVE = 8  # an image of at most 8 pixels meets all convolutions but the last at full size


@dataclass(frozen=True, slots=True)
class Network:
    """An architecture: images of (in_channels, height, width), one convolution per width, so many classes."""

    in_channels: int
    height: int
    width: int
    classes: int
    widths: tuple[int, ...]


def default_widths(height: int, width: int) -> tuple[int, ...]:
    """Two convolutions; three where the image is so large that two leave many positions to the dense layer."""
    return (32, 64) if max(height, width) <= 32 else (16, 32, 64)


def sizes(network: Network) -> list[tuple[int, int]]:
    """(height, width) that each convolution sees, and at the end the one that the dense layer sees.

    >>> sizes(Network(1, 28, 28, 10, (16, 32)))
    [(28, 28), (14, 14), (7, 7)]
    >>> sizes(Network(1, 8, 8, 10, (16, 32)))
    [(8, 8), (8, 8), (4, 4)]
    """
    seen = [(network.height, network.width)]
    for layer in range(len(network.widths)):
        height, width = seen[-1]
        pooled = layer == len(network.widths) - 1 or min(height, width) > POOLED_ABOVE
        seen.append(((height + 1) // 2, (width + 1) // 2) if pooled else (height, width))
    return seen


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, in the order in which an image meets them.

    >>> shapes(Network(1, 8, 8, 10, (16,)))["dense.weight"]
    (10, 256)
    """
    found: dict[str, tuple[int, ...]] = {}
    channels = network.in_channels
    for layer, width in enumerate(network.widths, start=1):
        found[f"conv{layer}.weight"] = (width, channels, KERNEL, KERNEL)
        found[f"conv{layer}.bias"] = (width,)
        channels = width
    height, width = sizes(network)[-1]
    found["dense.weight"] = (network.classes, channels * height * width)
    found["dense.bias"] = (network.classes,)
    return found


def initial_parameters(network: Network, rng: np.random.Generator) -> Parameters:
    """Parameters to start from, float32: what keeps the size of a signal through ReLU ("he"), biases zero."""
    parameters = {}
    for name, shape in shapes(network).items():
        kind = "lecun" if name.startswith("dense") else "he"
        start = initial_bias(shape, kind, rng) if name.endswith("bias") else initial_weight(shape, 1, kind, rng)
        parameters[name] = start.astype(np.float32)
    return parameters


def logits(network: Network, parameters: Parameters, x: Array) -> Array:
    """Scores (N, classes) of images x (N, C, H, W): before the softmax, in the dtype of x and the parameters."""
    return _through(network, parameters, x, lambda name, h: None)


def activations(network: Network, parameters: Parameters, x: Array) -> Parameters:
    """What each convolution answers to images x, after its ReLU: "conv1": (N, widths[0], H, W), ..."""
    kept: Parameters = {}
    _through(network, parameters, x, kept.__setitem__)
    return kept


def log_probabilities(network: Network, parameters: Parameters, x: Array) -> Array:
    """Logarithm of the softmax of `logits`: (N, classes)."""
    z = logits(network, parameters, x)
    z = z - _highest(z, axis=1, keepdims=True)  # so that the exponentials stay finite
    logs: Array = z - anp.log(anp.sum(anp.exp(z), axis=1, keepdims=True))
    return logs


def loss(network: Network, parameters: Parameters, x: Array, y: Array) -> Array:
    """Mean cross-entropy between the softmax of `logits` and the classes y (N,)."""
    logs = log_probabilities(network, parameters, x)
    chosen = (np.arange(network.classes) == y[:, None]).astype(logs.dtype)
    mean: Array = -anp.sum(logs * chosen) / len(y)  # not anp.mean: its gradient is float64
    return mean


def _through(network: Network, parameters: Parameters, x: Array, visit: Callable[[str, Array], None]) -> Array:
    passed = sizes(network)
    h = x
    for layer in range(len(network.widths)):
        name = f"conv{layer + 1}"
        h = conv(h, parameters[f"{name}.weight"], parameters[f"{name}.bias"], padding=KERNEL // 2)
        h = h * (h > 0)  # ReLU; not anp.maximum: its gradient is float64
        visit(name, h)
        if passed[layer + 1] != passed[layer]:
            h = _max_pool(h)
    h = anp.reshape(h, (len(x), -1))
    scores: Array = anp.dot(h, parameters["dense.weight"].T) + parameters["dense.bias"]
    return scores


def _max_pool(h: Array) -> Array:
    """The largest of each 2x2 window; an odd rest is filled with zeros, which change no maximum after a ReLU."""
    images, channels, height, width = h.shape
    if height % 2 or width % 2:
        h = anp.pad(h, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), mode="constant")
    windows = anp.reshape(h, (images, channels, (height + 1) // 2, 2, (width + 1) // 2, 2))
    return _highest(windows, axis=(3, 5))


def _highest(h: Array, axis: int | tuple[int, ...], keepdims: bool = False) -> Array:
    # autograd shares the gradient of a maximum between equals, in float64; `astype` hands it back in h's dtype
    highest: Array = anp.max(h.astype(h.dtype), axis=axis, keepdims=keepdims)
    return highest
