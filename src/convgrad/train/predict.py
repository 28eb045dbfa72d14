"""What a trained network says about a picture, and which pixels made it say so.

Drawing the second is left to `picture`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from autograd import grad
from numpy.typing import NDArray

from .checkpoint import Checkpoint
from .data import Preprocessing, border
from .images import network_input
from .network import log_probabilities

Array = NDArray[Any]

CLEAR_BORDER = 0.25  # nearer to mid-grey than this, the border says nothing about paper and ink


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture's result: the input that the network saw (1, C, H, W), and a probability per class."""

    path: Path
    x: Array
    inverted: bool
    probabilities: Array  # (classes,), float64
    best: int


def predict(checkpoint: Checkpoint, path: Path, invert: str = "auto") -> Prediction:
    """Read the picture at `path` as the network was trained to see it, and classify it.

    invert: "yes", "no", or "auto": when the border is bright where that of the training images was dark, or dark
    where it was bright.
    Raises InputError, naming the file, where it is no readable picture.
    """
    x = network_input(path, checkpoint.preprocessing)
    inverted = invert == "yes" or (invert == "auto" and looks_inverted(x, checkpoint.preprocessing))
    if inverted:
        x = 1 - x
    logs = log_probabilities(checkpoint.network, checkpoint.parameters, x.astype(np.float64))
    probabilities = np.exp(logs[0])
    return Prediction(path, x, inverted, probabilities, int(probabilities.argmax()))


def looks_inverted(x: Array, preprocessing: Preprocessing) -> bool:
    """Whether a grey image (1, 1, H, W) has its ink and paper exchanged: judged by the border, where that is clear."""
    usual, here = preprocessing.border, border(x)
    if preprocessing.channels != 1 or abs(usual - 0.5) < CLEAR_BORDER:
        return False
    return abs(here - (1 - usual)) < abs(here - usual)


def pixel_gradient(checkpoint: Checkpoint, x: Array, label: int) -> Array:
    """d log P(label) / dx: float64 (1, C, H, W), for an image x of that shape.

    In float64, because the gradient of a certain answer is far smaller than float32's 1 - P.
    """

    def certainty(x: Array) -> Array:
        chosen: Array = log_probabilities(checkpoint.network, checkpoint.parameters, x)[0, label]
        return chosen

    gradient: Array = grad(certainty)(x.astype(np.float64))
    return gradient
