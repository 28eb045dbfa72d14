"""The parent's side of a child process: asks it, waits no longer than allowed, and says how it ended.

A child is used again for the next case. One that dies, hangs or grows is replaced; that is a verdict and no error.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .case import Case
from .dialects.record import Dialect
from .judge import Verdict
from .script import PYTHON, environment_of

START_SECONDS = 180.0  # to import a framework on a busy machine
# glibc fills fresh memory with 0xC5 and freed memory with 0x3A: numbers that show in any sum
PERTURB = {"MALLOC_PERTURB_": str(0x3A)}
# threads of OpenMP that wait leave the cores to others: on a busy machine a case takes a fifth of the time
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
# glibc's checking allocator ends a process at the first block that was written past its end
DEBUG_ALLOCATOR = "libc_malloc_debug.so.0"
FOLDERS = ("/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case may take."""

    seconds: float = 10.0
    memory: int = 2 << 30  # bytes beyond those of the idle process
    growth: int = 1 << 30  # resident bytes after which a process is replaced and looked at for a leak
    leak: int = 64 << 10  # bytes a call that never come back


class Process:
    """One child for one backend and one instruction set."""

    def __init__(self, dialect: Dialect, isa: str, limits: Limits) -> None:
        self._limits = limits
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._buffer = b""
        command = [PYTHON, "-m", f"{__package__}.worker", dialect.name, str(limits.memory)]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**environment_of(dialect, isa), **PERTURB, **PATIENT, **_checking_allocator(dialect)},
            start_new_session=True,  # Ctrl-C is for the parent
        )
        answer = self._read(START_SECONDS)
        if isinstance(answer, Verdict):
            told = self._said()
            self.close()
            rule = f"its process does not start: {told or answer.message}"
            raise InputError("backend", dialect.name, rule, "a backend that imports")
        self.resident_at_start = self.resident = int(answer["resident"])

    def ask(self, task: str, case: Case, **options: Any) -> Any:
        """What the child found, or a Verdict where it did not answer."""
        request = json.dumps({"task": task, "case": case.to_json(), **options}) + "\n"
        pipe = self._child.stdin
        assert pipe is not None
        try:
            pipe.write(request.encode())
            pipe.flush()
        except BrokenPipeError:
            return self._death()
        answer = self._read(self._limits.seconds)
        if isinstance(answer, Verdict):
            return answer
        self.resident = int(answer["resident"])
        return answer["found"]

    @property
    def grown(self) -> bool:
        return self.resident - self.resident_at_start > self._limits.growth

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._stderr):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, seconds: float) -> Any:
        pipe = self._child.stdout
        assert pipe is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return Verdict("hang", f"no answer after {seconds:g} s")
                part = os.read(pipe.fileno(), 1 << 16)
                if not part:
                    return self._death()
                self._buffer += part
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def _death(self) -> Verdict:
        code = self._child.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        told = self._said()
        kind = "memory" if code == -signal.SIGKILL or "MemoryError" in told else "crash"
        return Verdict(kind, f"{how}: {told}" if told else how)

    def _said(self) -> str:
        """The telling line of what the child wrote to stderr."""
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().decode(errors="replace").splitlines()]
        trace = ("File ", "Current thread", "Thread 0x", "Extension modules")
        lines = [line for line in lines if line and not line.startswith(trace)]
        told = [line for line in lines if line.startswith(("free()", "malloc", "double free", "corrupted", "munmap"))]
        told += [line for line in lines if line.startswith("Fatal")]
        # glibc ends its line with nothing, and Python's goes on in it
        return (told or lines[-1:] or [""])[0].replace("Fatal Python error: Aborted", "")[:200]


def _checking_allocator(dialect: Dialect) -> dict[str, str]:
    # it ends NumPy itself after some hundred arrays without elements, whatever computes them
    if dialect.capabilities.empty:
        return {}
    found = [str(path) for path in (Path(folder) / DEBUG_ALLOCATOR for folder in FOLDERS) if path.exists()]
    if not found or os.environ.get("LD_PRELOAD"):
        return {}
    return {"LD_PRELOAD": found[0], "MALLOC_CHECK_": "3"}
