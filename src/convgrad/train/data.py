"""Where training images come from, and which of them are held out.

`idx` reads MNIST's format and `images` reads pictures; this file recognises which is meant, checks arrays, scales
them to about 0..1 and splits them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[Any]

ACCEPTED = '"digits", an .npz file with x and y, or a folder of IDX files or of one folder of images per class'
ACCEPTED_ARRAYS = (
    "x (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, and y (N,) whole numbers or texts; "
    "or x_train, y_train, x_test, y_test"
)
HELD_OUT = 0.2
LARGEST_SIDE = 64  # pixels: larger pictures are reduced to it
SPLIT_STREAM = 0x5B117  # keeps the draws of the split apart from those of the training


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes network input: channels, size, and the brightness to expect at its border."""

    channels: int
    height: int
    width: int
    scale: float  # raw values of the training data times this are about 0..1
    border: float  # mean brightness of the outermost pixels in training, scaled: tells an inverted scan


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images float32 (N, C, H, W) of about 0..1, and their classes int64 (N,), in two parts."""

    name: str
    classes: tuple[str, ...]
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class Labelled:
    """Raw images (N, C, H, W) and the label of each, as a reader found them."""

    x: Array
    y: Array  # (N,), whole numbers or texts


def load(source: str, seed: int) -> Dataset:
    """The data set that `source` names, a fifth of each class held out unless the source has a test part.

    Raises InputError, naming the file, for what is missing, damaged or no classification data.

    >>> digits = load("digits", seed=0)
    >>> digits.x_train.shape, digits.x_test.shape
    ((1438, 1, 8, 8), (359, 1, 8, 8))
    """
    if source == "digits":
        return _from_npz(Path(__file__).with_name("digits.npz"), "digits", seed)
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, seed)
    if not path.exists():
        raise InputError("data", source, "there is no such file or folder", ACCEPTED)
    if path.suffix.lower() != ".npz":
        raise InputError("data", source, f"is a file of type {path.suffix or 'unknown'!r}", ACCEPTED)
    return _from_npz(path, path.name, seed)


def fingerprint(dataset: Dataset) -> str:
    """A hash of every image and label, of the split and of the class names: equal means the same training data."""
    digest = hashlib.sha256(repr((dataset.classes, dataset.x_train.shape, dataset.x_test.shape)).encode())
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _from_npz(path: Path, name: str, seed: int) -> Dataset:
    from .archive import unpack

    arrays = unpack(path, ACCEPTED_ARRAYS)
    if {"x", "y"} <= set(arrays):
        parts = [_checked(path, arrays, "x", "y")]
    elif {"x_train", "y_train", "x_test", "y_test"} <= set(arrays):
        parts = [_checked(path, arrays, "x_train", "y_train"), _checked(path, arrays, "x_test", "y_test")]
    else:
        found = ", ".join(map(repr, list(arrays)[:6])) or "nothing"
        _refuse(path, f"holds {found}, so that images and labels are not both there", ACCEPTED_ARRAYS)
    return _dataset(path, name, parts, seed)


def _from_folder(folder: Path, seed: int) -> Dataset:
    from . import idx, images

    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        _refuse(folder, f"cannot be read ({error.strerror or error})", "a readable folder")
    name = folder.resolve().name
    if any(map(idx.holds_images, names)):
        return _dataset(folder, name, [Labelled(*pair) for pair in idx.read_folder(folder, names)], seed)
    found = images.read_folder(folder)
    return _dataset(folder, name, [Labelled(found.x, found.y)], seed)


def _checked(path: Path, arrays: dict[str, Array], x_name: str, y_name: str) -> Labelled:
    """Arrays of an .npz as (N, C, H, W) images and (N,) labels, or an error that says what is wrong with them."""
    x, y = arrays[x_name], arrays[y_name]
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # the column that some libraries write
    if x.dtype.kind not in "buif":
        _refuse(path, f"{x_name} has dtype {x.dtype}, which is no brightness", ACCEPTED_ARRAYS)
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = np.moveaxis(x, 3, 1)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        _refuse(path, f"{x_name} has shape {arrays[x_name].shape}, which is no stack of images", ACCEPTED_ARRAYS)
    if y.shape != (len(x),):
        _refuse(path, f"{y_name} has shape {y.shape}, but {x_name} holds {len(x)} images", f"y of shape ({len(x)},)")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))[0])
        _refuse(path, f"{x_name} holds NaN or infinity, first in image {bad}", "finite brightness")
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "buiU":
        _refuse(path, f"{y_name} has dtype {y.dtype}, or values that are not whole", "whole numbers or texts")
    return Labelled(x, y)


def _dataset(path: Path, name: str, parts: list[Labelled], seed: int) -> Dataset:
    """Scale, name the classes, split: `parts` is everything, or training and held-out images."""
    first = parts[0]
    labels, counts = np.unique(first.y, return_counts=True)
    classes = tuple(str(label) for label in labels.tolist())
    if len(classes) < 2:
        have = f"class {classes[0]!r} only" if classes else "no image"
        _refuse(path, f"holds {have}, so that there is nothing to tell apart", "images of at least 2 classes")
    y = np.searchsorted(labels, first.y).astype(np.int64)
    scale = _scale(first.x)
    x = _scaled(first.x, scale)
    if len(parts) == 2:
        second = parts[1]
        unknown = sorted(set(second.y.tolist()) - set(labels.tolist()))
        if unknown:
            _refuse(path, f"class {unknown[0]!r} is in the test part only", "the same classes in both parts")
        if second.x.shape[1:] != first.x.shape[1:]:
            _refuse(path, f"test images are {second.x.shape[1:]}, but training images {first.x.shape[1:]}", "one size")
        split = (x, y, _scaled(second.x, scale), np.searchsorted(labels, second.y).astype(np.int64))
    else:
        if counts.min() < 2:
            alone = classes[int(counts.argmin())]
            _refuse(path, f"class {alone!r} has a single image", "two or more: one to learn from, one held out")
        held_out = _held_out(y, len(classes), seed)
        split = (x[~held_out], y[~held_out], x[held_out], y[held_out])
    channels, height, width = x.shape[1:]
    return Dataset(name, classes, *split, Preprocessing(channels, height, width, scale, border(split[0])))


def border(x: Array) -> float:
    """Mean of the outermost pixels of images (..., H, W)."""
    inner = np.zeros(x.shape[-2:], bool)
    inner[1:-1, 1:-1] = True
    return float(x[..., ~inner].mean(dtype=np.float64))


def _scale(x: Array) -> float:
    """What brings brightness to about 0..1: bits and 0..1 stay, 8-bit values go by 255, others by their largest."""
    largest = float(np.abs(x).max()) if x.dtype.kind != "b" else 1.0
    if largest <= 1:
        return 1.0
    return 1 / (255.0 if 16 < largest <= 255 else largest)


def _scaled(x: Array, scale: float) -> Array:
    return np.ascontiguousarray(x, dtype=np.float32) * np.float32(scale)


def _held_out(y: Array, classes: int, seed: int) -> NDArray[np.bool_]:
    """A mask over y: a fifth of each class, at least one, drawn by the seed."""
    rng = np.random.default_rng([seed, SPLIT_STREAM])
    mask = np.zeros(len(y), bool)
    for label in range(classes):
        members = rng.permutation(np.flatnonzero(y == label))
        mask[members[: max(1, round(len(members) * HELD_OUT))]] = True
    return mask


def _refuse(path: Path, rule: str, accepted: str) -> NoReturn:
    raise InputError("data", str(path), rule, accepted)
