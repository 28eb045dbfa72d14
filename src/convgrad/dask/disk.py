"""Results on disk: a Dask array into a Zarr array, chunk by chunk, going on where it was stopped.

The state is what lies on the disk: a chunk's file appears whole, by a rename, or not at all. So a chunk that is there
is done, nothing else needs to be recorded, and whoever is killed loses only what was being computed.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..errors import GeometryError, InputError
from .libraries import DaskArray, compute, new_array
from .reading import Index, chunk_file, load, opened

Progress = Callable[[int, int], None]  # (chunks that are done, chunks)

MADE_OF = "convgrad_made_of"  # the attribute that holds the name of what is stored
SECONDS_BETWEEN_LOOKS = 0.2
_CONFIG = {"write_empty_chunks": True}  # a chunk of zeros is written like any other, so that it is seen to be done


def store(
    array: DaskArray,
    path: str | Path,
    *,
    overwrite: bool = False,
    at_once: int | None = None,
    compressors: Any = "auto",
    progress: Progress | None = None,
) -> DaskArray:
    """Compute `array` into a Zarr array at `path`, and return that as a Dask array.

    array: its chunks become those of the file: of one length along each axis, the last one at most as long.
    path: a folder that all workers see. Where it holds part of the same array, only what lacks is computed.
    overwrite: begin anew, whatever is there.
    at_once: chunks of one graph; fewer hold less in memory and read more borders twice. None: all.
    compressors: as for `zarr.create_array`; None stores plain numbers.
    progress: told (done, all) as chunks arrive, from another thread.
    Raises GeometryError for chunks that Zarr has not; InputError where `path` holds something else.

    Computed is with the scheduler that Dask would take: threads, or the workers of a `distributed.Client`.

    >>> import dask.array as da, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store(da.arange(5, chunks=2), f"{folder}/five.zarr").compute()
    array([0, 1, 2, 3, 4])
    """
    path = Path(path)
    target = _target(array, path, overwrite, compressors)
    for leftover in path.rglob("*.partial"):  # of a writer that was killed
        leftover.unlink(missing_ok=True)
    every = list(itertools.product(*map(range, array.numblocks)))
    missing = [index for index in every if not written(target, index)]
    with _watched(target, missing, len(every), progress):
        step = at_once or max(1, len(missing))
        for first in range(0, len(missing), step):
            _compute(array, target, missing[first : first + step])
    return load(path)


def written(target: Any, index: Index) -> bool:
    """Whether a chunk of a Zarr array lies in its folder."""
    return chunk_file(target, index).exists()


def write_chunk(target: Any, index: Index, chunk: Any) -> None:
    """Write one chunk, unless another worker did before it was lost."""
    if not written(target, index):
        lengths = target.chunks
        box = tuple(
            slice(place * length, place * length + size)
            for place, length, size in zip(index, lengths, chunk.shape, strict=True)
        )
        target[box] = chunk


def _compute(array: DaskArray, target: Any, indices: Any) -> None:
    name = f"store-{array.name}"
    graph = {(name, *index): (write_chunk, target, index, (array.name, *index)) for index in indices}
    layers = new_array(graph, name, [array], array.chunks, np.empty((0,) * array.ndim, object)).dask
    compute(layers, list(graph))


def _target(array: DaskArray, path: Path, overwrite: bool, compressors: Any) -> Any:
    """The Zarr array at `path`, new or begun."""
    _check_regular(array)
    if path.exists() and not overwrite:
        return _begun(array, path)
    return zarr.create_array(
        store=str(path),
        shape=array.shape,
        chunks=tuple(max(1, lengths[0]) for lengths in array.chunks),
        dtype=array.dtype,
        compressors=compressors,
        attributes={MADE_OF: array.name},
        overwrite=overwrite,
        config={
            "write_empty_chunks": True
        },  # a chunk of zeros is written like any other, so that it is seen to be done
    )


def _begun(array: DaskArray, path: Path) -> Any:
    accepted = "a free path, or overwrite=True"
    try:
        target = opened(path, "r+").with_config(_CONFIG)
    except InputError as error:
        raise InputError("path", str(path), f"exists and {error.rule}", accepted) from None
    if target.attrs.get(MADE_OF) != array.name:
        raise InputError("path", str(path), "holds another array than the one to be stored", accepted)
    return target


def _check_regular(array: DaskArray) -> None:
    for lengths in array.chunks:
        if any(length != lengths[0] for length in lengths[:-1]) or lengths[-1] > lengths[0]:
            fitting = tuple(max(lengths) for lengths in array.chunks)
            rule = "are not of one length with a shorter rest, as Zarr stores them"
            raise GeometryError("array.chunks", array.chunks, rule, f"array.rechunk({fitting}), or chunks={fitting}")


@contextlib.contextmanager
def _watched(target: Any, missing: list[Index], count: int, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` what lies on the disk, until the block ends."""
    if progress is None:
        yield
        return
    waiting, over = set(missing), threading.Event()
    progress(count - len(waiting), count)

    def look() -> None:
        ended = False
        while not ended:
            ended = over.wait(SECONDS_BETWEEN_LOOKS)
            found = {index for index in waiting if written(target, index)}
            waiting.difference_update(found)
            if found:
                progress(count - len(waiting), count)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
