"""What this machine can compute at most: multiply-adds in registers, measured and not looked up."""

from __future__ import annotations

import ctypes
import functools
import threading
import time

import numpy as np

from ..jit import compile as jit
from ..jit.targets import target_of
from ..machine import Machine

NAME = "convgrad_peak"
CHAINS = 12  # independent sums: as many as latency times ports needs
ROUNDS = 20_000
SECONDS = 0.05  # for which the best of many calls is taken


@functools.cache
def flops(dtype: str, threads: int) -> float | None:
    """Floating-point operations a second on so many threads at once; None where nothing can be compiled."""
    if jit.available() is not None:
        return None
    target = target_of(Machine.here().isa)
    element, itemsize = ("float", 4) if dtype == "float32" else ("double", 8)
    lanes = target.vector_bytes // itemsize
    kernel = jit.compile_kernel(NAME, text(element, lanes), target)
    results = [np.zeros(CHAINS * lanes, dtype) for _ in range(threads)]
    best = [np.inf] * threads
    barrier = threading.Barrier(threads)

    def run(number: int) -> None:
        place = results[number].ctypes.data_as(ctypes.c_void_p).value or 0
        barrier.wait()
        end = time.perf_counter() + SECONDS
        while (start := time.perf_counter()) < end:
            kernel.call(place)
            best[number] = min(best[number], time.perf_counter() - start)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(2 * CHAINS * lanes * ROUNDS / seconds for seconds in best)


def text(element: str, lanes: int) -> str:
    """The LLVM IR: `CHAINS` sums, each a chain of multiply-adds."""
    vector = f"<{lanes} x {element}>"
    short = f"llvm.fma.v{lanes}f{'32' if element == 'float' else '64'}"
    chains = range(CHAINS)
    begin = "\n".join(
        f"  %begin{k} = load {vector}, ptr %place{k}, align {4 if element == 'float' else 8}" for k in chains
    )
    places = "\n".join(f"  %place{k} = getelementptr {vector}, ptr %out, i64 {k}" for k in chains)
    phis = "\n".join(f"  %sum{k} = phi {vector} [ %begin{k}, %entry ], [ %next{k}, %loop ]" for k in chains)
    body = "\n".join(
        f"  %next{k} = call {vector} @{short}({vector} %sum{k}, {vector} %begin0, {vector} %begin1)" for k in chains
    )
    end = "\n".join(f"  store {vector} %next{k}, ptr %place{k}, align {4 if element == 'float' else 8}" for k in chains)
    return f"""\
; {NAME}: {element}
declare {vector} @{short}({vector}, {vector}, {vector})

define void @{NAME}(ptr %out) {{
entry:
{places}
{begin}
  br label %loop
loop:
  %round = phi i64 [ 0, %entry ], [ %round.next, %loop ]
{phis}
{body}
  %round.next = add i64 %round, 1
  %again = icmp ult i64 %round.next, {ROUNDS}
  br i1 %again, label %loop, label %done
done:
{end}
  ret void
}}
"""
