"""LLVM IR text -> object code -> a function that ctypes calls without the interpreter's lock.

State of this module: the kernels that this process has loaded, and llvmlite's machine and features of each target.
llvmlite is imported when the first kernel is needed; `cache` keeps the objects between processes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from .. import settings
from ..errors import ConvgradError
from . import cache
from .targets import Target

# no middle end: the text says which vectors it wants, and every pass costs milliseconds
_OPTIONS = {"opt": 3, "reloc": "pic", "codemodel": "jitdefault"}


class BuildError(ConvgradError, RuntimeError):
    """No code came of a text that convgrad printed: a bug here, or an llvmlite that does not load."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loaded function that takes the address of one argument record; calling it releases the interpreter's lock."""

    name: str
    address: int
    text: str = field(repr=False)
    call: Callable[[int], None] = field(repr=False)
    library: object = field(repr=False)  # keeps the code in memory


_lock = threading.RLock()  # held while LLVM works
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
    found = _kernels.get(key)  # without the lock: LLVM may be at work on another kernel
    if found is not None:
        return found
    with _lock:
        if key not in _kernels:
            _kernels[key] = _load(name, text, target)
        return _kernels[key]


def compile_here(name: str, text: str, target: Target) -> Kernel:
    """The function `name` of a module that holds addresses of this process, and so is kept nowhere."""
    with _lock:
        return _load(name, text, target, keep=False)


def _load(name: str, text: str, target: Target, keep: bool = True) -> Kernel:
    llvm = _llvm()
    machine = _machine(llvm, target)
    made_with = (repr(target), _features(llvm, target), str(machine.triple), repr(_OPTIONS), *_versions(llvm))
    key = cache.digest(name, text, *made_with)
    kept = cache.read(key) if keep else None
    code = kept if kept is not None else _compile(llvm, name, text, machine)
    jit = llvm.create_lljit_compiler(machine, use_jit_link=_links_with_jitlink())
    try:
        library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(name).link(jit, "convgrad")
    except RuntimeError as error:
        raise BuildError("kernel", name, f"LLVM does not link its object ({error})", "a bug report") from error
    if kept is None and keep:
        cache.write(key, code)
    address: int = library[name]
    return Kernel(name, address, text, ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address), (jit, library))


def _compile(llvm: Any, name: str, text: str, machine: Any) -> bytes:
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        rule = f"LLVM does not accept its text ({' '.join(str(error).split())}){_place(text, str(error))}"
        raise BuildError("kernel", name, rule, "a bug report") from error
    code: bytes = machine.emit_object(module)
    return code


def _place(text: str, message: str) -> str:
    """The lines of `text` that LLVM's message is about, numbered; empty where it names none."""
    lines = text.splitlines()
    named = re.search(r"<string>:(\d+):", message)
    repeated = {line.strip() for line in message.splitlines()[1:]}  # the verifier repeats lines, without numbers
    numbers = [int(named[1])] if named else [n for n, line in enumerate(lines, 1) if line.strip() in repeated]
    return "".join(f"; line {n}: {lines[n - 1].strip()}" for n in numbers if n <= len(lines))


def _llvm() -> Any:
    try:
        import llvmlite.binding as llvm
    except (ImportError, OSError) as error:
        raise BuildError("llvmlite", None, f"does not load ({error})", "one that does, or CONVGRAD_JIT=0") from error
    return llvm


def _machine(llvm: Any, target: Target) -> Any:
    if target not in _machines:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        native = llvm.Target.from_default_triple()
        features = _features(llvm, target)
        _machines[target] = native.create_target_machine(cpu=target.cpu, features=features, **_OPTIONS)
    return _machines[target]


@functools.cache  # asking takes as long as linking
def _features(llvm: Any, target: Target) -> str:
    """The target's features, less those that this CPU or its hypervisor does not offer."""
    offered = llvm.get_host_cpu_features()
    wanted = filter(None, target.features.split(","))
    return ",".join(each if offered.get(each[1:], True) else f"-{each[1:]}" for each in wanted)


def _links_with_jitlink() -> bool:
    # 64-bit Arm: LLVM's older linker overflows relocations there; llvmlite has no JITLink on Windows
    return platform.machine().lower() in {"arm64", "aarch64"} and sys.platform != "win32"


def _versions(llvm: Any) -> tuple[str, str]:
    import llvmlite  # not importlib.metadata, which takes longer than to load a kernel

    return str(llvmlite.__version__), ".".join(map(str, llvm.llvm_version_info))


def _before_fork() -> None:
    # a child that was forked while another thread is inside LLVM would wait forever for LLVM's own locks
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    # loaded kernels stay valid; the threads that waited for the lock do not exist here
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
