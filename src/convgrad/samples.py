"""Weight gradients of each image apart, and their squared norms without keeping them.

Each image is computed by the plan of a single one, so that its numbers do not depend on the images beside it; threads
share out the images. What clips gradients image by image, or measures their noise, needs nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import settings
from .errors import UnsupportedError
from .execute import execute, ready
from .machine import Machine
from .plan import Plan
from .threads import run as run_on_threads

Array = NDArray[Any]

REDUCTIONS = ("sum", "none", "sqnorm")


def each(plan: Plan, gy: Array, x: Array, out: Array) -> Array:
    """Fill out (N, OC, IC/groups, *K) with the weight gradient of every image; `plan` is that of one image."""
    compute = _one(plan, gy, x)

    def fill(images: itertools.count[int]) -> None:
        for n in _drawn(images, len(gy)):
            compute(gy[n : n + 1], x[n : n + 1], out[n])

    _share(fill, len(gy))
    return out


def squared_norms(plan: Plan, gy: Array, x: Array, out: Array) -> Array:
    """Fill out (N,) with the sum of the squared entries of the weight gradient of every image."""
    compute, shape, dtype = _one(plan, gy, x), plan.geometry.weight_shape, np.dtype(plan.dtype)

    def fill(images: itertools.count[int]) -> None:
        gw = np.empty(shape, dtype)  # of this thread
        for n in _drawn(images, len(gy)):
            compute(gy[n : n + 1], x[n : n + 1], gw)
            out[n] = _squared_norm(gw)

    _share(fill, len(gy))
    return out


def norm_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a squared norm: real."""
    return np.empty(0, dtype).real.dtype


def _squared_norm(gw: Array) -> Any:
    if gw.dtype.kind in "iu":
        exact = sum(int(number) ** 2 for number in gw.flat)
        if exact > np.iinfo(gw.dtype).max:
            rule = f"has the squared norm {exact}, and {gw.dtype.name} holds {np.iinfo(gw.dtype).max}"
            raise UnsupportedError("gw", "of an image", rule, "floats, as from gy.astype('float64')")
        return exact
    flat = np.ascontiguousarray(gw).reshape(-1)
    if flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    # blocks that stay in cache, added pairwise in float64
    blocks = [
        float(np.dot(part, part)) for part in (flat[i : i + 4096].astype("f8") for i in range(0, flat.size, 4096))
    ]
    return float(np.sum(blocks))


def _one(plan: Plan, gy: Array, x: Array) -> Callable[[Array, Array, Array], None]:
    """What computes one image: quickly, where the arrays lie well and it is small."""
    quick = ready(plan) if gy.flags.carray and x.flags.carray and gy.dtype == x.dtype == plan.dtype else None

    def compute(gy: Array, x: Array, gw: Array) -> None:
        if quick is None or not (gw.flags.carray and quick(gy, x, gw)):
            execute(plan, gy, x, gw)

    return compute


def _drawn(images: itertools.count[int], batch: int) -> Any:
    """The images that this thread draws until there are no more."""
    return iter(lambda: min(next(images), batch), batch)


def _share(fill: Callable[[itertools.count[int]], None], batch: int) -> None:
    """Let threads draw images; with fewer images than threads, each image has all the threads instead."""
    threads = settings.num_threads() or Machine.here().cores
    images, failed = itertools.count(), []

    def work(record: int) -> None:
        try:
            fill(images)
        except BaseException as error:
            stop()
            failed.append(error)

    def stop() -> None:
        for _ in range(batch):
            next(images)

    if batch < 2 * threads:
        fill(images)
        return
    run_on_threads(work, range(threads), lambda: False, stop)
    if failed:
        raise failed[0]
