"""Objects on disk: what is believed, who may have written it, and that no state of the disk is an obstacle.

Needs no llvmlite: the cache keeps bytes. `test_jit.py` has the same promises with kernels that run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convgrad.jit import cache

KEY = cache.digest("a kernel")
CODE = bytes(range(256)) * 5

unix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and permission bits as Unix has them")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may do this")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of our own that does not exist yet."""
    place = tmp_path / "kernels"
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(place))
    return place


@pytest.fixture
def kept(folder: Path) -> Path:
    """The one file of a cache that holds CODE under KEY."""
    cache.write(KEY, CODE)
    (path,) = folder.iterdir()
    return path


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def bits(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# --- what is kept


def test_what_is_written_is_read_back_and_counted(folder: Path) -> None:
    assert cache.read(KEY) is None
    assert cache.state() == cache.CacheState(folder, None, 0, 0)  # not there yet: empty, not refused
    cache.write(KEY, CODE)
    cache.write(cache.digest("another"), b"x")
    (size,) = {path.stat().st_size - len(CODE) for path in folder.iterdir() if path.name.startswith(KEY)}
    assert cache.read(KEY) == CODE and cache.read(cache.digest("another")) == b"x"
    assert cache.state() == cache.CacheState(folder, None, 2, len(CODE) + 1 + 2 * size)


def test_the_head_holds_magic_key_length_and_hash(kept: Path) -> None:
    import hashlib

    magic, key, length, checksum = struct.unpack_from("<18s32sQ32s", kept.read_bytes())
    assert (magic, key.hex(), length) == (cache.MAGIC, KEY, len(CODE))
    assert checksum == hashlib.sha256(CODE).digest() and kept.read_bytes()[90:] == CODE


@pytest.mark.parametrize(
    ("field", "first", "last"), [("magic", 0, 17), ("key", 18, 49), ("length", 50, 57), ("hash", 58, 89)]
)
def test_every_bit_of_the_head_counts(field: str, first: int, last: int, kept: Path) -> None:
    whole = kept.read_bytes()
    for at in range(first, last + 1):
        for bit in range(8):
            kept.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
            assert cache.read(KEY) is None, f"{field}, byte {at}, bit {bit}"
    cache.write(KEY, CODE)
    assert kept.read_bytes() == whole


def test_every_byte_of_the_object_and_every_length_counts(kept: Path) -> None:
    whole = kept.read_bytes()
    draw = random.Random(0)
    for at in range(90, len(whole), 29):
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ draw.randrange(1, 256)]) + whole[at + 1 :])
        assert cache.read(KEY) is None
    for length in [*range(100), *range(100, len(whole), 37), len(whole) - 1]:
        kept.write_bytes(whole[:length])
        assert cache.read(KEY) is None
    for tail in (b"\0", b"x" * 4096, whole):
        kept.write_bytes(whole + tail)
        assert cache.read(KEY) is None


def test_an_empty_object_is_none(kept: Path) -> None:
    cache.write(KEY, b"")
    assert kept.stat().st_size == 90 and cache.read(KEY) is None


def test_a_monstrous_file_is_not_even_read(kept: Path) -> None:
    with kept.open("r+b") as file:
        file.truncate(1 << 40)  # sparse: a terabyte that takes no room
    assert cache.read(KEY) is None


def test_a_later_object_replaces_an_earlier_one(kept: Path, folder: Path) -> None:
    cache.write(KEY, b"newer")
    assert cache.read(KEY) == b"newer" and list(folder.iterdir()) == [kept]


def test_clearing_removes_our_files_and_no_others(folder: Path, kept: Path) -> None:
    (folder / "letter.txt").write_text("mine")
    (folder / f"tmp123{cache.UNFINISHED}").write_bytes(b"broken off")
    cache.write(cache.digest("another"), CODE)
    assert cache.state().entries == 2
    assert cache.clear() == 2 and [path.name for path in folder.iterdir()] == ["letter.txt"]
    assert cache.clear() == 0 and cache.read(KEY) is None


def test_clearing_what_is_not_there_or_not_ours_removes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.clear() == 0
    folder.mkdir()
    (folder / f"x{cache.SUFFIX}").write_bytes(b"x")
    if hasattr(os, "geteuid"):
        folder.chmod(0o777)
        assert cache.clear() == 0 and len(list(folder.iterdir())) == 1
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", "")
    assert cache.clear() == 0
    assert cache.state().refused == "no folder: CONVGRAD_CACHE_DIR is empty, or there is no home"


# --- who may have written it


@unix
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_folder_and_files_are_the_owners_alone_whatever_the_umask(
    mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "parents" / "kernels"
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(folder))
    with umask(mask):
        cache.write(KEY, CODE)
    (path,) = folder.iterdir()
    assert [bits(place) for place in (tmp_path / "new", folder.parent, folder, path)] == [0o700, 0o700, 0o700, 0o600]


@unix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_neither_read_nor_written(mode: int, folder: Path, kept: Path) -> None:
    folder.chmod(mode)
    assert cache.read(KEY) is None
    cache.write(cache.digest("another"), CODE)
    assert list(folder.iterdir()) == [kept]
    assert cache.state() == cache.CacheState(folder, "owned or writable by others", 0, 0)


@unix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_believed(mode: int, kept: Path) -> None:
    kept.chmod(mode)
    assert cache.read(KEY) is None
    cache.write(KEY, CODE)
    assert cache.read(KEY) == CODE and bits(kept) == 0o600


@root
def test_what_another_user_owns_is_not_believed(folder: Path, kept: Path) -> None:
    os.chown(kept, 65534, 65534)
    assert cache.read(KEY) is None
    cache.write(KEY, CODE)
    assert cache.read(KEY) == CODE
    os.chown(folder, 65534, 65534)
    assert cache.read(KEY) is None and cache.state().refused == "owned or writable by others"


@unix
def test_a_link_in_place_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    cache.write(KEY, CODE)
    assert list(elsewhere.iterdir()) == [] and cache.state().refused == "not a folder of its own"
    folder.unlink()
    folder.symlink_to(tmp_path / "nowhere")
    cache.write(KEY, CODE)
    assert cache.read(KEY) is None and not (tmp_path / "nowhere").exists()


@unix
def test_a_link_a_pipe_or_a_folder_in_place_of_a_file_is_not_followed(kept: Path, tmp_path: Path) -> None:
    moved = kept.rename(tmp_path / "moved")
    kept.symlink_to(moved)
    assert cache.read(KEY) is None
    cache.write(KEY, b"newer")
    assert cache.read(KEY) == b"newer" and not kept.is_symlink() and moved.read_bytes()[90:] == CODE
    kept.unlink()
    os.mkfifo(kept, 0o600)
    assert cache.read(KEY) is None  # and does not wait for a writer
    writer = os.open(kept, os.O_RDWR)
    assert cache.read(KEY) is None  # nor for what that one has not written
    os.close(writer)
    kept.unlink()
    kept.mkdir(mode=0o700)
    assert cache.read(KEY) is None
    cache.write(KEY, CODE)
    assert cache.read(KEY) is None and list(kept.parent.iterdir()) == [kept]


# --- disks that do not cooperate


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("step", ["mkdir", "mkstemp", "write", "replace"])
def test_a_step_that_fails_leaves_no_file_and_raises_nothing(
    step: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    class Full:
        """A file on a full disk: opens, takes nothing."""

        def __init__(self, descriptor: int, _: str) -> None:
            self.descriptor = descriptor

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.descriptor)

        write = refuse

    owner, name, value = {
        "mkdir": (Path, "mkdir", refuse),
        "mkstemp": (cache.tempfile, "mkstemp", refuse),
        "write": (cache.os, "fdopen", Full),
        "replace": (Path, "replace", refuse),
    }[step]
    with monkeypatch.context() as broken:
        broken.setattr(owner, name, value)
        cache.write(KEY, CODE)
    assert cache.read(KEY) is None
    assert cache.state() == cache.CacheState(folder, None, 0, 0)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_ctrl_c_during_a_write_leaves_no_file_and_is_heard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.write(KEY, CODE)
    assert list(folder.iterdir()) == []


@pytest.fixture
def mounted(folder: Path) -> Iterator[Path]:
    """A file system of 16 KiB at the cache folder: even root gets no more than it has."""
    folder.mkdir()
    options = "size=16k,mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@root
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tmpfs")
def test_a_disk_that_is_really_full_or_read_only_is_no_obstacle(mounted: Path) -> None:
    cache.write(KEY, CODE)
    cache.write(cache.digest("big"), bytes(1 << 16))
    assert cache.read(KEY) == CODE and cache.read(cache.digest("big")) is None and len(list(mounted.iterdir())) == 1
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    cache.write(cache.digest("another"), CODE)
    assert cache.read(KEY) == CODE and cache.state().entries == 1  # what is there is still good
    assert cache.clear() == 0


def test_a_file_in_place_of_the_folder_or_of_its_parent_is_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text("not a folder")
    cache.write(KEY, CODE)
    assert cache.read(KEY) is None and cache.state().refused == "not a folder of its own"
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(folder / "below"))
    cache.write(KEY, CODE)
    assert cache.read(KEY) is None and str(cache.state().refused).startswith("cannot be used (")
    assert folder.read_text() == "not a folder"


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CONVGRAD_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    cache.write(KEY, CODE)
    assert cache.read(KEY) is None and cache.state().folder is None


# --- many at once


def test_readers_see_a_whole_object_or_none_while_many_processes_write(folder: Path) -> None:
    code = (
        "import sys; from convgrad.jit import cache\n"
        "key = cache.digest('shared'); own = sys.argv[1].encode() * 9000\n"
        "for _ in range(60):\n"
        "    cache.write(key, own); seen = cache.read(key)\n"
        "    assert seen is not None and len(set(seen)) == 1 and len(seen) == 9000, seen\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, letter]) for letter in "abcdefgh"]
    assert [process.wait() for process in running] == [0] * 8
    assert [path.suffix for path in folder.iterdir()] == [cache.SUFFIX]
