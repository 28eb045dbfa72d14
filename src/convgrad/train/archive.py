"""`.npz` files: deterministic bytes out, and nothing trusted on the way in.

Which arrays a file must hold is left to `data` and `checkpoint`.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[Any]

LARGEST = 8 << 30  # bytes unpacked: what claims more is damage or an attack rather than data for this trainer


def pack(arrays: dict[str, Array]) -> bytes:
    """The bytes of an `.npz` with these arrays: equal arrays give equal bytes, today and tomorrow."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: no clock gets into the file
            entry.create_system = 3  # nor the operating system
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def unpack(path: Path, accepted: str) -> dict[str, Array]:
    """The arrays in the `.npz` at `path`; checksums are verified and pickled objects are refused.

    accepted: what the caller would take, for the messages.
    Raises InputError for whatever else the file may be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > LARGEST:
                rule = f"unpacks to {total >> 20} MiB, more than the {LARGEST >> 20} MiB that are read"
                raise InputError("path", str(path), rule, accepted)
            return {name.removesuffix(".npy"): _member(path, archive, name, accepted) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise InputError("path", str(path), f"is no .npz file, or a damaged one ({error})", accepted) from None
    except OSError as error:
        raise InputError("path", str(path), f"cannot be read ({error.strerror or error})", accepted) from None


def _member(path: Path, archive: zipfile.ZipFile, name: str, accepted: str) -> Array:
    if not name.endswith(".npy"):
        raise InputError("path", str(path), f"is a zip file with {name!r} in it, which is no array", accepted)
    try:
        stream = BytesIO(archive.read(name))  # whole, so that the checksum is compared
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    except zipfile.BadZipFile:
        raise
    except ValueError as error:
        why = "holds pickled objects" if "allow_pickle" in str(error) else f"is damaged ({_first_line(error)})"
        raise InputError("path", str(path), f"the array {name.removesuffix('.npy')!r} {why}", accepted) from None
    except Exception as error:  # zlib, the header's parser and the allocator each raise their own
        rule = f"the array {name.removesuffix('.npy')!r} is damaged ({type(error).__name__}: {_first_line(error)})"
        raise InputError("path", str(path), rule, accepted) from None
    return array


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120]
