"""The environment variables that convgrad reads, each in one place and checked.

CONVGRAD_NUM_THREADS   threads of one operation; else every core that affinity and cgroup leave
CONVGRAD_ISA           a lower instruction set than the CPU has: avx512, avx2, sse2, neon, generic
CONVGRAD_JIT           0: no compiled kernels, NumPy's BLAS computes everything
CONVGRAD_CACHE_DIR     where compiled kernels are kept; empty: nowhere
CONVGRAD_TUNING        the file of what `convgrad tune` measured; empty: none, and estimates decide

A call like one before is not planned again: set CONVGRAD_ISA and CONVGRAD_JIT before the first.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from .errors import UnsupportedError

VARIABLES = ("CONVGRAD_NUM_THREADS", "CONVGRAD_ISA", "CONVGRAD_JIT", "CONVGRAD_CACHE_DIR", "CONVGRAD_TUNING")

# lower to higher; a level may be forced on machines that have it or more
X86_LEVELS = ("generic", "sse2", "avx2", "avx512")
ARM_LEVELS = ("generic", "neon")


_here = threading.local()  # what adapters ask for on this thread


class at_most:  # noqa: N801
    """Inside, calls of this thread use so many threads, unless CONVGRAD_NUM_THREADS says otherwise.

    For adapters to libraries with a number of their own.

    >>> with at_most(1):
    ...     num_threads()
    1
    """

    __slots__ = ("before", "count")

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        self.before = getattr(_here, "threads", None)
        _here.threads = self.count

    def __exit__(self, *error: object) -> None:
        _here.threads = self.before


def num_threads() -> int | None:
    """Threads that were asked for, or None."""
    text = os.environ.get("CONVGRAD_NUM_THREADS", "")
    if not text:
        return getattr(_here, "threads", None)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise UnsupportedError("CONVGRAD_NUM_THREADS", text, "is no number of threads", "a whole number >= 1, or unset")
    return int(text)


def jit_enabled() -> bool:
    """Whether kernels may be compiled."""
    text = os.environ.get("CONVGRAD_JIT", "1")
    if text not in {"0", "1", ""}:
        raise UnsupportedError("CONVGRAD_JIT", text, "is neither on nor off", "0, 1, or unset")
    return text != "0"


def isa_limit() -> str | None:
    """The instruction set that was asked for, or None."""
    text = os.environ.get("CONVGRAD_ISA", "")
    known = sorted({*X86_LEVELS, *ARM_LEVELS})
    if text and text not in known:
        raise UnsupportedError(
            "CONVGRAD_ISA", text, "is no instruction set known here", f"{', '.join(known)}, or unset"
        )
    return text or None


def limit_isa(detected: str) -> str:
    """The level to print kernels for, at most the one that was detected."""
    wanted = isa_limit()
    if wanted is None:
        return detected
    offered = levels_of(detected)
    if wanted not in offered:
        rule = f"is no level that this CPU has (it has {detected})"
        raise UnsupportedError("CONVGRAD_ISA", wanted, rule, ", ".join(offered))
    return wanted


def levels_of(detected: str) -> tuple[str, ...]:
    """The levels that a CPU has, lowest first, given its highest."""
    levels = ARM_LEVELS if detected in ARM_LEVELS and detected != "generic" else X86_LEVELS
    return levels[: levels.index(detected) + 1]


def cache_dir() -> Path | None:
    """Where compiled kernels are kept; None for nowhere."""
    return _place("CONVGRAD_CACHE_DIR", "an absolute path, empty for no cache, or unset", _users_caches, "convgrad")


def tuning_file() -> Path | None:
    """Where tuned choices are kept; None for nowhere."""
    accepted = "an absolute path, empty for no tuned choices, or unset"
    return _place("CONVGRAD_TUNING", accepted, _users_settings, "convgrad/tuned.json")


def _place(variable: str, accepted: str, users: Callable[[Path], Path], name: str) -> Path | None:
    """The path that `variable` names, or `name` in a folder of the user's."""
    text = os.environ.get(variable)
    if text is not None:
        if text and not Path(text).is_absolute():
            raise UnsupportedError(
                variable, text, "is relative: another place after every change of directory", accepted
            )
        return Path(text) if text else None
    try:
        return users(Path.home()) / name
    except RuntimeError:  # no home
        return None


def _users_caches(home: Path) -> Path:
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if sys.platform == "win32":
        return _absolute("LOCALAPPDATA", home / "AppData" / "Local")
    return _absolute("XDG_CACHE_HOME", home / ".cache")


def _users_settings(home: Path) -> Path:
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    if sys.platform == "win32":
        return _absolute("APPDATA", home / "AppData" / "Roaming")
    return _absolute("XDG_CONFIG_HOME", home / ".config")


def _absolute(variable: str, default: Path) -> Path:
    # the XDG specification: a relative path is to be ignored
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else default
