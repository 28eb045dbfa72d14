"""The environment variables that convgrad reads, each in one place and checked.

CONVGRAD_NUM_THREADS   threads of one operation; else every core that affinity and cgroup leave
CONVGRAD_ISA           a lower instruction set than the CPU has: avx512, avx2, sse2, neon, generic
CONVGRAD_JIT           0: no compiled kernels, NumPy's BLAS computes everything
CONVGRAD_CACHE_DIR     where compiled kernels are kept; empty: nowhere

A call like one before is not planned again: set CONVGRAD_ISA and CONVGRAD_JIT before the first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import UnsupportedError

VARIABLES = ("CONVGRAD_NUM_THREADS", "CONVGRAD_ISA", "CONVGRAD_JIT", "CONVGRAD_CACHE_DIR")

# lower to higher; a level may be forced on machines that have it or more
X86_LEVELS = ("generic", "sse2", "avx2", "avx512")
ARM_LEVELS = ("generic", "neon")


def num_threads() -> int | None:
    """Threads that were asked for, or None."""
    text = os.environ.get("CONVGRAD_NUM_THREADS", "")
    if not text:
        return None
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
    text = os.environ.get("CONVGRAD_CACHE_DIR")
    if text is not None:
        if text and not Path(text).is_absolute():
            rule = "is relative: another folder after every change of directory"
            raise UnsupportedError("CONVGRAD_CACHE_DIR", text, rule, "an absolute path, empty for no cache, or unset")
        return Path(text) if text else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "convgrad"
    if sys.platform == "win32":
        return _absolute("LOCALAPPDATA", home / "AppData" / "Local") / "convgrad"
    return _absolute("XDG_CACHE_HOME", home / ".cache") / "convgrad"


def _absolute(variable: str, default: Path) -> Path:
    # the XDG specification: a relative path is to be ignored
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else default
