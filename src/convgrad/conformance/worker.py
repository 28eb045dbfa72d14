"""The child process: `python -m convgrad.conformance.worker BACKEND MEMORY` answers one request a line, in JSON.

What the backend prints goes to stderr, and so does the trace of a crash; the answers have a descriptor of their own.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import dialects, measure
from .case import Case
from .diagnose import diagnose
from .judge import Bench


def main(backend: str, memory: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()
    bench = Bench(dialects.find(backend))
    limit_memory(memory)
    tasks: dict[str, Callable[..., Any]] = {
        "judge": lambda case: _judged(bench, case),
        "repeat": lambda case, times: _growth(bench, case, times),
        "diagnose": lambda case: diagnose(bench, case),
        "threads": lambda case, counts: measure.thread_dependence(bench, case, counts),
        "batch": lambda case: measure.batch_dependence(bench, case),
        "ulps": lambda case: measure.ulps(bench, case),
    }
    print(json.dumps({"ready": True, "resident": resident_bytes()}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        found = tasks[request.pop("task")](Case.from_json(request.pop("case")), **request)
        print(json.dumps({"found": found, "resident": resident_bytes()}), file=answers)


def _judged(bench: Bench, case: Case) -> dict[str, str]:
    verdict = bench.judge(case)
    return {"kind": verdict.kind, "message": verdict.message}


def _growth(bench: Bench, case: Case, times: int) -> int:
    """Bytes by which this process grows over some runs, after as many to warm up."""
    a, b = bench.operands(case)
    for _ in range(times):
        bench.compute(case, a, b)
    before = resident_bytes()
    for _ in range(times):
        bench.compute(case, a, b)
    return resident_bytes() - before


def limit_memory(memory: int) -> None:
    """Let this process allocate `memory` bytes more than it has; allocations beyond that fail."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        # not the address space: libraries reserve much of it that they never touch
        limit = _status("VmData:") + memory
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def resident_bytes() -> int:
    """Memory of this process, 0 where the system does not tell."""
    try:
        return _status("VmRSS:")
    except OSError:
        return 0


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
