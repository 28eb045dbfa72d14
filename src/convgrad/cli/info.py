"""`convgrad info`: versions, the machine, and what convgrad found on it."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..jit.cache import CacheState
    from ..machine import Machine

HELP = "show versions, the machine and what was found on it"

LIBRARIES = ("numpy", "llvmlite", "autograd", "scipy", "pillow", "rich", "threadpoolctl", "torch", "jax")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    facts = gather()
    if args.json:
        print(json.dumps({"schema": 1, "command": "info", "config": {}, "result": facts}))
        return 0
    for heading, rows in facts.items():
        print(heading)
        for name, value in rows.items():
            print(f"  {name:<20} {value if value is not None else 'not installed'}")
    return 0


def gather() -> dict[str, dict[str, Any]]:
    """Versions, machine and algorithms, as plain values."""
    import platform
    from importlib import metadata

    import numpy as np

    from .. import __version__, settings
    from ..algorithms import ALGORITHMS
    from ..choose import WORKSPACE_LIMIT
    from ..jit import cache
    from ..jit import compile as jit
    from ..machine import Machine

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    machine = Machine.here()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "versions": {
            "convgrad": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": machine.cpu,
            "isa": machine.isa,
            "matrix tiles": "AMX, bfloat16" if machine.amx else "none, or not permitted, or CONVGRAD_ISA is set",
            "usable cores": machine.cores,
            "caches": ", ".join(f"{size >> 10} KiB" for size in machine.cache_bytes) or "unknown",
            "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        },
        "convgrad": {
            "algorithms": ", ".join(algorithm.name for algorithm in ALGORITHMS),
            "workspace": f"at most {WORKSPACE_LIMIT >> 20} MiB a thread and call",
            "kernels": jit.available() or f"compiled for {machine.isa}",
            "kernel cache": _cache_text(cache.state()),
            "tuned choices": _tuning_text(machine),
            "threads": settings.num_threads() or machine.cores,
        },
        "environment": {name: os.environ.get(name, "(not set)") for name in settings.VARIABLES},
    }


def _tuning_text(machine: Machine) -> str:
    from .. import settings, tuned

    path = settings.tuning_file()
    return f"{path}: {len(tuned.here().of(machine))} for this machine" if path else "none: CONVGRAD_TUNING is empty"


def _cache_text(state: CacheState) -> str:
    if state.refused is not None:
        return f"{state.folder or 'none'}: {state.refused}"
    return f"{state.folder}: {state.entries} kernels, {state.total_bytes >> 10} KiB"
