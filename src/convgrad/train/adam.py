"""Adam: how parameters follow their gradients. Pure functions of float32 arrays; `loop` decides when to call them.

Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Parameters = dict[str, Array]

MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's memory: steps taken, and per parameter the decaying mean of the gradients and of their squares."""

    steps: int
    mean: Parameters
    square: Parameters


def at_rest(parameters: Parameters) -> Moments:
    """The memory before the first step."""
    return Moments(
        0,
        {name: np.zeros_like(value) for name, value in parameters.items()},
        {name: np.zeros_like(value) for name, value in parameters.items()},
    )


def step(parameters: Parameters, gradients: Parameters, moments: Moments, rate: float) -> tuple[Parameters, Moments]:
    """Parameters and memory after one step of about `rate` along each coordinate, in the dtype of the parameters.

    >>> start = {"w": np.array([1, 1], "float32")}
    >>> moved, _ = step(start, {"w": np.array([3, -7], "float32")}, at_rest(start), rate=0.5)
    >>> moved["w"].round(6)      # the first step has the size of the rate, whatever the gradient's
    array([0.5, 1.5], dtype=float32)
    """
    steps = moments.steps + 1
    # Python floats, so that float32 stays float32
    mean_left, square_left = 1 - MEAN_DECAY**steps, 1 - SQUARE_DECAY**steps
    mean, square, moved = {}, {}, {}
    for name, value in parameters.items():
        g = gradients[name]
        mean[name] = MEAN_DECAY * moments.mean[name] + (1 - MEAN_DECAY) * g
        square[name] = SQUARE_DECAY * moments.square[name] + (1 - SQUARE_DECAY) * g * g
        moved[name] = value - rate * (mean[name] / mean_left) / (np.sqrt(square[name] / square_left) + EPSILON)
    return moved, Moments(steps, mean, square)
