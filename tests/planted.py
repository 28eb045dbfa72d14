"""Backends with one mistake each, as real ones have been found to make; `right` makes none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from convgrad.conformance.capabilities import Capabilities
from convgrad.conformance.oracle import tap_by_tap
from convgrad.geometry import Geometry
from convgrad.plan import ROLES

Array = Any
Mistake = Callable[[str, Array, Array, Geometry, Array], Array]
SHAPES = {"forward": "output_shape", "input_grad": "input_shape", "weight_grad": "weight_shape"}


def computed(role: str, a: Array, b: Array, g: Geometry) -> Array:
    stride, before, dilation = ([getattr(axis, name) for axis in g.axes] for name in ("stride", "before", "dilation"))
    return tap_by_tap(role, a, b, getattr(g, SHAPES[role]), stride, before, dilation, g.groups).astype(a.dtype)


class Planted:
    """A backend of three functions; `mistake` gets role, operands, geometry and the right result."""

    def __init__(self, mistake: Mistake, capabilities: Capabilities | None = None) -> None:
        self._mistake = mistake
        self.capabilities = capabilities or Capabilities(ranks=(1, 2))
        for role in ROLES:
            setattr(self, role, lambda a, b, g, role=role: mistake(role, a, b, g, computed(role, a, b, g)))


def whole(*arrays: Array) -> bool:
    return all((array == np.round(array)).all() for array in arrays)


def nudged(result: Array) -> Array:
    """Other bits, within any bound."""
    return result * result.dtype.type(1 + 2 * np.finfo(result.dtype).eps)


def flipped(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    return computed(role, a, np.flip(b, tuple(range(2, b.ndim))), g) if role != "weight_grad" else result


def wrong_with_groups(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    return np.roll(result, 1, axis=0 if role == "weight_grad" else 1) if g.groups > 1 else result


def no_tail(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    if role == "forward" and result.shape[-1] > 4 and result.shape[-1] % 4:
        result[..., -1] = 0
    return result


def aborts(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    if any(axis.dilation > 1 and axis.kernel > 1 for axis in g.axes):
        os.abort()
    return result


def hangs(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    if role == "weight_grad" and g.batch > 2:
        time.sleep(3600)
    return result


def devours(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    if role == "input_grad":
        np.zeros(1 << 40)
    return result


kept: list[Array] = []


def leaks(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    kept.append(np.ones(1 << 18))
    return result


calls = [0]


def unsteady(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    calls[0] += 1
    return result if whole(a, b) or calls[0] % 2 else nudged(result)


def by_batch(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    return result if whole(a, b) or g.batch == 1 else nudged(result)


def overwrites(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    a[..., 0] = 7
    return result


def refuses(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    if 1 in g.output_size:
        raise ValueError("one output\nis not supported")
    return result


def too_long(role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
    return np.concatenate([result, result]) if role == "forward" else result


class Threaded(Planted):
    """Its bits follow the number of threads, which it promises they do not."""

    def __init__(self) -> None:
        capabilities = Capabilities(ranks=(1,), threads=(1, 2, 4), promises=frozenset({"threads"}))
        super().__init__(self._split, capabilities)
        self._threads = 1

    def set_threads(self, count: int) -> None:
        self._threads = count

    def _split(self, role: str, a: Array, b: Array, g: Geometry, result: Array) -> Array:
        if self._threads == 1 or whole(a, b):
            return result
        return nudged(result)


right = Planted(lambda role, a, b, g, result: result)
flip = Planted(flipped)
groups = Planted(wrong_with_groups)
tail = Planted(no_tail)
abort = Planted(aborts)
hang = Planted(hangs)
memory = Planted(devours)
leak = Planted(leaks)
repeat = Planted(unsteady)
batch = Planted(by_batch, Capabilities(ranks=(1,), promises=frozenset({"batch"})))
inputs = Planted(overwrites)
error = Planted(refuses)
shape = Planted(too_long)
threads = Threaded()
