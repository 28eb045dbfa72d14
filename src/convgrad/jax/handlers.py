"""Our kernels as foreign functions of XLA: one for each problem, which is known when a program is compiled.

XLA calls a function of C with a frame that holds the addresses of arguments and result. Three kinds can serve it:

    native     small problems: compiled code of ours, from the frame to the result without Python (`native`)
    ctypes     all others, and what native code hands back: Python wraps the addresses and runs the plan
    callback   where frames do not look as expected, which is tried once in every process: `jax.pure_callback`
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import sys
import traceback
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.interpreters import mlir

from .. import api, spelling
from ..execute import execute
from ..geometry import Geometry
from ..plan import Plan
from . import native
from .frame import fail, is_question, pointers

SHAPES = {
    "forward": ("input_shape", "weight_shape", "output_shape"),
    "input_grad": ("output_shape", "weight_shape", "input_shape"),
    "weight_grad": ("output_shape", "input_shape", "weight_shape"),
}

_HANDLER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_registered: dict[str, Any] = {}  # what XLA may call, for as long as the process lives


def handler() -> str:
    """How XLA reaches our kernels here: "native", "ctypes" or "callback".

    >>> handler() in ("native", "ctypes", "callback")
    True
    """
    if not _frames_are_as_expected():
        return "callback"
    return "native" if native.available() else "ctypes"


def lower(role: str, ctx: Any, a: Any, b: Any, *, geometry: Geometry) -> Any:
    """What a primitive becomes in a program for CPUs."""
    dtype = np.dtype(ctx.avals_out[0].dtype)
    if not _frames_are_as_expected():
        called_back = functools.partial(_call_back, role, geometry=geometry)
        return mlir.lower_fun(called_back, multiple_results=False)(ctx, a, b)
    name = _name(role, geometry, dtype)
    if name not in _registered:
        _register(name, *_handler(role, geometry, dtype))
    return jax.ffi.ffi_lowering(name)(ctx, a, b)


def _name(role: str, geometry: Geometry, dtype: np.dtype[Any]) -> str:
    """The same in every process, because JAX keeps compiled programs on the disk."""
    text = f"{role} {dtype.name} {spelling.spell(geometry)} {geometry!r}"
    return f"convgrad.{role}.{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _register(name: str, function: Any, *kept: Any) -> None:
    _registered[name] = function, kept
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function), platform="cpu")


def _handler(role: str, geometry: Geometry, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The function for XLA, and what it needs to stay in memory."""
    plan = _plan(role, geometry, dtype)
    python = _HANDLER(_python(plan, dtype, [getattr(geometry, name) for name in SHAPES[role]]))
    if native.available():
        fast = native.handler(plan, ctypes.cast(python, ctypes.c_void_p).value or 0)
        if fast is not None:
            return _HANDLER(fast.address), fast, python
    return python, plan


def _plan(role: str, geometry: Geometry, dtype: np.dtype[Any]) -> Plan:
    """As for arrays of this dtype."""
    none = np.empty(0, dtype)
    return api._plan(role, geometry, none, none, "3m", False, None)


def _python(plan: Plan, dtype: np.dtype[Any], shapes: list[tuple[int, ...]]) -> Callable[[int], int]:
    def run(frame: int) -> int:
        if is_question(frame):
            return 0
        try:
            arrays = [_array(pointer, shape, dtype) for pointer, shape in zip(pointers(frame), shapes, strict=True)]
            execute(plan, *arrays)
        except BaseException as error:
            traceback.print_exc(file=sys.stderr)
            return fail(frame, f"convgrad: {error}")
        return 0

    return run


def _array(pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, dtype)
    memory: Any = (ctypes.c_char * (count * dtype.itemsize)).from_address(pointer)
    return np.frombuffer(memory, dtype).reshape(shape)


def _call_back(role: str, a: Any, b: Any, *, geometry: Geometry) -> Any:
    shape = getattr(geometry, SHAPES[role][2])

    def run(a: Any, b: Any) -> Any:
        return api.compute(role, geometry, np.asarray(a), np.asarray(b))

    return jax.pure_callback(run, jax.ShapeDtypeStruct(shape, a.dtype), a, b, vmap_method="sequential")


@functools.cache
def _frames_are_as_expected() -> bool:
    """Whether a function of ours, called by XLA, finds its arguments where `frame` says they are."""
    seen: list[Any] = []
    given, dtype = np.array([[2.0, 3, 5]], np.float32), np.dtype(np.float32)

    def run(frame: int) -> int:
        if is_question(frame):
            return 0
        a, b, out = (
            _array(pointer, shape, dtype) for pointer, shape in zip(pointers(frame), ((1, 3), (2,), (3,)), strict=True)
        )
        seen.append((a.tolist(), b.tolist()))
        out[...] = (7, 11, 13)
        return 0

    function = _HANDLER(run)
    try:
        name = f"convgrad.frame.{len(_registered)}"
        _register(name, function)
        call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct((3,), np.float32))
        with jax.default_device(jax.devices("cpu")[0]):
            found = np.asarray(jax.jit(call)(given, np.array([17, 19], np.float32)))
    except Exception:
        return False
    return seen == [([[2, 3, 5]], [17, 19])] and found.tolist() == [7, 11, 13]
