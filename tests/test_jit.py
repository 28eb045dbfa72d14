"""Compiling and keeping kernels: every level that this CPU has, and a cache that is believed only when it is right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracles import DEFINITIONS, assert_same
from strategies import whole_numbers

from convgrad import settings
from convgrad.choose import choose
from convgrad.execute import execute
from convgrad.jit import cache
from convgrad.jit import compile as jit
from convgrad.jit.ir import Function
from convgrad.jit.targets import TARGETS, target_of
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse

pytestmark = pytest.mark.skipif(jit.available() is not None, reason=str(jit.available()))

HERE = Machine.here().isa
LEVELS = [level for level in (*settings.X86_LEVELS, *settings.ARM_LEVELS[1:]) if level in TARGETS]


def offered() -> list[str]:
    """The levels that kernels can be forced down to here."""
    levels = settings.ARM_LEVELS if HERE == "neon" else settings.X86_LEVELS
    return list(levels[: levels.index(HERE) + 1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of our own, and a process that has loaded nothing."""
    place = tmp_path / "kernels"
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(place))
    monkeypatch.setattr(jit, "_kernels", {})
    return place


def double() -> str:
    """A kernel that doubles the numbers of its record: [address, count]."""
    f = Function("double_them", "ptr record")
    place = f.load("ptr", f.arg("record"))
    with f.loop("i", 0, f.load("i64", f.at(f.arg("record"), "i64", 1))) as i:
        at = f.at(place, "double", i.index)
        f.store(f.load("double", at) * 2.0, at)
    return f.text()


def doubled(kernel: jit.Kernel) -> list[float]:
    numbers = np.arange(5.0)
    kernel.call(np.array([numbers.ctypes.data, 5]).ctypes.data)
    return numbers.tolist()


@pytest.mark.parametrize("isa", offered())
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_level_of_this_cpu_gives_the_definition(
    isa: str, role: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVGRAD_ISA", isa)
    rng = np.random.default_rng(3)
    for text in ("n3 ic5 oc15 i9x10 k3x2 s2x1 p1", "n2 ic4 oc4 i37 k5 d2 g2 p4+0", "n1 ic7 oc9 i4x5x6 k2x3x2 p1"):
        problem = whole_numbers(parse(text), rng, dtype)
        plan = choose(role, problem.geometry, dtype, Machine.here(), "shifted")
        assert f"({isa}" in f"({plan.parameters}"
        out = np.full(problem.result_shape(role), np.nan, dtype)
        execute(plan, *problem.arguments(role), out)
        assert_same(out, DEFINITIONS[role](*problem.arguments(role), problem.geometry))


def test_a_kernel_is_kept_and_found_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doubled(jit.compile_kernel("double_them", double(), target_of(HERE))) == [0, 2, 4, 6, 8]
    (kept,) = folder.iterdir()
    assert cache.state().entries == 1 and cache.state().refused is None
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "_compile", None)  # whoever compiles again, fails
    assert doubled(jit.compile_kernel("double_them", double(), target_of(HERE))) == [0, 2, 4, 6, 8]
    if hasattr(os, "getuid"):
        assert folder.stat().st_mode & 0o777 == 0o700 and kept.stat().st_mode & 0o777 == 0o600


def test_every_damage_to_a_file_is_noticed_and_mended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jit.compile_kernel("double_them", double(), target_of(HERE))
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    damaged = [whole[:length] for length in (0, 1, len(cache.MAGIC), 60, 82, len(whole) - 1)]
    damaged += [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, 17, 20, 49, 51, 81, 82, 90, -1 % len(whole))
    ]
    damaged += [b"", b"not ours", whole + b"x"]
    for data in damaged:
        kept.write_bytes(data)
        monkeypatch.setattr(jit, "_kernels", {})
        assert doubled(jit.compile_kernel("double_them", double(), target_of(HERE))) == [0, 2, 4, 6, 8]
        assert kept.read_bytes() == whole


def test_a_file_under_anothers_name_is_not_believed(folder: Path) -> None:
    cache.write(cache.digest("a"), b"code of a")
    (kept,) = folder.iterdir()
    kept.rename(folder / (cache.digest("b") + cache.SUFFIX))
    assert cache.read(cache.digest("b")) is None


def test_the_name_holds_every_part_apart() -> None:
    assert (
        len({cache.digest("ab", "c"), cache.digest("a", "bc"), cache.digest("abc"), cache.digest("ab", "c", "")}) == 4
    )


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permission bits as Unix has them")
def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    assert doubled(jit.compile_kernel("double_them", double(), target_of(HERE))) == [0, 2, 4, 6, 8]
    assert list(folder.iterdir()) == [] and cache.state().refused == "owned or writable by others"
    folder.chmod(0o700)
    cache.write(cache.digest("a"), b"code")
    (kept,) = folder.iterdir()
    kept.chmod(0o666)
    assert cache.read(cache.digest("a")) is None


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_a_link_in_place_of_the_folder_or_of_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    cache.write(cache.digest("a"), b"code")
    assert list(elsewhere.iterdir()) == [] and cache.state().refused == "not a folder of its own"
    folder.unlink()
    cache.write(cache.digest("a"), b"code")
    (kept,) = folder.iterdir()
    moved = kept.rename(elsewhere / "moved")
    kept.symlink_to(moved)
    assert cache.read(cache.digest("a")) is None


@pytest.mark.parametrize("number", ["EROFS", "ENOSPC", "EACCES"])
def test_a_disk_that_takes_nothing_is_no_obstacle(folder: Path, number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def refuse(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    assert doubled(jit.compile_kernel("double_them", double(), target_of(HERE))) == [0, 2, 4, 6, 8]
    assert cache.state().entries == 0


def test_a_write_that_breaks_off_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    cache.write(cache.digest("a"), b"code")
    assert list(folder.iterdir()) == []


def test_without_a_folder_kernels_still_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", "")
    assert doubled(jit.compile_kernel("double_them", double(), target_of(HERE))) == [0, 2, 4, 6, 8]
    assert cache.state().folder is None


def test_many_processes_may_fill_one_cache(folder: Path) -> None:
    code = (
        "import numpy as np, convgrad as cg; x = np.ones((1, 2, 9, 9)); y = cg.conv(x, np.ones((3, 2, 3, 3)))\n"
        "assert (y == 18).all() and (cg.conv_weight_grad(y, x, kernel_size=3) == 18 * 49).all()"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    assert [process.wait() for process in running] == [0] * 6
    assert {path.suffix for path in folder.iterdir()} == {cache.SUFFIX} and len(list(folder.iterdir())) == 2


def test_switched_off_everything_still_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_JIT", "0")
    assert jit.available() == "compiled kernels are switched off by CONVGRAD_JIT=0"
    code = (
        "import sys, numpy as np, convgrad as cg; assert cg.plan_for('forward', 'i9 k3').algorithm == 'im2col'\n"
        "assert cg.conv(np.ones((1, 1, 9)), np.ones((1, 1, 3)))[0, 0, 0] == 3; assert 'llvmlite' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_text_that_llvm_refuses_is_a_bug_report(folder: Path) -> None:
    with pytest.raises(jit.BuildError, match="kernel = 'broken': LLVM does not accept its text"):
        jit.compile_kernel("broken", "define void @broken( {", target_of(HERE))


@pytest.mark.parametrize("isa", [level for level in offered() if level in {"sse2", "avx2", "avx512"}])
def test_a_level_uses_no_register_above_it(isa: str) -> None:
    import llvmlite.binding as llvm

    from convgrad.algorithms.shifted import data_kernel

    machine = jit._machine(llvm, target_of(isa))
    assembly = machine.emit_assembly(llvm.parse_assembly(data_kernel.text("float", target_of(isa))))
    assert ("zmm" in assembly) == (isa == "avx512")
    assert isa != "sse2" or "ymm" not in assembly
