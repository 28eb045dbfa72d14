"""Compiled kernels touch their arrays and nothing beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convgrad import settings
from convgrad.jit import compile as jit
from convgrad.machine import Machine

PROGRAM = Path(__file__).with_name("guard_pages.py")


pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does"),
    pytest.mark.skipif(jit.available() is not None, reason=str(jit.available())),
]


@pytest.mark.parametrize("isa", settings.X86_LEVELS)
@pytest.mark.parametrize("algorithm", ["shifted", "dense", "fourier"])
def test_no_kernel_reads_or_writes_past_an_array(isa: str, algorithm: str) -> None:
    detected = Machine.here().isa
    if algorithm == "dense" and isa in {"generic", "sse2"}:
        pytest.skip("they take the way of AVX2, without masks")
    if isa not in settings.X86_LEVELS[: settings.X86_LEVELS.index(detected) + 1 if detected != "neon" else 0]:
        pytest.skip(f"this CPU has {detected}, not {isa}")
    assert run(algorithm, CONVGRAD_ISA=isa) == 0


@pytest.mark.skipif(not Machine.here().amx, reason="this process has no matrix tiles (AMX)")
def test_tiles_read_and_write_nothing_past_an_array() -> None:
    assert run("tiles") == 0


def run(algorithm: str, **settings: str) -> int:
    environment = {**os.environ, **settings, "CONVGRAD_NUM_THREADS": "2"}
    return subprocess.run([sys.executable, PROGRAM, algorithm], check=False, env=environment).returncode
