"""Where a plan will run: one frozen record, read once, that the chooser receives as a value.

Tests pass a `Machine` of their own and get the same plan on any computer.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from . import settings

VECTOR_BITS = {"avx512": 512, "avx2": 256, "sse2": 128, "neon": 128}

# the features that each level of x86 kernels will use, widest first
_X86_LEVELS = {
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx2": {"avx2", "fma"},
    "sse2": {"sse2"},
}

_AMX = {"amx_tile", "amx_bf16", "avx512_bf16", "avx512_vbmi2"}


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts about a computer that a choice of algorithm may use."""

    isa: str  # widest instruction set with kernels: a key of VECTOR_BITS, or "generic"
    cores: int  # that this process may use
    cache_bytes: tuple[int, ...]  # per core, first level first; empty where unknown
    cpu: str = "unknown"
    amx: bool = False  # whether this process may use the tiles of bfloat16 (AMX)

    @staticmethod
    def here() -> Machine:
        """The machine that this process runs on, with the instruction set that CONVGRAD_ISA leaves."""
        return _detect(settings.isa_limit())


@functools.lru_cache(maxsize=8)
def _detect(asked: str | None) -> Machine:
    features, cpu = _cpu()
    isa = next((name for name, needed in _X86_LEVELS.items() if needed <= features), "generic")
    if platform.machine().lower() in {"arm64", "aarch64"}:
        isa = "neon"
    amx = isa == "avx512" and asked is None and features >= _AMX and amx_permission()
    return Machine(settings.limit_isa(isa), usable_cores(), _cache_bytes(), cpu, amx)


@functools.cache
def amx_permission() -> bool:
    """Whether the system lets this process use tile registers: asked for once, it may refuse.

    Linux saves the 8 KiB of tiles at a switch of tasks only for processes that have asked.
    Source: docs.kernel.org/arch/x86/xstate.html.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    try:
        refused: int = ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data)
        return refused == 0
    except (OSError, AttributeError):
        return False


def usable_cores() -> int:
    """Cores that the affinity mask and the cgroup's CPU quota leave to this process."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, _cgroup_cores()))


def _cgroup_cores() -> int:
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        return math.ceil(int(quota[0]) / int(quota[1]))
    return 1 << 16  # no quota


def _cpu() -> tuple[set[str], str]:
    """(feature names, model name), from the kernel where it tells."""
    features: set[str] = set()
    name = platform.processor() or platform.machine() or "unknown"
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags" and not features:
            features = set(value.split())
        elif key.strip() == "model name":
            name = value.strip()
    if not features and platform.machine().lower() in {"x86_64", "amd64"}:
        features = {"sse2"}  # part of every x86-64
    return features, name


def _cache_bytes() -> tuple[int, ...]:
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        size = _read(str(index / "size")).strip()
        if _read(str(index / "type")).strip() != "Instruction" and size.endswith("K"):
            sizes[_read(str(index / "level")).strip()] = int(size[:-1]) * 1024
    return tuple(sizes[level] for level in sorted(sizes))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
