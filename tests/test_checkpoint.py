"""The checkpoint: what goes in comes out, equal states are equal bytes, nothing foreign or half-written passes."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convgrad.errors import InputError
from convgrad.train.adam import at_rest
from convgrad.train.archive import pack
from convgrad.train.checkpoint import Checkpoint, Config, Epoch, load, save
from convgrad.train.data import Preprocessing
from convgrad.train.files import make_folder, remove_leftovers, write_atomically
from convgrad.train.network import Network, initial_parameters

Array = NDArray[Any]


def example() -> Checkpoint:
    network = Network(1, 6, 5, 3, (2, 4))
    parameters = initial_parameters(network, np.random.default_rng(0))
    return Checkpoint(
        network,
        parameters,
        replace(at_rest(parameters), steps=7, mean={n: v + 1 for n, v in parameters.items()}),
        (Epoch(1.5, 0.25, 1.75, 0.125), Epoch(0.1, 0.9, 0.2, 0.8)),
        ("a", "b\u00e9", "c"),
        Preprocessing(1, 6, 5, 1 / 16, 0.25),
        Config(3, 9, 32, 0.004, True, "digits", "0123456789abcdef"),
    )


def contents(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint = example()
    save(tmp_path / "model.npz", checkpoint)
    loaded = load(tmp_path / "model.npz")
    arrays = ("parameters", "moments")
    assert {k: v for k, v in vars_of(loaded).items() if k not in arrays} == {
        k: v for k, v in vars_of(checkpoint).items() if k not in arrays
    }
    assert loaded.moments.steps == 7
    for got, expected in (
        (loaded.parameters, checkpoint.parameters),
        (loaded.moments.mean, checkpoint.moments.mean),
        (loaded.moments.square, checkpoint.moments.square),
    ):
        assert list(got) == list(expected)
        assert all((got[name] == expected[name]).all() and got[name].dtype == np.float32 for name in expected)


def vars_of(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}


def test_equal_states_are_equal_bytes_that_know_no_clock(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", example())
    save(tmp_path / "b.npz", load(tmp_path / "a.npz"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def change_meta(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Array]], object]:
    def changed(arrays: dict[str, Array]) -> None:
        meta = json.loads(arrays["meta"].tobytes())
        change(meta)
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)

    return changed


def put(name: str, array: Array) -> Callable[[dict[str, Array]], object]:
    return lambda arrays: arrays.__setitem__(name, array)


# what happens to the file, and what is said about it
DAMAGE: list[tuple[Callable[[dict[str, Array]], object], str]] = [
    (lambda a: a.pop("meta"), "is an .npz file of something else: it holds 'history', 'parameters/conv1.weight'"),
    (put("meta", np.zeros(3)), "is an .npz file of something else"),
    (put("meta", np.frombuffer(b"{", np.uint8)), "is damaged: its description is not JSON"),
    (put("meta", np.frombuffer(b"\xff\xfe", np.uint8)), "is damaged: its description is not JSON"),
    (put("meta", np.frombuffer(b"[1]", np.uint8)), "its description does not say that it is a convgrad model"),
    (change_meta(lambda m: m.update(format="other")), "does not say that it is a convgrad model"),
    (change_meta(lambda m: m.update(schema=2)), "has format version 2, and this convgrad reads 1"),
    (change_meta(lambda m: m.pop("network")), "its description lacks or garbles 'network'"),
    (change_meta(lambda m: m["config"].pop("seed")), "its description lacks or garbles 'seed'"),
    (change_meta(lambda m: m["config"].update(extra=1)), "its description lacks or garbles 'extra'"),
    (change_meta(lambda m: m["config"].update(seed="3")), "its description lacks or garbles 'seed'"),
    (change_meta(lambda m: m.update(steps=-1)), "its description lacks or garbles 'steps'"),
    (change_meta(lambda m: m["network"].update(widths=[2, 0])), "sizes that are not positive whole numbers"),
    (change_meta(lambda m: m["network"].update(widths=[])), "sizes that are not positive whole numbers"),
    (change_meta(lambda m: m["network"].update(widths=["a"])), "sizes that are not positive whole numbers"),
    (change_meta(lambda m: m["network"].update(classes=10**9)), "sizes that are not positive whole numbers"),
    (change_meta(lambda m: m["classes"].pop()), "2 class names for 3 classes"),
    (change_meta(lambda m: m["preprocessing"].update(width=9)), r"it prepares images of \(1, 6, 9\)"),
    (change_meta(lambda m: m["network"].update(widths=[2, 5])), r"is float32\(4, 2, 3, 3\), not float32\(5,"),
    (lambda a: a.pop("mean/conv1.bias"), "'mean/conv1.bias' is missing"),
    (put("parameters/conv9.bias", np.zeros(1)), "'parameters/conv9.bias' is not part of a model"),
    (put("parameters/dense.bias", np.zeros(3)), "parameters/dense.bias is float64"),
    (put("parameters/dense.bias", np.array([0, np.nan, 0], "f4")), "parameters/dense.bias holds NaN or infinity"),
    (put("history", np.zeros((2, 3))), "its history is not a table of four"),
    (put("history", np.full((2, 4), np.nan)), "its history is not a table of four"),
    (lambda a: a.pop("history"), "its history is not a table of four"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), DAMAGE, ids=[str(n) for n in range(len(DAMAGE))])
def test_damaged_and_foreign_models_are_refused_with_the_reason(
    change: Callable[[dict[str, Array]], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.npz"
    save(path, example())
    arrays = contents(path)
    change(arrays)
    path.write_bytes(pack(arrays))
    with pytest.raises(InputError, match=f"{message}.*; accepted: a model.npz that `convgrad train` wrote$") as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_truncation_and_no_flipped_byte_ends_in_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save(path, example())
    whole = path.read_bytes()
    for position in range(0, len(whole), 37):
        path.write_bytes(whole[:position])
        with pytest.raises(InputError):
            load(path)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            loaded = load(path)
        except InputError:
            continue
        assert loaded.history == example().history  # the flip hit a byte that means nothing


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty"])
def test_what_is_no_file_of_arrays_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "hello")
    with pytest.raises(InputError, match=f"^{path}: .*; accepted: a model.npz"):
        load(path)


# writing


def test_a_file_is_replaced_as_a_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"one")
    (tmp_path / "usual").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "usual").unlink()
    path.chmod(0o640)
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace", "tempfile.mkstemp"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.npz"
    save(path, example())
    before = path.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(where, full)
    with pytest.raises(InputError, match=r"model.npz: cannot be written \(No space left on device\); accepted: a writ"):
        save(path, replace(example(), history=()))
    monkeypatch.undo()
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(b"old")

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".model.npz.ab12.tmp", "model.npz", ".other.tmp", "model.npz.tmp"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path / "model.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"model.npz", ".other.tmp", "model.npz.tmp"}


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot be created as a folder"):
            make_folder(path)
