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


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does")
@pytest.mark.skipif(jit.available() is not None, reason=str(jit.available()))
@pytest.mark.parametrize("isa", settings.X86_LEVELS)
@pytest.mark.parametrize("algorithm", ["shifted", "fourier"])
def test_no_kernel_reads_or_writes_past_an_array(isa: str, algorithm: str) -> None:
    detected = Machine.here().isa
    if isa not in settings.X86_LEVELS[: settings.X86_LEVELS.index(detected) + 1 if detected != "neon" else 0]:
        pytest.skip(f"this CPU has {detected}, not {isa}")
    environment = {**os.environ, "CONVGRAD_ISA": isa, "CONVGRAD_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, PROGRAM, algorithm], check=False, env=environment)
    assert done.returncode == 0
