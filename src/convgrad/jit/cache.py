"""Compiled kernels on disk: one file each, verified before it is believed, and never in the way.

Whatever is wrong with the folder or a file, the kernel is compiled instead; nothing here raises. A folder that others
can write is not used: what it holds would run as us.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import settings

MAGIC = b"convgrad object 1\n"
SUFFIX = ".cgo"
_HASH_BYTES = 32


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
    try:
        descriptor = os.open(folder / (key + SUFFIX), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not _is_ours(os.fstat(descriptor)):
                return None
            data = file.read()
    except OSError:
        return None
    start = len(MAGIC) + 2 * _HASH_BYTES
    head, code = data[:start], data[start:]
    return code if code and head == _head(key, code) else None


def write(key: str, code: bytes) -> None:
    """Keep `code` under `key`, whole or not at all, whoever else writes the same."""
    folder, refused = _folder(create=True)
    if folder is None or refused is not None:
        return
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")  # for us alone: mode 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head(key, code) + code)
        Path(temporary).replace(folder / (key + SUFFIX))
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def state() -> CacheState:
    """The folder as it stands."""
    folder, refused = _folder()
    sizes = []
    if folder is not None and refused is None:
        with contextlib.suppress(OSError):
            sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(SUFFIX)]
    return CacheState(folder, refused, len(sizes), sum(sizes))


def _head(key: str, code: bytes) -> bytes:
    return MAGIC + bytes.fromhex(key) + hashlib.sha256(code).digest()


def _folder(create: bool = False) -> tuple[Path | None, str | None]:
    """(folder, why it is not used)."""
    folder = settings.cache_dir()
    if folder is None:
        return None, "no folder: CONVGRAD_CACHE_DIR is empty, or there is no home"
    try:
        if create:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        return folder, f"not there ({error.strerror})"
    if not stat.S_ISDIR(found.st_mode):
        return folder, "not a folder of its own"
    if not _is_ours(found):
        return folder, "owned or writable by others"
    return folder, None


def _is_ours(found: os.stat_result) -> bool:
    if not hasattr(os, "getuid"):
        return True  # Windows: the user's own folder, guarded by its access list
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
