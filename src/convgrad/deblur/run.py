"""Deblurring step by step on the disk, within a limit of memory; a run that was stopped goes on where it was.

A folder holds the picture in slabs, the scene after the last step and, while a step is under way, the one before. A
step is done when the one before it has been deleted; a slab is done when its file is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dask import load, store
from ..dask.libraries import DaskArray, da
from ..errors import InputError
from ..train.files import make_folder, write_atomically
from .blur import Blur
from .iterations import next_psf, next_scene

Array = NDArray[Any]
Progress = Callable[[int, int, int], None]  # (step, slabs that are done, slabs)

LIBRARIES_BYTES = 400 << 20  # Python, NumPy, Dask, LLVM
SLABS_IN_MEMORY = 24  # of a thread: a step's arrays with their halos, and the next slab being read
SLABS_EACH = 4
LEAST_POSITIONS = 1 << 16  # of a slab that is cut for threads, not for memory


@dataclass(frozen=True, slots=True)
class Method:
    """What is done to an image."""

    steps: int = 20
    total_variation: float = 0.0
    blind: bool = False  # step the psf too


@dataclass(frozen=True, slots=True)
class Sharp:
    """The result of a run: the image (planes, 1, *size), lazily, and the psf."""

    planes: DaskArray
    psf: Array


def deblur(
    planes: DaskArray,
    psf: Array,
    work: Path,
    method: Method,
    *,
    memory: int = 2 << 30,
    threads: int = 1,
    progress: Progress = lambda step, done, slabs: None,
) -> Sharp:
    """The image that `psf` blurred into `planes` (planes, 1, *size).

    work: a folder for what is under way, some three times the size of the image in float32.
    memory: bytes that `threads` threads and the libraries may take.
    Raises InputError where `work` holds another run, or the psf does not fit the image.
    """
    size = planes.shape[2:]
    if any(k > s for k, s in zip(psf.shape, size, strict=True)):
        raise InputError("psf", str(psf.shape), f"is larger than the image of {size}", "a smaller one")
    blur = Blur(psf, tuple(s + k - 1 for s, k in zip(size, psf.shape, strict=True)))
    slab = slab_shape(blur.size, memory, threads)
    _claim(work, {"image": planes.name, "psf": _digest(psf), "slab": slab, **_without_steps(method)})
    picture = _picture(planes, work, slab)
    mean = float(picture.mean(dtype=np.float64).compute())
    first = _first_step(work)
    if first > method.steps + 1:
        raise InputError(
            "steps", str(method.steps), f"are done in {work}", f"at least {first - 1} steps, or another folder"
        )
    for step in range(first, method.steps + 1):
        before, blur = _state(work, step - 1, blur, planes.shape[0], slab, mean)

        def told(done: int, slabs: int, step: int = step) -> None:
            progress(step, done, slabs)

        lazy = next_scene(picture, before, blur, mean, method.total_variation)
        scene = store(lazy, _scene(work, step), compressors=None, progress=told)
        if method.blind:
            write_atomically(_psf(work, step), _npy(next_psf(picture, scene, blur, mean)))
        _forget(work, step - 1)
    scene, blur = _state(work, method.steps, blur, planes.shape[0], slab, mean)
    # where the psf's middle falls on: pixel i of the picture sees the scene around i + K - 1 - K // 2
    cropped = tuple(slice(k - 1 - k // 2, k - 1 - k // 2 + s) for k, s in zip(psf.shape, size, strict=True))
    return Sharp(scene[(slice(None), slice(None), *cropped)], blur.psf)


def finish(work: Path, sharp: Sharp, out: Path | None) -> Path | None:
    """Delete what was under way; with `out`, keep the psf beside it and say where."""
    kept = None
    if out is not None:
        kept = out.with_name(f"{out.name}.psf.npy")
        write_atomically(kept, _npy(sharp.psf))
    shutil.rmtree(work, ignore_errors=True)
    return kept


def slab_shape(size: tuple[int, ...], memory: int, threads: int) -> tuple[int, ...]:
    """Whole trailing axes, as many positions as may be in memory at once, and some slabs for every thread.

    >>> slab_shape((2000, 1024, 1024), memory=2 << 30, threads=2)
    (8, 1024, 1024)
    """
    left = max(0, memory - LIBRARIES_BYTES) // (4 * SLABS_IN_MEMORY * threads)
    left = max(1, min(left, max(LEAST_POSITIONS, math.prod(size) // (SLABS_EACH * threads))))
    slab = []
    for length in reversed(size):
        slab.append(max(1, min(length, left)))
        left //= slab[-1]
    return tuple(reversed(slab))


def _picture(planes: DaskArray, work: Path, slab: tuple[int, ...]) -> DaskArray:
    """The image on the disk: float32, in slabs, nothing below zero."""
    light = da.maximum(planes.astype(np.float32), np.float32(0))
    return store(light.rechunk((1, 1, *slab)), work / "picture.zarr", compressors=None)


def _state(
    work: Path, step: int, blur: Blur, planes: int, slab: tuple[int, ...], mean: float
) -> tuple[DaskArray, Blur]:
    """The scene after a step, and its blur."""
    if step == 0:
        return da.full((planes, 1, *blur.size), np.float32(mean), chunks=(1, 1, *slab), dtype=np.float32), blur
    if _psf(work, step).exists():
        blur = Blur(np.load(_psf(work, step)), blur.size)
    return load(_scene(work, step)), blur


def _first_step(work: Path) -> int:
    """The first step that is not done."""
    there = [step for path in work.glob("scene-*.zarr") if (step := int(path.stem.removeprefix("scene-")))]
    last = max(there, default=0)
    return last if last == 1 or last - 1 in there else last + 1


def _forget(work: Path, step: int) -> None:
    _psf(work, step).unlink(missing_ok=True)
    gone = work / f"done-{step}"  # by a rename: what is being deleted is no scene any more
    with contextlib.suppress(FileNotFoundError):
        _scene(work, step).rename(gone)
    for path in work.glob("done-*"):
        shutil.rmtree(path, ignore_errors=True)


def _claim(work: Path, run: dict[str, Any]) -> None:
    """Note which run the folder is of; an error if it is of another."""
    make_folder(work)
    note, text = work / "run.json", json.dumps(run, sort_keys=True)
    if not note.exists():
        if any(work.iterdir()):
            raise InputError("work", str(work), "holds other files", "an empty folder, or a free name")
        write_atomically(note, text.encode())
    elif note.read_text("utf-8") != text:
        raise InputError("work", str(work), "holds the work of another run", "the same options, or another folder")


def _without_steps(method: Method) -> dict[str, Any]:
    # a run may be told to go further
    return {name: value for name, value in asdict(method).items() if name != "steps"}


def _scene(work: Path, step: int) -> Path:
    return work / f"scene-{step}.zarr"


def _psf(work: Path, step: int) -> Path:
    return work / f"psf-{step}.npy"


def _npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _digest(array: Array) -> str:
    return hashlib.sha256(_npy(array)).hexdigest()
