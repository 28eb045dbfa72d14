"""Training data: every source gives the same kind of data set, every bad file one line that names it."""

from __future__ import annotations

import gzip
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from convgrad.errors import InputError
from convgrad.train import idx, images
from convgrad.train.augment import distort, sample
from convgrad.train.data import border, fingerprint, load

Array = NDArray[Any]
ROOT = Path(__file__).parent.parent


def write_idx(path: Path, array: Array) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def numbered(count: int, height: int = 4, width: int = 5) -> Array:
    """Images uint8 (count, height, width), no two alike: the first pixel is the number of the image."""
    x = np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)
    x[:, 0, 0] = np.arange(count)
    return x


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def picture_folder(root: Path, sizes: dict[str, list[tuple[int, int]]], mode: str = "L") -> Path:
    rng = np.random.default_rng(1)
    for name, members in sizes.items():
        (root / name).mkdir(parents=True)
        for number, (height, width) in enumerate(members):
            shape = (height, width) if mode == "L" else (height, width, 3)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / name / f"{number}.png")
    return root


# the bundled digits


def test_the_bundled_digits_are_all_there_and_split_by_class() -> None:
    digits = load("digits", seed=0)
    assert digits.x_train.shape == (1438, 1, 8, 8) and digits.x_test.shape == (359, 1, 8, 8)
    assert digits.x_train.dtype == digits.x_test.dtype == np.float32 and digits.y_train.dtype == np.int64
    assert digits.classes == tuple("0123456789")
    assert digits.x_train.min() == 0 and digits.x_train.max() == 1
    assert np.bincount(digits.y_test).min() >= 34 and np.bincount(digits.y_test).max() <= 37


def test_the_bundled_digits_are_those_of_scikit_learn_and_their_script_writes_the_same_arrays(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bundled = np.load(ROOT / "src/convgrad/train/digits.npz", allow_pickle=False)
    digits = datasets.load_digits()
    assert (bundled["x"] == digits.images).all() and (bundled["y"] == digits.target).all()
    made = tmp_path / "digits.npz"
    subprocess.run([sys.executable, ROOT / "tools/make_digits.py", made], check=True, capture_output=True)
    with zipfile.ZipFile(made) as new, zipfile.ZipFile(ROOT / "src/convgrad/train/digits.npz") as old:
        assert [(e.filename, e.CRC, e.date_time) for e in new.infolist()] == [
            (e.filename, e.CRC, e.date_time) for e in old.infolist()
        ]


# the split


def test_the_split_loses_no_image_and_repeats_none(tmp_path: Path) -> None:
    x, y = numbered(200), np.repeat([3, 5, 9], [150, 45, 5])
    np.savez(tmp_path / "d.npz", x=x, y=y)
    data = load(str(tmp_path / "d.npz"), seed=4)
    both = np.concatenate([data.x_train, data.x_test])[:, 0, 0, 0] * 255
    assert sorted(both.round().astype(int).tolist()) == list(range(200))
    assert data.classes == ("3", "5", "9") and np.bincount(data.y_test).tolist() == [30, 9, 1]
    # each image kept its label
    labels = np.concatenate([data.y_train, data.y_test])
    assert (np.array([3, 5, 9])[labels] == y[both.round().astype(int)]).all()


def test_the_split_depends_on_the_seed_and_on_nothing_else() -> None:
    assert fingerprint(load("digits", 3)) == fingerprint(load("digits", 3))
    assert fingerprint(load("digits", 3)) != fingerprint(load("digits", 4))


# .npz


@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NCHW", "floats", "column", "texts", "parts"])
def test_an_npz_is_understood_in_each_usual_layout(layout: str, tmp_path: Path) -> None:
    x = numbered(12, 6, 5)
    y = np.arange(12) % 2
    arrays: dict[str, Array] = {"x": x, "y": y}
    if layout == "NHWC":
        arrays["x"] = np.stack([x, x // 2, x // 4], axis=-1)
    elif layout == "NCHW":
        arrays["x"] = np.stack([x, x // 2, x // 4], axis=1)
    elif layout == "floats":
        arrays = {"x": x / 255, "y": y.astype(float)}
    elif layout == "column":
        arrays["y"] = y[:, None]
    elif layout == "texts":
        arrays["y"] = np.array(["0", "1"])[y]
    elif layout == "parts":
        arrays = {"x_train": x[:8], "y_train": y[:8], "x_test": x[8:], "y_test": y[8:]}
    np.savez(tmp_path / "d.npz", **arrays)
    data = load(str(tmp_path / "d.npz"), seed=0)
    channels = 3 if layout in ("NHWC", "NCHW") else 1
    assert data.x_train.shape[1:] == (channels, 6, 5) and data.classes == ("0", "1")
    assert len(data.x_train) + len(data.x_test) == 12 and 0.9 < data.x_train.max() <= 1
    if channels == 3:
        raw = (data.x_train * 255).round().astype(int)
        assert (raw[:, 1] == raw[:, 0] // 2).all() and (raw[:, 2] == raw[:, 0] // 4).all()
    p = data.preprocessing
    assert (p.channels, p.height, p.width, p.border) == (channels, 6, 5, border(data.x_train))
    if layout == "parts":
        assert (data.x_test[:, 0, 0, 0] * 255).round().tolist() == [8, 9, 10, 11]


def test_the_border_is_the_frame_of_the_image() -> None:
    x = np.array([[[[1, 2, 3], [4, 100, 5], [6, 7, 8]]]], np.float32)
    assert border(x) == 36 / 8


BROKEN = np.stack([np.full((3, 3), value) for value in (0, 1, np.inf, np.nan)])
X, Y = np.zeros((4, 3, 3), np.uint8), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, r"holds 'y', so that images and labels are not both there"),
        ({"a": X, "b": Y}, r"holds 'a', 'b', so that"),
        ({"x": X[0], "y": Y}, r"x has shape \(3, 3\), which is no stack of images"),
        ({"x": X[:, :, :, None, None], "y": Y}, r"x has shape \(4, 3, 3, 1, 1\), which is no stack"),
        ({"x": np.zeros((4, 5, 5, 2)), "y": Y}, r"x has shape \(4, 5, 5, 2\)"),
        ({"x": X[:0], "y": Y[:0]}, r"x has shape \(0, 3, 3\)"),
        ({"x": X, "y": Y[:3]}, r"y has shape \(3,\), but x holds 4 images"),
        ({"x": X, "y": Y + 0.5}, r"y has dtype float64, or values that are not whole"),
        ({"x": X, "y": np.array([0, 1, np.nan, 0])}, r"y has dtype float64, or values that are not whole"),
        ({"x": BROKEN, "y": Y}, r"x holds .*, first in image 2"),
        ({"x": X.astype(complex), "y": Y}, r"x has dtype complex128, which is no brightness"),
        ({"x": X, "y": Y * 0}, r"holds class '0' only, so that there is nothing to tell apart"),
        ({"x": X, "y": np.array([0, 0, 0, 1])}, r"class '1' has a single image"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, r"class 2 is in the test part only"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"test images are \(1, 2, 3\), but training"),
        ({"x": X, "y": np.array([0, 0, "a", None], object)}, r"the array 'y' holds pickled objects"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_classification_data_are_refused(
    arrays: dict[str, Array], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(InputError, match=f"^{path}: {message}.*; accepted: "):
        load(str(path), seed=0)


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    np.savez_compressed(good, x=numbered(4), y=Y)
    data = good.read_bytes()
    cases = {
        "cut.npz": (data[: len(data) // 2], "is no .npz file, or a damaged one"),
        "empty.npz": (b"", "is no .npz file, or a damaged one"),
        "text.npz": (b"not a zip", "is no .npz file, or a damaged one"),
        "pickle.npz": (pickle.dumps([1]), "is no .npz file"),
        "flipped.npz": (data[:70] + bytes([data[70] ^ 255]) + data[71:], "damaged"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            load(str(tmp_path / name), seed=0)
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"is a zip file with 'readme.txt' in it, which is no array"):
        load(str(tmp_path / "zip.npz"), seed=0)


@pytest.mark.parametrize("position", range(0, 600, 23))
def test_no_flipped_byte_in_an_npz_ends_in_a_traceback(position: int, tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=numbered(4), y=Y)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 0x55
    path.write_bytes(data)
    try:
        load(str(path), seed=0)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: there is no such file or folder; accepted: "),
        ("data.csv", "data.csv: is a file of type '.csv'; accepted: "),
        ("plain", "plain: is a file of type 'unknown'; accepted: "),
    ],
)
def test_sources_of_no_known_kind_are_refused(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data.csv", "plain"):
        Path(name).write_text("1,2")
    with pytest.raises(InputError, match=f"^{message}"):
        load(source, seed=0)


# IDX


@pytest.mark.parametrize(
    ("images_name", "labels_name"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    ],
)
def test_idx_files_come_with_their_own_test_part(images_name: str, labels_name: str, tmp_path: Path) -> None:
    x, y = numbered(20), np.arange(20) % 3
    for part, chosen in (("train", slice(0, 14)), ("t10k", slice(14, 20))):
        write_idx(tmp_path / images_name.replace("train", part), x[chosen])
        write_idx(tmp_path / labels_name.replace("train", part), y[chosen])
    data = load(str(tmp_path), seed=0)
    assert (data.x_train[:, 0] * 255).round().astype(int).tolist() == x[:14].tolist()
    assert data.y_train.tolist() == y[:14].tolist() and data.y_test.tolist() == y[14:].tolist()
    assert data.name == tmp_path.name


def test_idx_files_without_a_test_part_are_split(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", numbered(20))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(20) % 2)
    data = load(str(tmp_path), seed=0)
    assert (len(data.x_train), len(data.x_test)) == (16, 4)


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_an_idx_file_holds_the_array_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, a: int, b: int, c: int, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / ("x.gz" if packed else "x")
    array = np.arange(a * b * c).reshape(a, b, c)
    write_idx(path, array)
    assert (idx.read(path, 3) == array).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:100], r"idx3-ubyte: is truncated: shape \(20, 4, 5\) needs 416 bytes, and .* 100"),
        (lambda data: data + b"!", r"train-images-idx3-ubyte: has bytes left over"),
        (lambda data: data[:9], r"train-images-idx3-ubyte: ends after 9 bytes, inside its header of 16"),
        (lambda data: b"\1" + data[1:], r"begins with 01 00 08 03, which is no IDX file's magic number"),
        (lambda data: data[:2] + b"\x0d" + data[3:], r"has the magic number 00 00 0d 03, but 3-D bytes"),
        (lambda data: b"", r"begins with nothing, which is no IDX"),
        (lambda data: data[:4] + b"\0\0\0\x13" + data[8:396], r"holds 20 labels, but '.*' holds 19"),
    ],
)  # fmt: skip
def test_damaged_idx_files_are_named(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    write_idx(path, numbered(20))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(20) % 2)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=message):
        load(str(tmp_path), seed=0)


def test_idx_files_that_do_not_pair_up_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", numbered(4))
    with pytest.raises(InputError, match="has images in 'train-images-idx3-ubyte' and 0 files of labels for them"):
        load(str(tmp_path), seed=0)
    write_idx(tmp_path / "train-images.idx3-ubyte", numbered(4))
    with pytest.raises(InputError, match="holds 2 files of training images and 0 of test images"):
        load(str(tmp_path), seed=0)


def test_a_gzip_that_ends_early_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    write_idx(path, numbered(20))
    path.write_bytes(path.read_bytes()[:-20])
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(20) % 2)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz: is damaged: it does not unpack"):
        load(str(tmp_path), seed=0)


# folders of pictures


def test_a_folder_of_pictures_has_the_names_of_its_sub_folders_as_classes(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "pets", {"dog": [(6, 7)] * 5, "cat": [(6, 7)] * 6})
    (root / ".git").mkdir()
    (root / "cat" / ".DS_Store").write_text("")
    (root / "notes.txt").write_text("not an image")
    data = load(str(root), seed=0)
    assert data.classes == ("cat", "dog") and data.name == "pets"
    assert data.x_train.shape == (9, 1, 6, 7) and len(data.x_test) == 2
    assert data.preprocessing.scale == 1 / 255
    first = np.asarray(Image.open(root / "cat" / "0.png")).astype(np.float32) * np.float32(1 / 255)
    assert any((first == x[0]).all() for x in [*data.x_train, *data.x_test])


def test_pictures_of_different_sizes_come_to_their_median_size_and_colour_wins(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "p", {"a": [(10, 20), (30, 20)], "b": [(15, 60), (100, 10)]}, mode="RGB")
    assert load(str(root), seed=0).x_train.shape[1:] == (3, 22, 20)
    big = picture_folder(tmp_path / "q", {"a": [(100, 200)] * 2, "b": [(100, 200)] * 2})
    assert load(str(big), seed=0).x_train.shape[1:] == (1, 32, 64)


def test_the_common_size_is_that_of_upright_pictures(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "p", {"a": [(6, 9)] * 2, "b": [(6, 9)] * 2})
    exif = Image.Exif()
    exif[0x0112] = 8
    for path in root.rglob("*.png"):
        Image.open(path).save(path, exif=exif)
    assert load(str(root), seed=0).x_train.shape[1:] == (1, 9, 6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "c").mkdir(), r"c: is a class with no PNG or JPEG picture in it; acc"),
        (lambda root: (root / "a" / "0.png").write_bytes(b"\x89PNG"), r"a/0.png: is no PNG or JPEG, or its header"),
        (lambda root: cut(root / "b" / "1.png", 60), r"b/1.png: is damaged"),
        (lambda root: (root / "b" / "2.jpg").write_text("GIF89a"), r"b/2.jpg: is no PNG or JPEG"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_folder_of_pictures_is_named(spoil: Any, message: str, tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "p", {"a": [(9, 9)] * 3, "b": [(9, 9)] * 3})
    spoil(root)
    with pytest.raises(InputError, match=message):
        load(str(root), seed=0)


def test_folders_without_two_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no sub-folder and no IDX files; accepted"):
        load(str(tmp_path), seed=0)
    Image.new("L", (4, 4)).save(tmp_path / "loose.png")
    with pytest.raises(InputError, match=r"no IDX files \(pictures lie loose in it\)"):
        load(str(tmp_path), seed=0)
    picture_folder(tmp_path, {"only": [(4, 4)] * 3})
    with pytest.raises(InputError, match="holds class 'only' only"):
        load(str(tmp_path), seed=0)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)  # root reads everything, so the refusal is played
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); accepted: a readable folder"):
        load(str(tmp_path), seed=0)


# single pictures


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6), np.uint8)
    pixels[0, :] = 255  # top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the top comes to the right
    Image.fromarray(pixels).save(tmp_path / "t.png", exif=exif)
    turned = images.read(tmp_path / "t.png", 1, 6, 4)[0]
    assert (turned[:, 3] == 255).all() and (turned[:, :3] == 0).all()


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0)])
def test_transparent_drawings_lie_on_the_ground_that_shows_them(ink: int, ground: int, tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[1, 2] = (ink, ink, ink, 255)
    Image.fromarray(pixels).save(tmp_path / "t.png")
    expected = np.full((4, 4), ground)
    expected[1, 2] = ink
    assert (images.read(tmp_path / "t.png", 1, 4, 4)[0] == expected).all()


def test_pictures_of_every_mode_come_out_grey_or_coloured(tmp_path: Path) -> None:
    grey = np.array([[0, 64], [128, 255]], np.uint8)
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA"):
        Image.fromarray(grey).convert(mode).save(tmp_path / f"{mode}.png")
        assert images.read(tmp_path / f"{mode}.png", 3, 2, 2).shape == (3, 2, 2)
        if mode != "1":
            assert (images.read(tmp_path / f"{mode}.png", 1, 2, 2)[0] == grey).all(), mode
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert (images.read(tmp_path / "deep.png", 1, 2, 2)[0] == grey).all()
    Image.fromarray(np.stack([grey] * 3, -1)).convert("CMYK").save(tmp_path / "print.jpg")
    assert images.read(tmp_path / "print.jpg", 3, 2, 2).shape == (3, 2, 2)


def test_reducing_takes_means_over_areas(tmp_path: Path) -> None:
    pixels = np.kron([[10, 200], [30, 90]], np.ones((3, 5))).astype(np.uint8)
    pixels[0, :5] += 12  # changes the mean of the first area by 4
    Image.fromarray(pixels).save(tmp_path / "t.png")
    assert images.read(tmp_path / "t.png", 1, 2, 2)[0].tolist() == [[14, 200], [30, 90]]


def test_a_picture_that_claims_more_pixels_than_memory_is_refused(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")  # 10 kilobytes
    with pytest.raises(InputError, match=r"bomb.png: has 9000 x 9000 pixels, more than the 64 million that are read"):
        images.read(tmp_path / "bomb.png", 1, 8, 8)
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"bomb.png: claims more than the 64 million pixels that are read"):
        images.read(tmp_path / "bomb.png", 1, 8, 8)


def test_whatever_a_decoder_raises_becomes_a_line_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")

    def broken(picture: object) -> None:
        raise SyntaxError("chunk\nnonsense")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
    with pytest.raises(InputError, match=r"x.png: is damaged \(SyntaxError: chunk nonsense\); accepted: a PNG"):
        images.read(tmp_path / "x.png", 1, 4, 4)


# augmentation


def test_sampling_where_the_pixels_are_changes_nothing() -> None:
    x = np.random.default_rng(0).random((3, 2, 4, 5), dtype=np.float32)
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(5), indexing="ij"), axis=-1).astype(float)
    assert (sample(x, np.broadcast_to(grid, (3, 4, 5, 2)), 7) == x).all()
    shifted = sample(x, np.broadcast_to(grid + np.array([1, -2]), (3, 4, 5, 2)), 7)
    assert (shifted[:, :, :3, 2:] == x[:, :, 1:, :3]).all()
    assert (shifted[:, :, 3] == 7).all() and (shifted[:, :, :, :2] == 7).all()


def test_a_distorted_image_stays_close_and_depends_on_the_generator_alone() -> None:
    x = load("digits", 0).x_train[:50]
    once, again = (distort(x, np.random.default_rng([7, 1]), 0) for _ in range(2))
    other = distort(x, np.random.default_rng([7, 2]), 0)
    assert once.dtype == np.float32 and once.shape == x.shape
    assert (once == again).all() and (once != other).any()
    change = np.abs(once - x).mean()
    assert 0.005 < change < 0.1


def test_images_are_moved_and_stretched_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.broadcast_to(np.arange(1, 41, dtype=np.float32), (200, 1, 40, 40))  # brightness tells the column
    monkeypatch.setattr("convgrad.train.augment.STRETCH", 0.0)
    moved = distort(ramp, np.random.default_rng(0), 0)[:, 0, 20, 20] - 21
    assert -0.03 * 40 <= moved.min() < -1 and 1 < moved.max() <= 0.03 * 40
    monkeypatch.undo()
    monkeypatch.setattr("convgrad.train.augment.SHIFT", 0.0)
    row = distort(ramp, np.random.default_rng(0), 0)[:, 0, 20]
    step = (row[:, 25] - row[:, 15]) / 10
    assert 0.9 < step.min() < 0.92 and 1.08 < step.max() < 1.1
