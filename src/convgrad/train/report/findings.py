"""What the report tells, as numbers and arrays: how the network judged each held-out image, and what its filters see.

How any of it looks is left to `page`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from autograd import grad
from numpy.typing import NDArray

from ..checkpoint import Checkpoint
from ..data import Dataset
from ..network import KERNEL, activations, log_probabilities, loss

Array = NDArray[Any]

AT_ONCE = 1 << 18  # pixels in one pass through the network, so that a large held-out set needs little memory
FILTER_IMAGES = 2000  # images on which the filters are watched


@dataclass(frozen=True, slots=True)
class Judgement:
    """The network's word on every held-out image; rows are images, columns classes."""

    probabilities: Array
    truth: Array
    predicted: Array
    counts: Array  # confusion matrix: [true, predicted]

    @property
    def wrong(self) -> Array:
        """Indices of the images that it got wrong, those it was surest of first."""
        found = np.flatnonzero(self.predicted != self.truth)
        return found[np.argsort(-self.confidence[found], kind="stable")]

    @property
    def by_confidence(self) -> Array:
        """Indices of all images, those it was surest of first."""
        return np.argsort(-self.confidence, kind="stable")

    @property
    def confidence(self) -> Array:
        """The probability that each image's prediction was given."""
        return self.probabilities[np.arange(len(self.truth)), self.predicted]

    @property
    def accuracy(self) -> float:
        """Share of images that it got right; NaN where there are none."""
        return float((self.predicted == self.truth).mean()) if len(self.truth) else float("nan")


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of the first layer and what it answers to."""

    weight: Array  # (IC, KH, KW)
    image: int  # the held-out image with its strongest response
    position: tuple[int, int]  # (row, column) of that response
    response: Array  # (H, W) over that image, after the ReLU
    by_class: Array  # mean response per class; NaN where a class has no image

    @property
    def preference(self) -> Array:
        """By how much each class moves it more, or less, than the average of the classes: a share of that average."""
        average = np.nanmean(self.by_class)
        return np.nan_to_num(self.by_class / average - 1) if average > 0 else np.zeros_like(self.by_class)

    @property
    def answers(self) -> bool:
        """Whether any image moves it at all."""
        return bool(self.response.max(initial=0) > 0)


def judge(checkpoint: Checkpoint, dataset: Dataset) -> Judgement:
    """Every held-out image through the network."""
    classes = len(dataset.classes)
    x, truth = dataset.x_test, dataset.y_test
    found = [np.zeros((0, classes))]
    with np.errstate(all="ignore"):  # a network that diverged is reported, not warned about
        for chunk in _chunks(x):
            logs = log_probabilities(checkpoint.network, checkpoint.parameters, x[chunk])
            found.append(np.exp(logs.astype(np.float64)))
    probabilities = np.concatenate(found)
    predicted = probabilities.argmax(axis=1) if len(x) else np.zeros(0, np.int64)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return Judgement(probabilities, truth, predicted, counts)


def watch_filters(checkpoint: Checkpoint, dataset: Dataset) -> tuple[Filter, ...]:
    """What each filter of the first layer answers to among the held-out images; empty where there are none."""
    x, y = dataset.x_test[:FILTER_IMAGES], dataset.y_test[:FILTER_IMAGES]
    if not x.size:
        return ()
    weight = checkpoint.parameters["conv1.weight"]
    number = len(weight)
    sums = np.zeros((len(dataset.classes), number))
    strongest = np.full(number, -np.inf)
    images, responses = np.zeros(number, np.int64), np.zeros((number, *x.shape[2:]))
    for chunk in _chunks(x):
        h = np.nan_to_num(activations(checkpoint.network, checkpoint.parameters, x[chunk])["conv1"])
        np.add.at(sums, y[chunk], h.mean(axis=(2, 3)))
        peaks = h.max(axis=(2, 3))
        for f in np.flatnonzero(peaks.max(axis=0) > strongest):
            best = int(peaks[:, f].argmax())
            strongest[f], images[f], responses[f] = peaks[best, f], chunk.start + best, h[best, f]
    members = np.bincount(y, minlength=len(dataset.classes))[:, None]
    by_class = np.divide(sums, members, out=np.full_like(sums, np.nan), where=members > 0)
    places = [np.unravel_index(int(response.argmax()), response.shape) for response in responses]
    return tuple(
        Filter(weight[f], int(images[f]), (int(places[f][0]), int(places[f][1])), responses[f], by_class[:, f])
        for f in range(number)
    )


def window(position: tuple[int, int]) -> tuple[int, int]:
    """(top, left) in the image of the pixels behind a response at `position`; negative in the padding."""
    row, column = position
    return row - KERNEL // 2, column - KERNEL // 2


def pixel_gradients(checkpoint: Checkpoint, x: Array, y: Array) -> Array:
    """dL/dx of each image's own loss: (N, H, W), summed over channels; where ink would make the loss larger."""
    if not x.size:
        return np.zeros((len(x), *x.shape[2:]))
    network, parameters = checkpoint.network, checkpoint.parameters
    with np.errstate(all="ignore"):
        gx = grad(lambda images: loss(network, parameters, images, y) * len(images))(x)
    return np.asarray(gx.sum(axis=1))


def _chunks(x: Array) -> Iterator[slice]:
    step = max(1, AT_ONCE // max(1, x[:1].size))
    return (slice(first, min(first + step, len(x))) for first in range(0, len(x), step))
