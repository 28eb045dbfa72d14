"""Run as a program: every array ends where its page ends, and the next page must not be touched.

A kernel that reads or writes one element too far ends this process with SIGSEGV; `test_memory` looks at its exit code.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import ml_dtypes  # noqa: F401  gives NumPy bfloat16
import numpy as np
from oracles import DEFINITIONS, excess
from strategies import whole_numbers

from convgrad.algorithms import shifted
from convgrad.choose import choose
from convgrad.execute import execute, ready
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse

TEXTS = (
    "n1 ic2 oc7 i7x9 k3x3 p1",
    "n1 ic5 oc13 i17 k4 s3 p2+1",
    "n3 ic4 oc4 i7x5x6 k2x3x2 g4",
    "n2 ic2 oc3 i33x2 k5x1 d3 p4x0",
    "n1 ic5 oc6 i13x11 k1x1",
    "n1 ic1 oc1 i21x20 k5x5 p2",
    "n1 ic2 oc2 i401x9 k3x3 p1",
)
DTYPES = {
    "shifted": ("float32", "float64"),
    "dense": ("float32", "float64"),  # shifted, with vectors along rows everywhere
    "fourier": ("float32", "float64"),
    "tiles": ("float32", "bfloat16"),
}
_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[mmap.mmap] = []


def guarded(array: np.ndarray, at_the_start: bool) -> np.ndarray:
    """A copy that begins right after a forbidden page, or ends right before one."""
    page = mmap.PAGESIZE
    inner = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, inner + 2 * page)
    _kept.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for forbidden in (start, start + page + inner):
        if _libc.mprotect(ctypes.c_void_p(forbidden), page, 0) != 0:
            sys.exit(77)
    offset = page if at_the_start else page + inner - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def main(algorithm: str) -> None:
    name = algorithm
    if algorithm == "dense":
        shifted._is_dense = lambda *_: True  # type: ignore[attr-defined]
        name = "shifted"
    for text in TEXTS:
        for dtype in DTYPES[algorithm]:
            problem = whole_numbers(parse(text), np.random.default_rng(1), dtype)
            for role in ROLES:
                plan = choose(role, problem.geometry, dtype, Machine.here(), name)
                for at_the_start in (False, True):
                    a, b = (guarded(array, at_the_start) for array in problem.arguments(role))
                    out = guarded(np.full(problem.result_shape(role), np.nan, dtype), at_the_start)
                    execute(plan, a, b, out)
                    again = guarded(np.full_like(out, np.nan), at_the_start)
                    run = ready(plan)
                    if run is not None and not run(a, b, again):
                        sys.exit(2)
                    wide = (array.astype("float64") for array in problem.arguments(role))
                    expected = DEFINITIONS[role](*wide, problem.geometry).astype("float32").astype(dtype)
                    if run is not None and not np.array_equal(again, out):
                        sys.exit(3)
                    exact = plan.error_scale == "entry"
                    if not np.array_equal(out, expected) and (exact or excess(out, plan, a, b).max() > 1):
                        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
