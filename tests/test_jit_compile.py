"""From text to running code: every level exactly, one compilation per kernel, through threads and forks.

`test_jit.py` runs the engine's own kernels on every level; here are texts small enough to know what must come out.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convgrad import settings
from convgrad.jit import cache
from convgrad.jit import compile as jit
from convgrad.jit.targets import TARGETS, Target, target_of
from convgrad.machine import Machine

MISSING = jit.available()
REQUIRED = "llvmlite" in os.environ.get("CONVGRAD_REQUIRE_PEERS", "").split(",")
pytestmark = pytest.mark.skipif(MISSING is not None and not REQUIRED, reason=str(MISSING))

HERE = Machine.here().isa
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def offered() -> list[str]:
    levels = settings.ARM_LEVELS if HERE == "neon" else settings.X86_LEVELS
    return list(levels[: levels.index(HERE) + 1])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of our own, and a process that has loaded nothing."""
    place = tmp_path / "kernels"
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(place))
    monkeypatch.setattr(jit, "_kernels", {})
    return place


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that LLVM has compiled, in order."""
    names: list[str] = []
    real: Callable[..., bytes] = jit._compile

    def counting(llvm: Any, name: str, text: str, machine: Any) -> bytes:
        names.append(name)
        return real(llvm, name, text, machine)

    monkeypatch.setattr(jit, "_compile", counting)
    return names


def constant(number: int) -> tuple[str, str]:
    """(name, text) of a kernel that stores `number` where its record is."""
    name = f"store_{number}"
    return name, f"define void @{name}(ptr %args) {{\n  store i64 {number}, ptr %args\n  ret void\n}}\n"


def stored(kernel: jit.Kernel) -> int:
    record = (ctypes.c_int64 * 1)(-1)
    kernel.call(ctypes.addressof(record))
    return int(record[0])


def multiply_add(target: Target, element: str) -> str:
    """a, b, c -> c + a * b on one vector, by one instruction where the level has it."""
    lanes, suffix = (target.vector_bytes // 4, "f32") if element == "float" else (target.vector_bytes // 8, "f64")
    vector, align = f"<{lanes} x {element}>", 4 if element == "float" else 8
    fused = f"  %r = call {vector} @llvm.fma.v{lanes}{suffix}({vector} %va, {vector} %vb, {vector} %vc)\n"
    apart = f"  %p = fmul {vector} %va, %vb\n  %r = fadd {vector} %p, %vc\n"
    loads = "".join(
        f"  %at_{x} = getelementptr ptr, ptr %args, i64 {n}\n  %{x} = load ptr, ptr %at_{x}\n"
        f"  %v{x} = load {vector}, ptr %{x}, align {align}\n"
        for n, x in enumerate("abc")
    )
    return (
        f"declare {vector} @llvm.fma.v{lanes}{suffix}({vector}, {vector}, {vector})\n"
        f"define void @multiply_add(ptr %args) {{\n{loads}{fused if target.fma else apart}"
        f"  store {vector} %r, ptr %c, align {align}\n  ret void\n}}\n"
    )


# --- each level, exactly


@pytest.mark.parametrize("isa", offered())
@pytest.mark.parametrize(("element", "dtype"), [("float", "float32"), ("double", "float64")])
def test_every_level_multiplies_and_adds_whole_numbers(isa: str, element: str, dtype: str) -> None:
    target = target_of(isa)
    lanes = target.vector_bytes // np.dtype(dtype).itemsize
    kernel = jit.compile_kernel("multiply_add", multiply_add(target, element), target)
    rng = np.random.default_rng(5)
    a, b, c = (rng.integers(-1000, 1000, lanes).astype(dtype) for _ in range(3))
    expected = a * b + c
    kernel.call(np.array([array.ctypes.data for array in (a, b, c)]).ctypes.data)
    assert (c == expected).all()


# what each instruction needs; those of no level here must never appear
TEMPTATIONS = """
define i64 @ones(i64 %x) { %r = call i64 @llvm.ctpop.i64(i64 %x) ret i64 %r }
define i64 @zeros(i64 %x) { %r = call i64 @llvm.ctlz.i64(i64 %x, i1 false) ret i64 %r }
define i64 @without(i64 %x, i64 %y) { %n = xor i64 %x, -1 %r = and i64 %n, %y ret i64 %r }
define i64 @shifted(i64 %x, i64 %y) { %r = shl i64 %x, %y ret i64 %r }
define void @swapped(ptr %p, i64 %x) { %r = call i64 @llvm.bswap.i64(i64 %x) store i64 %r, ptr %p ret void }
define <16 x i32> @all_ones(<16 x i32> %x) { %r = call <16 x i32> @llvm.ctpop.v16i32(<16 x i32> %x) ret <16 x i32> %r }
define <64 x i8> @mixed(<64 x i8> %x) {
  %r = shufflevector <64 x i8> %x, <64 x i8> poison, <64 x i32> <MIXTURE>
  ret <64 x i8> %r
}
define <16 x float> @halves(<16 x half> %x) { %r = fpext <16 x half> %x to <16 x float> ret <16 x float> %r }
define <16 x half> @half_sum(<16 x half> %x, <16 x half> %y) { %r = fadd <16 x half> %x, %y ret <16 x half> %r }
define <8 x i64> @products(<8 x i64> %x, <8 x i64> %y) { %r = mul <8 x i64> %x, %y ret <8 x i64> %r }
define <16 x float> @fused(<16 x float> %x, <16 x float> %y, <16 x float> %z) {
  %r = call <16 x float> @llvm.fma.v16f32(<16 x float> %x, <16 x float> %y, <16 x float> %z)
  ret <16 x float> %r
}
""".replace("MIXTURE", ", ".join(f"i32 {i * i * 7 % 61}" for i in range(64)))

BEYOND_EVERY_LEVEL = {"vpopcntd", "vpermb", "vpermi2b", "vpermt2b", "vaddph", "vpshufbitqmb"}  # Ice Lake and later
AVX512_ONLY = {"vpmullq"}
AVX2_UP = {"popcntq", "lzcntq", "shlxq", "vcvtph2ps"}


def instructions(machine: Any, text: str) -> set[str]:
    import llvmlite.binding as llvm

    assembly = machine.emit_assembly(llvm.parse_assembly(text))
    return set(re.findall(r"^\t(\w+)", assembly, re.MULTILINE))


@pytest.mark.parametrize("isa", [isa for isa in offered() if isa in settings.X86_LEVELS])
def test_a_level_has_its_own_instructions_and_none_from_above(isa: str) -> None:
    import llvmlite.binding as llvm

    machine = jit._machine(llvm, target_of(isa))
    used = instructions(machine, TEMPTATIONS)
    assert not used & BEYOND_EVERY_LEVEL
    assert (used >= AVX512_ONLY) == (isa == "avx512") and (used >= AVX2_UP) == (isa in {"avx2", "avx512"})
    assert isa in {"avx2", "avx512"} or (not used & AVX2_UP and not any(name.startswith("v") for name in used))
    assembly = machine.emit_assembly(llvm.parse_assembly(TEMPTATIONS))
    assert ("zmm" in assembly) == (isa == "avx512")
    assert ("ymm" in assembly) == (isa in {"avx2", "avx512"})


@pytest.mark.parametrize("isa", [isa for isa in offered() if isa in settings.X86_LEVELS])
def test_a_vector_of_the_level_is_one_register(isa: str) -> None:
    import llvmlite.binding as llvm

    target = target_of(isa)
    text = multiply_add(target, "float")
    assembly = jit._machine(llvm, target).emit_assembly(llvm.parse_assembly(text))
    register = {64: "zmm", 32: "ymm", 16: "xmm"}[target.vector_bytes]
    assert set(re.findall(r"[xyz]mm", assembly)) == {register}
    assert len(re.findall(rf"mov\w+\s+%{register}\d+, ", assembly)) == 1  # one store, not two halves
    assert (len(re.findall(r"vfmadd", assembly)) == 1) == target.fma


@pytest.mark.skipif(HERE not in {"avx2", "avx512"}, reason="x86 with AVX2")
def test_what_the_hypervisor_hides_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite.binding as llvm

    here = dict(llvm.get_host_cpu_features())
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: {**here, "bmi2": False, "popcnt": False})
    monkeypatch.setattr(jit, "_machines", {})
    jit._features.cache_clear()
    try:
        used = instructions(jit._machine(llvm, target_of("avx2")), TEMPTATIONS)
    finally:
        jit._features.cache_clear()
    assert not used & {"shlxq", "popcntq"} and "lzcntq" in used


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin", "aarch64-pc-windows-msvc"])
def test_arm_kernels_can_be_printed_anywhere(triple: str) -> None:
    # in a process of its own: what LLVM cannot select ends the process
    code = (
        "import sys, llvmlite.binding as llvm; from convgrad.jit import compile as jit, targets\n"
        "llvm.initialize_all_targets(); llvm.initialize_all_asmprinters(); target = targets.target_of('neon')\n"
        "make = llvm.Target.from_triple(sys.argv[1]).create_target_machine\n"
        "machine = make(cpu=target.cpu, features=target.features, **jit._OPTIONS)\n"
        "assembly = machine.emit_assembly(llvm.parse_assembly(sys.argv[2])); assert 'fmla' in assembly, assembly"
    )
    text = multiply_add(target_of("neon"), "float")
    done = subprocess.run([sys.executable, "-c", code, triple, text], capture_output=True, text=True)
    if "Unable to find target" in done.stderr or "No available targets" in done.stderr:
        pytest.skip("this llvmlite has no Arm")
    assert done.returncode == 0, done.stderr


def test_the_rows_agree_with_themselves() -> None:
    for name, target in TARGETS.items():
        assert target.name == name and target.vector_bytes in {16, 32, 64} and target.registers in {16, 32}
        assert ("fma" in target.features or name == "neon") == target.fma
    with pytest.raises(KeyError):
        target_of("avx1024")


# --- once each


def test_a_kernel_knows_its_name_its_text_and_its_address() -> None:
    name, text = constant(7)
    kernel = jit.compile_kernel(name, text, target_of(HERE))
    assert (kernel.name, kernel.text, stored(kernel)) == (name, text, 7)
    assert kernel.address == ctypes.cast(kernel.call, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert repr(kernel) == f"Kernel(name='{name}', address={kernel.address})"


def test_memory_then_disk_then_llvm(folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, text = constant(7)
    first = jit.compile_kernel(name, text, target_of(HERE))
    assert jit.compile_kernel(name, text, target_of(HERE)) is first and compiled == [name]
    monkeypatch.setattr(jit, "_kernels", {})
    again = jit.compile_kernel(name, text, target_of(HERE))
    assert stored(again) == 7 and compiled == [name] and again.address != first.address
    monkeypatch.setattr(jit, "_kernels", {})
    assert cache.clear() == 1
    assert stored(jit.compile_kernel(name, text, target_of(HERE))) == 7 and compiled == [name, name]
    assert len(list(folder.iterdir())) == 1


def test_everything_that_matters_makes_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite.binding as llvm

    name, text = constant(7)
    both = text + text.replace(f"@{name}(", "@other(")
    target = target_of(HERE)
    variants: list[tuple[str, str, Target]] = [
        (name, both, target),
        ("other", both, target),
        (name, both + "; a remark", target),
        (name, both, replace(target, cpu="x86-64" if HERE != "neon" else "apple-m1")),
        (name, both, replace(target, features=f"{target.features},".lstrip(","))),
    ]
    for count, variant in enumerate(variants, 1):
        assert stored(jit.compile_kernel(*variant)) == 7
        assert len(list(folder.iterdir())) == count
    later = len(variants)
    for changed in (
        (jit, "_versions", lambda _: ("0.99", "99.1.0")),
        (jit, "_versions", lambda _: ("0.99", "99.1.1")),
        (jit, "_features", lambda *_: target.features + "," if target.features else "+sse2"),
        (jit, "_OPTIONS", {**jit._OPTIONS, "opt": 1}),
        (cache, "MAGIC", b"convgrad object 9\n"),
    ):
        monkeypatch.setattr(jit, "_kernels", {})
        with monkeypatch.context() as different:
            different.setattr(*changed)
            assert stored(jit.compile_kernel(name, both, target)) == 7
        later += 1
        assert len(list(folder.iterdir())) == later, changed
    assert jit._versions(llvm) == (sys.modules["llvmlite"].__version__, ".".join(map(str, llvm.llvm_version_info)))


def test_a_damaged_file_is_compiled_again_and_mended(
    folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, text = constant(7)
    jit.compile_kernel(name, text, target_of(HERE))
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    for damaged in (whole[:-1], whole[:95], whole[:90] + bytes(len(whole) - 90), b"\x7fELF", b""):
        kept.write_bytes(damaged)
        monkeypatch.setattr(jit, "_kernels", {})
        assert stored(jit.compile_kernel(name, text, target_of(HERE))) == 7 and kept.read_bytes() == whole
    assert len(compiled) == 6


# --- threads, processes, forks


def test_many_threads_compile_each_kernel_once(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", "")  # or the disk would hide a second compilation
    kernels = [constant(number) for number in range(6)]
    start = threading.Barrier(8)

    def work(offset: int) -> list[int]:
        start.wait()
        order = [kernels[(offset + i) % 6] for i in range(6)]
        return sorted(stored(jit.compile_kernel(name, text, target_of(HERE))) for name, text in order)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [list(range(6))] * 8
    assert sorted(compiled) == sorted(name for name, _ in kernels)


def test_a_kernel_in_memory_does_not_wait_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = jit.compile_kernel(*constant(1), target_of(HERE))
    inside, go_on = threading.Event(), threading.Event()
    real = jit._compile

    def slow(*arguments: Any) -> bytes:
        inside.set()
        go_on.wait(10)
        return real(*arguments)

    monkeypatch.setattr(jit, "_compile", slow)
    thread = threading.Thread(target=jit.compile_kernel, args=(*constant(2), target_of(HERE)))
    thread.start()
    try:
        assert inside.wait(10)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(jit.compile_kernel, *constant(1), target_of(HERE)).result(5) is ready
    finally:
        go_on.set()
        thread.join()


def test_many_processes_compile_the_same_kernels_into_an_empty_cache(folder: Path) -> None:
    code = (
        "import ctypes, sys; from convgrad.jit import compile as jit, targets; from convgrad.machine import Machine\n"
        "for n in range(8):\n"
        "    text = f'define void @k(ptr %a) {{\\n  store i64 {n}, ptr %a\\n  ret void\\n}}\\n'\n"
        "    record = (ctypes.c_int64 * 1)(-1)\n"
        "    jit.compile_kernel('k', text, targets.target_of(Machine.here().isa)).call(ctypes.addressof(record))\n"
        "    assert record[0] == n\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    assert [path.suffix for path in folder.iterdir()] == [cache.SUFFIX] * 8


def ends_well(work: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether a forked child finds `work` true, in time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@forks
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_runs_its_parents_kernels_and_compiles_its_own() -> None:
    before = jit.compile_kernel(*constant(3), target_of(HERE))

    def child() -> bool:
        with ThreadPoolExecutor(1) as pool:  # another thread than the one that forked gets the lock too
            compiled = pool.submit(jit.compile_kernel, *constant(4), target_of(HERE)).result()
        return stored(before) == 3 and stored(compiled) == 4

    assert ends_well(child)
    assert stored(before) == 3 and stored(jit.compile_kernel(*constant(5), target_of(HERE))) == 5


@forks
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_compilation_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", "")
    target, stop, count = target_of(HERE), threading.Event(), iter(range(100, 1_000_000))

    def compile_on() -> None:
        while not stop.is_set():
            jit.compile_kernel(*constant(next(count)), target)

    thread = threading.Thread(target=compile_on)
    thread.start()
    try:
        for number in range(12):
            assert ends_well(lambda number=number: stored(jit.compile_kernel(*constant(number), target)) == number, 10)
    finally:
        stop.set()
        thread.join()


# --- what cannot be built


def test_a_text_that_does_not_parse_is_quoted_by_line() -> None:
    text = "define void @broken(ptr %a) {\n  %x = load i64, ptr %a\n  %y = add i32 %x, 1\n  ret void\n}\n"
    with pytest.raises(jit.BuildError) as caught:
        jit.compile_kernel("broken", text, target_of(HERE))
    assert str(caught.value) == (
        "kernel = 'broken': LLVM does not accept its text (LLVM IR parsing error <string>:3:16: error: '%x' defined "
        "with type 'i64' but expected 'i32' %y = add i32 %x, 1 ^); line 3: %y = add i32 %x, 1; accepted: a bug report"
    )


def test_a_text_that_does_not_verify_is_quoted_by_line(folder: Path) -> None:
    text = "define void @broken() {\n  %z = add i64 %y, 1\n  %y = add i64 2, 1\n  ret void\n}\n"
    with pytest.raises(jit.BuildError, match=r"dominate all uses!.*; line 2: %z = add .*; line 3: %y = add .*; acc"):
        jit.compile_kernel("broken", text, target_of(HERE))
    assert not folder.exists() and not jit._kernels


@pytest.mark.parametrize(
    "text",
    [
        "define void @another(ptr %a) {\n  ret void\n}\n",
        "declare void @nowhere()\ndefine void @broken(ptr %a) {\n  call void @nowhere()\n  ret void\n}\n",
    ],
)
def test_a_text_that_does_not_link_is_refused_and_not_kept(text: str, folder: Path) -> None:
    with pytest.raises(jit.BuildError, match="kernel = 'broken': LLVM does not link its object"):
        jit.compile_kernel("broken", text, target_of(HERE))
    assert not folder.exists() and not jit._kernels


def test_an_llvmlite_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)  # type: ignore[arg-type]
    with pytest.raises(jit.BuildError, match=r"llvmlite = None: does not load \(.*\); accepted: .* CONVGRAD_JIT=0"):
        jit.compile_kernel(*constant(7), target_of(HERE))


def test_why_nothing_is_compiled_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jit.available() is None
    monkeypatch.setattr(jit, "find_spec", lambda name: None)
    assert jit.available() == "llvmlite is not installed"
    monkeypatch.setenv("CONVGRAD_JIT", "0")
    assert jit.available() == "compiled kernels are switched off by CONVGRAD_JIT=0"


def test_asking_whether_does_not_import_llvmlite() -> None:
    code = "import sys; from convgrad.jit import compile as jit; jit.available(); assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
