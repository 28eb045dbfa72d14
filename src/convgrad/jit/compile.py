"""LLVM IR text -> object code -> a function that ctypes calls without the interpreter's lock.

State of this module: the kernels that this process has loaded, and llvmlite's target machines. llvmlite is imported
when the first kernel is needed; `cache` keeps the objects between processes.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from .. import settings
from ..errors import ConvgradError
from . import cache
from .targets import Target


class BuildError(ConvgradError, RuntimeError):
    """LLVM refused a text that convgrad printed: a bug here, never the user's."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loaded function that takes the address of one argument record; calling it releases the interpreter's lock."""

    name: str
    text: str
    call: Callable[[int], None]
    library: object = field(repr=False)  # keeps the code in memory


_lock = threading.RLock()
_kernels: dict[tuple[str, str, Target], Kernel] = {}
_machines: dict[Target, Any] = {}


def available() -> str | None:
    """None where kernels can be compiled, else the reason why not."""
    if not settings.jit_enabled():
        return "compiled kernels are switched off by CONVGRAD_JIT=0"
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed"
    return None


def compile_kernel(name: str, text: str, target: Target) -> Kernel:
    """The function `name` of an IR module, from memory, from the disk or from LLVM."""
    key = (name, text, target)
    with _lock:
        if key not in _kernels:
            _kernels[key] = _load(name, text, target)
        return _kernels[key]


def _load(name: str, text: str, target: Target) -> Kernel:
    import llvmlite.binding as llvm

    machine = _machine(llvm, target)
    digest = cache.digest(name, text, repr(target), str(machine.triple), *_versions(llvm))
    found = cache.read(digest)
    code = found if found is not None else _compile(llvm, name, text, machine)
    if found is None:
        cache.write(digest, code)
    jit = llvm.create_lljit_compiler(machine)
    library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(name).link(jit, f"convgrad-{digest[:16]}")
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library[name])
    return Kernel(name, text, call, (jit, library))


def _compile(llvm: Any, name: str, text: str, machine: Any) -> bytes:
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise BuildError("kernel", name, f"LLVM does not accept its text ({error})", "a bug report") from error
    code: bytes = machine.emit_object(module)
    return code


def _machine(llvm: Any, target: Target) -> Any:
    if target not in _machines:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        native = llvm.Target.from_default_triple()
        # no middle end: the text says which vectors it wants, and every pass costs milliseconds
        _machines[target] = native.create_target_machine(
            cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="jitdefault"
        )
    return _machines[target]


def _versions(llvm: Any) -> tuple[str, str]:
    return metadata.version("llvmlite"), ".".join(map(str, llvm.llvm_version_info))


def _renew_the_lock() -> None:
    # another thread of the parent may have held it; loaded kernels stay valid in the child
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_the_lock)
