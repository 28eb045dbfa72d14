"""Small problems without Python: compiled code from XLA's frame to the result.

Per problem there is a closure of four addresses, and a function of two instructions that hands it on with the frame;
the code that does the work is one for all. What it cannot do, it leaves to the function in Python.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import execute
from ..jit import compile as jit
from ..jit.builtin import DATA_OFFSET
from ..jit.targets import target_of
from ..machine import Machine
from ..plan import Plan
from .frame import BUFFER_DATA, EXECUTE, FRAME

NAME, TRAMPOLINE = "convgrad_xla", "convgrad_xla_problem"
STAND_IN_BYTES = DATA_OFFSET + 8


@dataclass(frozen=True, slots=True)
class Handler:
    """A function for XLA, and what it reads."""

    address: int
    kept: tuple[object, ...]


def available() -> bool:
    """Whether there are kernels at all."""
    return jit.available() is None


def handler(plan: Plan, fallback: int) -> Handler | None:
    """The function of a small problem; None where there is none. fallback: the address of one that can do all."""
    call = execute.native(plan)
    if call is None:
        return None
    target = target_of(Machine.here().isa)
    closure = np.array([call.entry.address, _address(call.state), _address(_lock()), fallback], np.int64)
    all_ = jit.compile_kernel(NAME, text(), target)
    trampoline = jit.compile_here(TRAMPOLINE, trampoline_text(all_.address, _address(closure)), target)
    return Handler(trampoline.address, (call, closure, trampoline))


@functools.cache
def _lock() -> NDArray[np.int64]:
    """One word, which is 1 while a call is under way."""
    return np.zeros(1, np.int64)


def _address(array: NDArray[np.int64]) -> int:
    start: int = array.__array_interface__["data"][0]
    return start


def trampoline_text(code: int, closure: int) -> str:
    return f"""\
define ptr @{TRAMPOLINE}(ptr %frame) {{
  %error = tail call ptr inttoptr (i64 {code} to ptr)(ptr %frame, ptr inttoptr (i64 {closure} to ptr))
  ret ptr %error
}}
"""


def text() -> str:
    """The code for all problems: `ptr (frame, closure)`, null for success."""

    def pointer(name: str, base: str, offset: int) -> str:
        return f"  %{name}.at = getelementptr i8, ptr %{base}, i64 {offset}\n  %{name} = load ptr, ptr %{name}.at\n"

    stand_ins = "".join(
        pointer(f"buffer{k}", "results" if k == 2 else "arguments", 0 if k == 2 else 8 * k)
        + pointer(f"data{k}", f"buffer{k}", BUFFER_DATA)
        + f"  %array{k} = getelementptr i8, ptr %arrays, i64 {k * STAND_IN_BYTES}\n"
        + f"  %holds{k} = getelementptr i8, ptr %array{k}, i64 {DATA_OFFSET}\n"
        + f"  store ptr %data{k}, ptr %holds{k}\n"
        + f"  %place{k} = getelementptr ptr, ptr %row, i64 {k}\n"
        + f"  store ptr %array{k}, ptr %place{k}\n"
        for k in range(3)
    )
    return f"""\
; {NAME}: a small problem in a program of XLA

define ptr @{NAME}(ptr %frame, ptr %closure) {{
entry:
  %arrays = alloca i8, i64 {3 * STAND_IN_BYTES}, align 8
  %row = alloca ptr, i64 3, align 8
  %done = alloca i64, align 8
{pointer("extension", "frame", FRAME["extension"])}  %plain = icmp eq ptr %extension, null
  br i1 %plain, label %stages, label %python
stages:
  %stage.at = getelementptr i8, ptr %frame, i64 {FRAME["stage"]}
  %stage = load i32, ptr %stage.at
  %now = icmp eq i32 %stage, {EXECUTE}
  br i1 %now, label %open, label %end
open:
{pointer("lock", "closure", 16)}  %pair = cmpxchg ptr %lock, i64 0, i64 1 acquire monotonic
  %mine = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %mine, label %work, label %python
work:
{pointer("run", "closure", 0)}{pointer("state", "closure", 8)}{pointer("arguments", "frame", FRAME["arguments"])}\
{pointer("results", "frame", FRAME["results"])}{stand_ins}  call void %run(ptr %state, ptr %row, ptr %done)
  store atomic i64 0, ptr %lock release, align 8
  %answer = load i64, ptr %done, align 8
  %whole = icmp ne i64 %answer, 0
  br i1 %whole, label %end, label %python
python:
{pointer("fallback", "closure", 24)}  %error = call ptr %fallback(ptr %frame)
  ret ptr %error
end:
  ret ptr null
}}
"""
