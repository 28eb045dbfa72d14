"""Small pictures as PNG data URIs, made to look right on a light page and on a dark one.

What means nothing (no ink, no weight, no response) is transparent, so that the page shows through: ink is black
and the stylesheet inverts it in the dark, blue and orange stand on both. Which picture means what is left to `page`.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# told apart by every common kind of colour blindness, and readable on white and on near-black
BLUE, ORANGE = (38, 118, 196), (226, 116, 18)

GAP = 2  # between the images of a mosaic

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG colour type: grey, grey + alpha, RGB, RGB + alpha


def picture(image: Array, ink: str) -> str:
    """An image (C, H, W) of values about 0..1, as the page shows it; NaN is no image at all, and transparent.

    ink: "bright" or "dark" where that side is the writing and the other one is paper, "none" for photographs.
    """
    there = ~np.isnan(image[0])
    levels = np.clip(np.nan_to_num(image), 0, 1)
    if ink != "none":
        alpha = (levels[0] if ink == "bright" else 1 - levels[0]) * there
        return data_uri(_bytes(np.stack([np.zeros_like(alpha), alpha], axis=-1)))
    shown = levels if levels.shape[0] == 3 else levels.mean(axis=0, keepdims=True)
    layers = [*shown] if there.all() else [*shown, there]
    return data_uri(_bytes(np.stack(layers, axis=-1)))


def signed(values: Array, most: float | None = None) -> str:
    """Values (H, W): orange where positive, blue where negative, transparent at zero, full colour at `most`."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    strength = np.abs(values) / _scale(values, most)
    colour = np.where((values < 0)[..., None], BLUE, ORANGE) / 255
    return data_uri(_bytes(np.concatenate([colour, strength[..., None]], axis=-1)))


def planes(values: Array) -> Array:
    """Planes (C, H, W) side by side with one empty column between them: (H, C*W + C-1)."""
    gap = np.zeros((*values.shape[:2], 1))
    row = np.concatenate([values, gap], axis=2)
    return np.concatenate(list(row), axis=1)[:, :-1]


def reduced(images: Array, most: int) -> Array:
    """Images (..., H, W) averaged over whole blocks until neither side is longer than `most`."""
    *rest, height, width = images.shape
    side = block(images, most)
    if side == 1 or min(height, width) < side:  # small enough, or a strip thinner than one block
        return images[..., ::side, ::side]
    rows, columns = height // side, width // side
    cut = images[..., : rows * side, : columns * side]
    return np.asarray(cut.reshape(*rest, rows, side, columns, side).mean(axis=(-3, -1)))


def block(images: Array, most: int) -> int:
    """The side of the blocks that `reduced` averages over."""
    longest: int = max(images.shape[-2:])
    return -(-longest // most)


def mosaic(images: Array, columns: int) -> Array:
    """Images (N, C, H, W) as one picture, row by row, GAP positions apart; NaN where there is none."""
    number, channels, height, width = images.shape
    rows = -(-number // columns)
    sheet = np.full((channels, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.nan)
    for place, image in enumerate(images):
        top, left = place // columns * (height + GAP), place % columns * (width + GAP)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Pixels (H, W, channels) as the `src` of an image element."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, channels) as a PNG file: a signature, a header, compressed rows, an end."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    unfiltered = np.zeros((height, 1), np.uint8)  # each row begins with the number of its filter
    rows = np.concatenate([unfiltered, pixels.reshape(height, -1)], axis=1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _bytes(levels: Array) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(levels, 0, 1) * 255), np.uint8)


def _scale(values: Array, most: float | None) -> float:
    largest = float(np.abs(values).max(initial=0)) if most is None else most
    return largest if largest > 0 and np.isfinite(largest) else 1.0
