"""How results reach the disk: a file is there completely, or it is as it was before.

What the bytes mean is left to the callers: `checkpoint`, `picture`, `report`.
"""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from pathlib import Path

from ..errors import InputError


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: a reader, or a crash at any moment, sees the old file or the new one, never a part.

    Raises InputError where the folder cannot be written or the disk is full; the old file is then intact and
    no temporary file is left.
    """
    target = path.resolve()  # through a symbolic link: the file that it names is replaced, not the link
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode(target))
        temporary.replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise InputError(
            "path", str(path), f"cannot be written ({error.strerror or error})", "a writable folder with free space"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files of writers of `path` that were killed; nobody else may be writing it."""
    with contextlib.suppress(OSError):
        for leftover in path.resolve().parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            leftover.unlink()


def make_folder(path: Path) -> None:
    """Create the folder `path`, and its parents, unless it is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "path", str(path), f"cannot be created as a folder ({error.strerror or error})", "a folder, or a free name"
        ) from error


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, else those that `open` would give: `mkstemp` gives 0o600."""
    with contextlib.suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the rename survive a power cut; not every file system lets a folder be synced, and that is no failure."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
