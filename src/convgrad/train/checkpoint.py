"""A training run at the end of an epoch, on disk: all that is needed to go on, to predict and to report.

The file is an `.npz` of plain arrays with one JSON text, "meta". Nothing in it depends on time or machine: two runs
that computed the same bits write the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .adam import Moments
from .archive import pack, unpack
from .data import Preprocessing
from .files import write_atomically
from .network import Network, Parameters, shapes

Array = NDArray[Any]

FORMAT, SCHEMA = "convgrad model", 1
ACCEPTED = "a model.npz that `convgrad train` wrote"


@dataclass(frozen=True, slots=True)
class Config:
    """What decides the bits of a run, besides the network: equal configs and data give equal models."""

    seed: int
    epochs: int
    batch: int
    learning_rate: float
    augment: bool
    data: str
    fingerprint: str  # of the arrays after the split: `data.fingerprint`


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean cross-entropy and the share of right answers after an epoch, over both splits, without augmentation."""

    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after `len(history)` epochs."""

    network: Network
    parameters: Parameters
    moments: Moments
    history: tuple[Epoch, ...]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    config: Config


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint to `path`, atomically. Raises InputError where that fails; the old file is then intact."""
    meta = {
        "format": FORMAT,
        "schema": SCHEMA,
        "network": asdict(checkpoint.network),
        "preprocessing": asdict(checkpoint.preprocessing),
        "classes": checkpoint.classes,
        "config": asdict(checkpoint.config),
        "steps": checkpoint.moments.steps,
    }
    text = json.dumps(meta, indent=1, sort_keys=True).encode()
    history = [[e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy] for e in checkpoint.history]
    arrays: dict[str, Array] = {
        "meta": np.frombuffer(text, np.uint8),
        "history": np.array(history, "<f8").reshape(-1, 4),
    }
    for role, group in _groups(checkpoint).items():
        arrays |= {f"{role}/{name}": value.astype("<f4") for name, value in group.items()}
    write_atomically(path, pack(arrays))


def load(path: Path) -> Checkpoint:
    """The checkpoint at `path`, every number and shape of it checked. Raises InputError for any other file."""
    arrays = unpack(path, ACCEPTED)
    if "meta" not in arrays or arrays["meta"].dtype != np.uint8:
        _refuse(path, f"is an .npz file of something else: it holds {_some(arrays)}")
    try:
        meta = json.loads(arrays.pop("meta").tobytes())
    except ValueError:
        _refuse(path, "is damaged: its description is not JSON")
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        _refuse(path, "is an .npz file of something else: its description does not say that it is a convgrad model")
    if meta.get("schema") != SCHEMA:
        _refuse(path, f"has format version {meta.get('schema')!r}, and this convgrad reads {SCHEMA}")
    network, preprocessing, config, classes, steps = _described(path, meta)
    history = arrays.pop("history", np.empty(0))
    if history.ndim != 2 or history.shape[1] != 4 or history.dtype != np.float64 or not np.isfinite(history).all():
        _refuse(path, "is damaged: its history is not a table of four finite numbers per epoch")
    expected = {f"{role}/{name}" for role in ("parameters", "mean", "square") for name in shapes(network)}
    if set(arrays) != expected:
        odd = sorted(expected ^ set(arrays))[0]
        _refuse(path, f"is damaged: {odd!r} is {'missing' if odd in expected else 'not part of a model'}")
    groups = {role: _group(path, arrays, role, network) for role in ("parameters", "mean", "square")}
    return Checkpoint(
        network,
        groups["parameters"],
        Moments(steps, groups["mean"], groups["square"]),
        tuple(Epoch(*map(float, row)) for row in history),
        classes,
        preprocessing,
        config,
    )


def _groups(checkpoint: Checkpoint) -> dict[str, Parameters]:
    moments = checkpoint.moments
    return {"parameters": checkpoint.parameters, "mean": moments.mean, "square": moments.square}


def _described(path: Path, meta: dict[str, Any]) -> tuple[Network, Preprocessing, Config, tuple[str, ...], int]:
    try:
        network = _record(Network, {**meta["network"], "widths": tuple(meta["network"]["widths"])})
        preprocessing, config = _record(Preprocessing, meta["preprocessing"]), _record(Config, meta["config"])
        classes, steps = tuple(meta["classes"]), meta["steps"]
        if type(steps) is not int or steps < 0:
            raise ValueError("'steps'")
    except (KeyError, TypeError, ValueError) as error:
        _refuse(path, f"is damaged: its description lacks or garbles {error}")
    whole = [*network.widths, network.in_channels, network.height, network.width, network.classes, config.batch]
    if not all(isinstance(number, int) and 0 < number < 1 << 24 for number in whole) or not network.widths:
        _refuse(path, "is damaged: its network has sizes that are not positive whole numbers")
    if len(classes) != network.classes or not all(isinstance(name, str) for name in classes):
        _refuse(path, f"is damaged: {len(classes)} class names for {network.classes} classes")
    seen = (preprocessing.channels, preprocessing.height, preprocessing.width)
    if seen != (network.in_channels, network.height, network.width):
        _refuse(path, f"is damaged: it prepares images of {seen} for a network of other sizes")
    return network, preprocessing, config, classes, steps


def _record(kind: Any, fields: dict[str, Any]) -> Any:
    """A record of class `kind`, each field of the very type that it is declared with."""
    types = {"int": int, "float": float, "str": str, "bool": bool, "tuple[int, ...]": tuple}
    unknown = fields.keys() - kind.__annotations__.keys()
    if unknown:
        raise ValueError(f"{min(unknown)!r}")
    for name, declared in kind.__annotations__.items():
        if type(fields[name]) is not types[declared]:
            raise TypeError(f"{name!r}")
    return kind(**fields)


def _group(path: Path, arrays: dict[str, Array], role: str, network: Network) -> Parameters:
    group = {}
    for name, shape in shapes(network).items():
        value = arrays[f"{role}/{name}"]
        if value.shape != shape or value.dtype != np.float32:
            _refuse(path, f"is damaged: {role}/{name} is {value.dtype}{value.shape}, not float32{shape}")
        if not np.isfinite(value).all():
            _refuse(path, f"is damaged: {role}/{name} holds NaN or infinity")
        group[name] = value
    return group


def _some(arrays: dict[str, Array]) -> str:
    names = ", ".join(map(repr, list(arrays)[:3])) or "nothing"
    return names + (", ..." if len(arrays) > 3 else "")


def _refuse(path: Path, rule: str) -> NoReturn:
    raise InputError("model", str(path), rule, ACCEPTED)
