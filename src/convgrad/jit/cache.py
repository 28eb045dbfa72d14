"""Compiled kernels on disk: one file each, verified before it is believed, and never in the way.

Whatever is wrong with the folder or a file, the kernel is compiled instead; nothing here raises. A folder that others
can write is not used: what it holds would run as us.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import settings

MAGIC = b"convgrad object 2\n"  # the number is the format's: another one is another key, and no file of the old is read
SUFFIX = ".cgo"
UNFINISHED = SUFFIX + ".tmp"
LARGEST = 1 << 24  # bytes of a file that is read at all; kernels have some 20 KB

_HEAD = struct.Struct("<18s32sQ32s")  # magic, key, length of the object, SHA-256 of the object


@dataclass(frozen=True, slots=True)
class CacheState:
    """What `convgrad info` shows: the folder, why it is not used (None: it is), and what it holds."""

    folder: Path | None
    refused: str | None
    entries: int
    total_bytes: int


def digest(*parts: str) -> str:
    """The name under which an object is kept: a hash of all that it was made from."""
    mixed = hashlib.sha256(MAGIC)
    for part in parts:
        encoded = part.encode()
        mixed.update(len(encoded).to_bytes(8, "little") + encoded)
    return mixed.hexdigest()


def read(key: str) -> bytes | None:
    """The object kept under `key`; None where there is none that can be believed."""
    folder, refused = _folder()
    if folder is None or refused is not None:
        return None
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe is not waited for
    try:
        descriptor = os.open(folder / (key + SUFFIX), flags)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or not _is_ours(found) or found.st_size > LARGEST:
                return None
            data = file.read()
    except OSError:
        return None
    head, code = data[: _HEAD.size], data[_HEAD.size :]
    return code if code and head == _head(key, code) else None


def write(key: str, code: bytes) -> None:
    """Keep `code` under `key`, whole or not at all, whoever else writes the same."""
    folder, refused = _folder(create=True)
    if folder is None or refused is not None:
        return
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=UNFINISHED)  # for us alone: mode 0600
    except OSError:
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head(key, code) + code)
        Path(temporary).replace(folder / (key + SUFFIX))
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        if not isinstance(error, OSError):
            raise  # Ctrl-C, after cleaning up


def state() -> CacheState:
    """The folder as it stands."""
    folder, refused = _folder()
    sizes = [size for path, size in _files() if path.name.endswith(SUFFIX)]
    return CacheState(folder, refused, len(sizes), sum(sizes))


def clear() -> int:
    """Remove every object that is kept, and what broken-off writes left; returns how many objects went."""
    removed = 0
    for path, _ in _files():
        with contextlib.suppress(OSError):
            path.unlink()
            removed += path.name.endswith(SUFFIX)
    return removed


def _files() -> list[tuple[Path, int]]:
    """(path, bytes) of the files in the folder that are this module's."""
    folder, refused = _folder()
    found: list[tuple[Path, int]] = []
    if folder is None or refused is not None:
        return found
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((SUFFIX, UNFINISHED)):
                with contextlib.suppress(OSError):  # another process may have removed it just now
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False).st_size))
    return found


def _head(key: str, code: bytes) -> bytes:
    return _HEAD.pack(MAGIC, bytes.fromhex(key), len(code), hashlib.sha256(code).digest())


def _folder(create: bool = False) -> tuple[Path | None, str | None]:
    """(folder, why it is not used); a folder that is not there yet holds nothing and is no reason."""
    folder = settings.cache_dir()
    if folder is None:
        return None, "no folder: CONVGRAD_CACHE_DIR is empty, or there is no home"
    try:
        if create:
            _make(folder)
        found = folder.lstat()
    except FileNotFoundError:
        return folder, None
    except OSError as error:
        return folder, f"cannot be used ({error.strerror})"
    if not stat.S_ISDIR(found.st_mode):
        return folder, "not a folder of its own"
    if not _is_ours(found):
        return folder, "owned or writable by others"
    return folder, None


def _make(folder: Path) -> None:
    """`folder` and what it stands in, for us alone; `parents=True` would leave the parents to the umask."""
    missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    for place in reversed(missing):
        with contextlib.suppress(FileExistsError):  # made by another process meanwhile; the caller looks whose it is
            place.mkdir(mode=0o700)


def _is_ours(found: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True  # Windows: the user's own folder, guarded by its access list
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
