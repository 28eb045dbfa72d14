"""PNG, TIFF and Zarr as Dask arrays of planes, and back: (planes, 1, *size), colours are planes.

A PNG is read and written as a whole; TIFF and Zarr piece by piece, whatever their size.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dask import load, store
from ..dask.libraries import DaskArray, da
from ..errors import InputError, MissingExtraError
from ..train.files import write_atomically

Array = NDArray[Any]

SUFFIXES = (".png", ".tif", ".tiff", ".zarr")
ACCEPTED = f"a file whose name ends in {', '.join(SUFFIXES)}"
ZARR_CHUNK = 1 << 22  # entries of a chunk that is written


@dataclass(frozen=True)
class Image:
    """An image of one, two or three axes, or of colours of two."""

    planes: DaskArray  # (planes, 1, *size), as stored
    dtype: np.dtype[Any]  # of the file
    colour: bool  # whether planes are the last axis of the file


def read_image(path: Path) -> Image:
    """The image at `path`, lazily. Raises InputError where there is none, or none of numbers."""
    kind = checked_suffix(path)
    if not path.exists():
        raise InputError("path", str(path), "does not exist", "an image")
    try:
        array, colour = {".png": _png, ".zarr": _zarr}.get(kind, _tiff)(path)
    except InputError:
        raise
    except Exception as error:  # of as many kinds as there are broken files
        raise InputError("path", str(path), f"cannot be read as {kind} ({error})", "an image of that format") from None
    if array.dtype.kind not in "uif" or not 1 <= array.ndim - colour <= 3 or 0 in array.shape:
        raise InputError(
            "path", str(path), f"holds {array.dtype} of shape {array.shape}", "numbers, on one to three axes"
        )
    planes = da.moveaxis(array, -1, 0) if colour else array[np.newaxis]
    return Image(planes[:, np.newaxis], array.dtype, colour)


def read_pixels(path: Path) -> Array:
    """A small image of one plane, as an array."""
    image = read_image(path)
    if image.planes.shape[0] != 1:
        raise InputError("path", str(path), "has colours", "shades of grey")
    return np.asarray(image.planes[0, 0].compute())


def write_image(path: Path, planes: DaskArray, like: Image, overwrite: bool = False) -> None:
    """Write planes (planes, 1, *size) as `like` was stored; whole numbers are rounded, and kept in their range.

    A PNG or TIFF is there completely, or as it was before.
    """
    kind = checked_suffix(path)
    dtype = like.dtype if like.dtype.kind in "ui" else np.dtype(np.float32)
    values = planes[:, 0]
    if dtype.kind in "ui":
        range_of = np.iinfo(dtype.name)
        # the largest float32 that is not above the range: for 32 bits the next one would wrap around
        highest = np.nextafter(np.float32(range_of.max), np.float32(0)) if dtype.itemsize > 2 else range_of.max
        values = da.clip(da.rint(values), range_of.min, highest)
    values = values.astype(dtype)
    array = da.moveaxis(values, 0, -1) if like.colour else values[0]
    if path.exists() and not overwrite:
        raise InputError("path", str(path), "exists", "a free name, or --overwrite")
    if kind == ".png":
        write_atomically(path, _png_bytes(path, array))
    elif kind == ".zarr":
        store(array.rechunk(_regular(array)), path, overwrite=overwrite)
    else:
        _write_tiff(path, array, like.colour)


def checked_suffix(path: Path) -> str:
    """The format that the name of a file says; an error if it says none."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise InputError("path", str(path), f"has the type {kind!r}", ACCEPTED)
    return kind


def _png(path: Path) -> tuple[DaskArray, bool]:
    image = _pillow().open(path)
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode not in {"L", "RGB", "I;16"}:
        raise InputError("path", str(path), f"has pixels of mode {image.mode}", "grey or RGB, without transparency")
    return da.from_array(np.asarray(image), chunks=-1), image.mode == "RGB"


def _png_bytes(path: Path, array: DaskArray) -> bytes:
    pixels = array.compute()
    fits = pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and pixels.ndim == 2)
    if not fits or pixels.ndim not in (2, 3):
        raise InputError("path", str(path), f"cannot hold {pixels.dtype} of shape {pixels.shape}", ".tif or .zarr")
    file = io.BytesIO()
    _pillow().fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _tiff(path: Path) -> tuple[DaskArray, bool]:
    series = _tifffile().TiffFile(path).series[0]
    store_of = series.aszarr()
    return da.from_zarr(store_of), series.axes.endswith("S")


def _write_tiff(path: Path, array: DaskArray, colour: bool) -> None:
    tifffile = _tifffile()
    page_axes = 3 if colour else min(2, array.ndim)

    def pages() -> Iterator[Array]:
        if array.ndim == page_axes:
            yield array.compute()
            return
        start = 0
        for length in array.chunks[0]:
            yield from array[start : start + length].compute()
            start += length

    unfinished = path.with_name(f".{path.name}.part")
    photometric = "rgb" if colour else "minisblack"
    large = array.nbytes > 1 << 31
    tifffile.imwrite(
        unfinished, pages(), shape=array.shape, dtype=array.dtype, photometric=photometric, bigtiff=large, metadata=None
    )
    unfinished.replace(path)


def _zarr(path: Path) -> tuple[DaskArray, bool]:
    return load(path), False


def _regular(array: DaskArray) -> tuple[int, ...]:
    """Chunks of one length along each axis: whole trailing axes, as many as fit."""
    chunks, left = [], ZARR_CHUNK
    for size in reversed(array.shape):
        chunks.append(max(1, min(size, left)))
        left //= chunks[-1]
    return tuple(reversed(chunks))


def _pillow() -> Any:
    try:
        from PIL import Image as Pillow
    except ImportError:
        raise MissingExtraError("pillow", "deblur", "PNG") from None
    return Pillow


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError:
        raise MissingExtraError("tifffile", "deblur", "TIFF") from None
    return tifffile
