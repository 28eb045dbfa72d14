"""Results on disk: chunk by chunk, seen as they arrive, and gone on with after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import assert_same
from peers import peer

import convgrad as cg
from convgrad.errors import GeometryError, InputError

da, cd, zarr = peer("dask.array"), peer("convgrad.dask"), peer("zarr")


def volume(folder: Path) -> tuple[Any, Any, Any]:
    """A volume in memory and on disk, in slabs, and a weight."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 1, 40, 12, 10), "float32"), rng.standard_normal((1, 1, 3, 3, 3), "float32")
    return x, cd.store(da.from_array(x, chunks=(1, 1, 4, 12, 10)), folder / "x.zarr"), w


def files(path: Path) -> dict[str, tuple[int, int]]:
    """(inode, time of the last change) of every chunk: whatever writes one again changes both."""
    # one that is being written has another name until it is whole
    found = [file for file in (path / "c").rglob("*") if file.suffix != ".partial" and file.is_file()]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in found}


def test_from_zarr_to_zarr_has_the_bits_of_the_result_in_memory(tmp_path: Path) -> None:
    x, stored, w = volume(tmp_path)
    y = cd.store(cd.conv(stored, w, padding="same"), tmp_path / "y.zarr")
    assert y.chunks == stored.chunks
    assert_same(y.compute(), cg.conv(x, w, padding="same"))
    gx = cd.store(cd.conv_input_grad(y, w, input_size=(40, 12, 10), padding="same"), tmp_path / "gx.zarr", at_once=3)
    assert_same(gx.compute(), cg.conv_input_grad(y.compute(), w, input_size=(40, 12, 10), padding="same"))


def test_only_chunks_that_lack_are_computed(tmp_path: Path) -> None:
    x, stored, w = volume(tmp_path)
    y = cd.conv(stored, w, padding="same")
    cd.store(y, tmp_path / "y.zarr")
    before = files(tmp_path / "y.zarr")
    lost = tmp_path / "y.zarr" / "c/0/0/7/0/0"
    lost.unlink()
    (lost.parent / "0.0123.partial").write_bytes(b"half")
    assert_same(cd.store(y, tmp_path / "y.zarr").compute(), cg.conv(x, w, padding="same"))
    after = files(tmp_path / "y.zarr")
    assert {name for name in before if before[name] != after[name]} == {str(lost)} and after.keys() == before.keys()


SCRIPT = """
import sys, time
import numpy as np, convgrad.dask as cd
x = cd.load(sys.argv[1])
y = cd.conv(x, np.load(sys.argv[2]), padding="same")
if sys.argv[4] == "slow":
    from convgrad.dask import work
    put_together = work.Gathered.put_together
    work.Gathered.put_together = lambda *given: time.sleep(0.05) or put_together(*given)
cd.store(y, sys.argv[3])
"""


def test_after_a_kill_nothing_is_lost_and_nothing_written_twice(tmp_path: Path) -> None:
    x, _, w = volume(tmp_path)
    np.save(tmp_path / "w.npy", w)
    target = tmp_path / "y.zarr"
    script = [sys.executable, "-c", SCRIPT, str(tmp_path / "x.zarr"), str(tmp_path / "w.npy"), str(target)]
    killed = subprocess.Popen([*script, "slow"])
    while len(files(target)) < 3:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = files(target)
    assert 3 <= len(before) < 10
    subprocess.run([*script, "fast"], check=True)
    after = files(target)
    assert len(after) == 10 and all(after[name] == before[name] for name in before)
    assert_same(cd.load(target).compute(), cg.conv(x, w, padding="same"))


def test_progress_ends_with_all_chunks_and_begins_with_those_that_were_there(tmp_path: Path) -> None:
    array = da.zeros((4, 6), chunks=(2, 2))  # zeros are written too, for what is not there counts as not done
    seen: list[tuple[int, int]] = []
    cd.store(array, tmp_path / "a.zarr", progress=lambda done, of: seen.append((done, of)))
    assert seen[0] == (0, 6) and seen[-1] == (6, 6) and seen == sorted(seen)
    (tmp_path / "a.zarr/c/1/1").unlink()
    seen.clear()
    cd.store(array, tmp_path / "a.zarr", progress=lambda done, of: seen.append((done, of)))
    assert seen == [(5, 6), (6, 6)]


def test_what_is_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    array = da.zeros(6, chunks=2)
    cd.store(array, tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"a\.zarr: holds another array than the one to be stored"):
        cd.store(array + 1, tmp_path / "a.zarr")
    assert cd.store(array + 1, tmp_path / "a.zarr", overwrite=True).compute().tolist() == [1] * 6
    (tmp_path / "text").write_text("no array")
    with pytest.raises(InputError, match=r"text: exists and is no Zarr array"):
        cd.store(array, tmp_path / "text")


def test_chunks_that_zarr_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"array\.chunks = .* accepted: array\.rechunk\(\(3,\)\), or chunks=\(3,\)"):
        cd.store(da.zeros(6, chunks=((2, 3, 1),)), tmp_path / "a.zarr")
    with pytest.raises(GeometryError, match="are not of one length"):
        cd.store(da.zeros(6, chunks=((2, 4),)), tmp_path / "a.zarr")


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1"])
@pytest.mark.parametrize(
    "how", [{"compressors": None}, {}, {"compressors": None, "shards": (8, 6)}, {"zarr_format": 2}]
)
def test_a_zarr_array_is_loaded_as_it_was_written(how: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 99, (10, 7)).astype(dtype)
    zarr.create_array(str(tmp_path), data=data, chunks=(4, 3), overwrite=True, **how)
    found = cd.load(tmp_path)
    assert found.chunks == ((4, 4, 2), (3, 3, 1)) and found.name == cd.load(str(tmp_path)).name
    assert np.array_equal(found.compute(), data)


def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path: Path) -> None:
    target = zarr.create_array(
        str(tmp_path), shape=4, chunks=2, dtype="f4", fill_value=7, compressors=None, overwrite=True
    )
    target[2:] = 1
    assert cd.load(tmp_path).compute().tolist() == [7, 7, 1, 1]


def test_plain_numbers_are_read_from_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = cd.store(da.arange(6, chunks=4), tmp_path / "a.zarr", compressors=None)
    monkeypatch.setattr("zarr.Array.__getitem__", lambda self, box: pytest.fail("went through Zarr"))
    assert stored.compute().tolist() == [0, 1, 2, 3, 4, 5]


def test_what_is_no_zarr_array_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing: is no Zarr array .* accepted: the folder of a Zarr array"):
        cd.load(tmp_path / "nothing")


def test_a_lost_worker_s_chunk_is_not_written_again(tmp_path: Path) -> None:
    from convgrad.dask.disk import write_chunk

    cd.store(da.zeros(6, chunks=4), tmp_path / "a.zarr")
    target = zarr.open_array(str(tmp_path / "a.zarr"))
    before = files(tmp_path / "a.zarr")
    write_chunk(target, (1,), np.ones(2))
    assert files(tmp_path / "a.zarr") == before
