"""Zarr arrays as Dask arrays. Chunks that are stored as plain numbers are read as they are, in one piece.

Zarr's own way through its codecs copies a chunk several times; where there is nothing to decode, a chunk's file is the
chunk, and reading it is the one copy that is needed.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingExtraError
from .cuts import ranges
from .libraries import DaskArray, new_array, tokenize

try:
    import zarr
except ImportError:
    raise MissingExtraError("zarr", "dask", "reading and writing Zarr arrays") from None

Index = tuple[int, ...]


def load(path: str | Path) -> DaskArray:
    """The Zarr array at `path`, lazily, in the chunks of the file.

    path: a folder that all workers see.   Raises InputError where there is no Zarr array.

    >>> import tempfile, zarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = zarr.create_array(folder, data=np.arange(5), chunks=2, overwrite=True)
    ...     load(folder).chunks, load(folder).compute()
    (((2, 2, 1),), array([0, 1, 2, 3, 4]))
    """
    source = opened(Path(path), "r")
    lengths = zip(source.shape, source.chunks, strict=True)
    chunks = tuple(tuple(min(c, size - at) for at in range(0, size, c)) or (0,) for size, c in lengths)
    name = f"load-{tokenize(str(Path(path).resolve()), source.metadata.to_dict())}"
    read = read_plain if is_plain(source) else read_decoded
    graph: dict[Any, Any] = {f"{name}-source": source}
    for index in itertools.product(*map(range, map(len, chunks))):
        box = tuple(slice(r[i].start, r[i].stop) for r, i in zip(map(ranges, chunks), index, strict=True))
        graph[(name, *index)] = (read, f"{name}-source", index, box)
    return new_array(graph, name, [], chunks, np.empty((0,) * source.ndim, source.dtype))


def opened(path: Path, mode: str) -> Any:
    """The Zarr array at `path`."""
    try:
        return zarr.open_array(str(path), mode=mode)
    except Exception as error:  # of as many kinds as there are things that are no Zarr arrays
        rule = f"is no Zarr array ({type(error).__name__})"
        raise InputError("path", str(path), rule, "the folder of a Zarr array") from None


def chunk_file(source: Any, index: Index) -> Path:
    """Where a chunk of a Zarr array in a folder lies."""
    return Path(source.store.root, source.path, source.metadata.encode_chunk_key(index))


def is_plain(source: Any) -> bool:
    """Whether the file of a chunk holds its numbers and nothing else, as this machine writes them."""
    if source.metadata.zarr_format != 3 or not isinstance(source.store, zarr.storage.LocalStore):
        return False
    coded = source.compressors or source.filters or source.shards
    endian = getattr(getattr(source.serializer, "endian", None), "value", None)
    return not coded and endian == sys.byteorder and source.dtype.kind in "iufc" and source.ndim > 0


def read_plain(source: Any, index: Index, box: tuple[slice, ...]) -> Any:
    """A chunk from its file; the last ones of an axis are stored as long as the others."""
    try:
        whole = np.fromfile(chunk_file(source, index), source.dtype).reshape(source.chunks)
    except FileNotFoundError:  # never written: the fill value
        return read_decoded(source, index, box)
    return whole[tuple(slice(0, side.stop - side.start) for side in box)]


def read_decoded(source: Any, index: Index, box: tuple[slice, ...]) -> Any:
    """A chunk through Zarr."""
    return np.asarray(source[box])
