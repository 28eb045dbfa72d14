"""MNIST's file format, IDX: big-endian, a magic number with type and rank, the extents, the bytes; may be gzipped.

Source: http://yann.lecun.com/exdb/mnist, "file formats for the MNIST database".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[Any]

UNSIGNED_BYTE = 0x08
ACCEPTED = "IDX files as MNIST has them, train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or .gz"
HELD_OUT_WORDS = ("t10k", "test")


def holds_images(name: str) -> bool:
    """Whether a file name says "IDX images", as in train-images-idx3-ubyte.gz or t10k-images.idx3-ubyte."""
    return "images" in name and "idx3" in name


def read_folder(folder: Path, names: list[str]) -> list[tuple[Array, Array]]:
    """(images (N, 1, H, W), labels (N,)) of the training files among `names`, then of the test files if any."""
    images = [name for name in names if holds_images(name)]
    test = [name for name in images if any(word in name for word in HELD_OUT_WORDS)]
    train = [name for name in images if name not in test]
    if len(train) != 1 or len(test) > 1:
        rule = f"holds {len(train)} files of training images and {len(test)} of test images"
        raise InputError("data", str(folder), rule, ACCEPTED)
    return [_pair(folder, name, names) for name in train + test]


def read(path: Path, rank: int) -> Array:
    """The array in an IDX file of unsigned bytes with `rank` axes."""
    data = _bytes(path)
    if len(data) < 4 or data[:2] != b"\0\0":
        _refuse(path, f"begins with {data[:4].hex(' ') or 'nothing'}, which is no IDX file's magic number")
    if data[2] != UNSIGNED_BYTE or data[3] != rank:
        _refuse(path, f"has the magic number {data[:4].hex(' ')}, but {rank}-D bytes have 00 00 08 {rank:02x}")
    header = 4 + 4 * rank
    if len(data) < header:
        _refuse(path, f"ends after {len(data)} bytes, inside its header of {header}")
    shape = struct.unpack(f">{rank}I", data[4:header])
    expected = header + math.prod(shape)
    if len(data) != expected:
        how = "is truncated" if len(data) < expected else "has bytes left over"
        _refuse(path, f"{how}: shape {shape} needs {expected} bytes, and there are {len(data)}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _pair(folder: Path, images: str, names: list[str]) -> tuple[Array, Array]:
    stem = images.split("images")[0]
    labels = [name for name in names if name.startswith(f"{stem}labels") and "idx1" in name]
    if len(labels) != 1:
        rule = f"has images in {images!r} and {len(labels)} files of labels for them"
        raise InputError("data", str(folder), rule, ACCEPTED)
    x, y = read(folder / images, 3), read(folder / labels[0], 1)
    if len(x) != len(y):
        _refuse(folder / labels[0], f"holds {len(y)} labels, but {images!r} holds {len(x)} images")
    if 0 in x.shape:
        _refuse(folder / images, f"holds images of shape {x.shape}")
    return x[:, None], y


def _bytes(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read()
        return path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        _refuse(path, f"is damaged: it does not unpack ({error})")
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror or error})")


def _refuse(path: Path, rule: str) -> NoReturn:
    raise InputError("data", str(path), rule, ACCEPTED)
