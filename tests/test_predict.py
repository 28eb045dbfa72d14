"""Prediction: the class of a picture, whatever its file is like, and a drawing of the pixels that decided."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convgrad.cli import main
from convgrad.train import loop
from convgrad.train.adam import at_rest
from convgrad.train.checkpoint import Checkpoint, Config, load, save
from convgrad.train.data import Preprocessing
from convgrad.train.data import load as load_data
from convgrad.train.network import Network, log_probabilities, shapes
from convgrad.train.picture import COLOURS, coloured, explain
from convgrad.train.predict import looks_inverted, pixel_gradient, predict

Array = NDArray[Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that knows the digits."""
    path = tmp_path_factory.mktemp("model") / "model.npz"
    config = Config(0, 5, 32, 4e-3, False, "digits", "")
    save(path, loop.train(load_data("digits", 0), config, Network(1, 8, 8, 10, (6, 12))))
    return path


def scans(count: int) -> tuple[Array, Array]:
    """Held-out scans as 8-bit pictures (N, 8, 8), and what they show."""
    digits = load_data("digits", 0)
    chosen = slice(None, 9 * count, 9)  # the split is ordered by class
    return np.round(digits.x_test[chosen, 0] * 255).astype(np.uint8), digits.y_test[chosen]


def saved(pixels: Array, path: Path) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured
    return captured.err.removeprefix("convgrad: ").rstrip("\n")


def test_pictures_of_held_out_scans_are_recognised(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels, labels = scans(40)
    files = [saved(image, tmp_path / f"{number}.png") for number, image in enumerate(pixels)]
    assert main(["predict", str(model), *files, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["command"], document["config"]["model"]) == (1, "predict", str(model))
    result = document["result"]
    assert [record["image"] for record in result] == files
    right = sum(record["class"] == str(label) for record, label in zip(result, labels, strict=True))
    assert right >= 36
    for record in result:
        shares = record["probabilities"]
        assert list(shares) == list("0123456789") and abs(sum(shares.values()) - 1) < 1e-12
        assert record["class"] == max(shares, key=shares.get)


def test_the_text_names_the_three_likeliest_classes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(scans(1)[0][0], tmp_path / "a.png")
    assert main(["predict", str(model), file]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{file}: ") and out.count(" %") == 3 and out.count("\n") == 1
    shares = [float(word) for word in out.split(": ")[1].split() if "." in word]
    assert shares == sorted(shares, reverse=True) and shares[0] > 50


def test_a_picture_is_judged_alike_alone_and_among_others(model: Path, tmp_path: Path) -> None:
    checkpoint = load(model)
    paths = [Path(saved(image, tmp_path / f"{n}.png")) for n, image in enumerate(scans(3)[0])]
    x = np.concatenate([predict(checkpoint, path).x for path in paths]).astype(np.float64)
    parameters = {name: value.astype(np.float64) for name, value in checkpoint.parameters.items()}
    together = np.exp(log_probabilities(checkpoint.network, parameters, x))
    for path, row in zip(paths, together, strict=True):
        assert np.abs(predict(checkpoint, path).probabilities - row).max() < 1e-12


def test_large_coloured_and_inverted_files_of_one_scan_give_one_class(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in scans(6)[0]:
        large = image.repeat(20, axis=0).repeat(20, axis=1)
        files = [
            saved(image, tmp_path / "small.png"),
            saved(large, tmp_path / "large.jpg"),
            saved(np.stack([large] * 3, axis=-1), tmp_path / "colour.png"),
            saved(255 - large, tmp_path / "paper.png"),
            saved(np.stack([np.zeros_like(large)] * 3 + [large], axis=-1), tmp_path / "ink.png"),  # black on nothing
        ]
        assert main(["predict", str(model), *files, "--json"]) == 0
        captured = capsys.readouterr()
        records = json.loads(captured.out)["result"]
        assert len({record["class"] for record in records}) == 1
        assert [record["inverted"] for record in records] == [False, False, False, True, True]
        assert captured.err.count("black and white exchanged") == 2 and str(tmp_path / "paper.png") in captured.err


def test_inversion_can_be_forced_and_forbidden(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = scans(1)[0][0]
    dark, paper = tmp_path / "dark.png", tmp_path / "paper.png"
    saved(image, dark)
    saved(255 - image, paper)
    checkpoint = load(model)
    usual = predict(checkpoint, dark, "no").probabilities
    assert (predict(checkpoint, dark, "auto").probabilities == usual).all()
    other = predict(checkpoint, paper, "no").probabilities
    assert (predict(checkpoint, dark, "yes").probabilities != usual).any()
    assert np.abs(predict(checkpoint, paper, "yes").probabilities - usual).max() < 1e-5
    assert np.abs(predict(checkpoint, dark, "yes").probabilities - other).max() < 1e-5
    assert main(["predict", str(model), str(paper), "--invert", "yes", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_polarity_is_judged_only_where_training_had_one() -> None:
    bright, dark = np.full((1, 1, 4, 4), 0.9), np.full((1, 1, 4, 4), 0.1)
    scans_on_black, photographs = Preprocessing(1, 4, 4, 1.0, 0.1), Preprocessing(1, 4, 4, 1.0, 0.4)
    assert looks_inverted(bright, scans_on_black) and not looks_inverted(dark, scans_on_black)
    assert not looks_inverted(bright, photographs) and not looks_inverted(dark, photographs)
    scans_on_white = Preprocessing(1, 4, 4, 1.0, 0.95)
    assert looks_inverted(dark, scans_on_white) and not looks_inverted(bright, scans_on_white)
    assert not looks_inverted(np.repeat(bright, 3, axis=1), Preprocessing(3, 4, 4, 1.0, 0.1))


# explanations


def test_the_pixel_gradient_is_that_of_finite_differences(model: Path, tmp_path: Path) -> None:
    checkpoint = load(model)
    parameters = {name: value.astype(np.float64) for name, value in checkpoint.parameters.items()}
    x = scans(1)[0][:1, None] / 255
    x = x + 0.01 * np.random.default_rng(0).random(x.shape)  # away from the ties of the maximum
    gradient = pixel_gradient(checkpoint, x, 3)
    assert gradient.shape == x.shape and gradient.dtype == np.float64
    for row, column in ((0, 0), (3, 4), (7, 2)):
        ends = []
        for step in (1e-6, -1e-6):
            moved = x.copy()
            moved[0, 0, row, column] += step
            ends.append(log_probabilities(checkpoint.network, parameters, moved)[0, 3])
        assert abs((ends[0] - ends[1]) / 2e-6 - gradient[0, 0, row, column]) < 1e-6


def test_the_colours_run_from_blue_over_white_to_orange() -> None:
    shades = coloured(np.array([-2.0, 0.0, 2.0, -1.0]), 2.0)
    assert shades[0].tolist() == COLOURS[0].tolist() and shades[2].tolist() == COLOURS[-1].tolist()
    assert shades[1].tolist() == [255, 255, 255]
    assert shades[0][2] > shades[0][0] and shades[2][0] > shades[2][2]
    # equal strength is equal lightness on both sides, within what an eye tells apart
    lightness = coloured(np.linspace(-1, 1, 9), 1.0) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness[:5]) > 0).all() and (np.diff(lightness[4:]) < 0).all()
    assert np.abs(lightness - lightness[::-1]).max() < 45
    assert (coloured(np.zeros(3), 0.0) == 255).all()


def decoded(file: bytes) -> Array:
    return np.asarray(Image.open(BytesIO(file)).convert("RGB"))


def test_the_drawing_shows_the_image_and_each_pixels_colour_as_crisp_squares() -> None:
    x = np.zeros((1, 1, 2, 2), np.float32)
    x[0, 0, 0, 1] = 1
    gradient = np.array([[[[0.5, -1.0], [0.0, 1.0]]]])
    drawn = decoded(explain(x, gradient, "7", 0.98))
    cell, left, right, top = 168, 28, 28 + 336 + 36, 68
    centres = [(top + cell // 2 + row * cell, column * cell + cell // 2) for row in (0, 1) for column in (0, 1)]
    assert [drawn[y, left + c].tolist() for y, c in centres] == [[0] * 3, [255] * 3, [0] * 3, [0] * 3]
    expected = coloured(gradient[0, 0], 1.0).reshape(-1, 3)
    assert [drawn[y, right + c].tolist() for y, c in centres] == expected.tolist()
    corner = drawn[top + 3 : top + cell - 3, right + 3 : right + cell - 3]
    assert (corner == corner[0, 0]).all()
    assert explain(x, gradient, "7", 0.98) == explain(x, gradient, "7", 0.98)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 64, 64), (1, 1, 64, 3), (1, 1, 3, 64), (1, 3, 400, 500)])
def test_the_drawing_exists_for_images_of_every_shape(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    drawn = decoded(explain(rng.random(shape), rng.standard_normal(shape), "a long name of a class, far too long", 0.5))
    assert drawn.shape[0] > shape[2] and drawn.shape[1] > 2 * shape[3]
    assert decoded(explain(rng.random(shape), np.zeros(shape), "sure", 1.0)).ndim == 3


def test_explain_writes_a_png_for_one_image_and_one_each_for_several(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [saved(image, tmp_path / f"scan{n}.png") for n, image in enumerate(scans(2)[0])]
    out = tmp_path / "new" / "why.png"
    assert main(["predict", str(model), files[0], "--explain", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"][0]["explained"] == str(out)
    assert decoded(out.read_bytes()).shape[2] == 3
    assert main(["predict", str(model), *files, "--explain", str(out)]) == 0
    assert main(["predict", str(model), *files, "--explain", str(tmp_path / "folder")]) == 0
    assert {path.name for path in out.parent.iterdir()} == {"why.png", "why-1.png", "why-2.png"}
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"scan0.png", "scan1.png"}
    assert (tmp_path / "folder" / "scan0.png").read_bytes() == out.read_bytes()


def test_a_certain_answer_is_still_explained(tmp_path: Path) -> None:
    # float32 rounds its probability to 1 and its gradient to 0
    network = Network(1, 2, 2, 2, (1,))
    parameters = {name: np.zeros(shape, np.float32) for name, shape in shapes(network).items()}
    parameters["conv1.weight"][0, 0, 1, 1] = 1
    parameters["dense.weight"][:] = [[30], [0]]
    config, seen = Config(0, 1, 1, 1.0, True, "", ""), Preprocessing(1, 2, 2, 1.0, 0.5)
    checkpoint = Checkpoint(network, parameters, at_rest(parameters), (), ("a", "b"), seen, config)
    gradient = pixel_gradient(checkpoint, np.array([[[[1, 0], [0, 0]]]], np.float32), 0)
    assert gradient[0, 0, 0, 0] > 0 and (gradient[0, 0].ravel()[1:] == 0).all()


# refusals


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "cannot be read (No such file or directory)"),
        ("text.png", b"hello", "is no PNG or JPEG, or its header is damaged"),
        ("empty.jpg", b"", "is no PNG or JPEG, or its header is damaged"),
        ("photo.gif", b"GIF89a\1\0\1\0\0\0\0;", "is no PNG or JPEG, or its header is damaged"),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(
    name: str, content: bytes | None, message: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    good = saved(scans(1)[0][0], tmp_path / "good.png")
    assert main(["predict", str(model), good, str(path), "--explain", str(tmp_path / "why")]) == 2
    assert refusal(capsys) == f"{path}: {message}; accepted: a PNG or JPEG picture"
    assert not (tmp_path / "why").exists()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_no_damage_to_a_picture_ends_in_a_traceback(
    suffix: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"x.{suffix}"
    saved(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8), path)
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 11):
        for damaged in (whole[:position], whole[:position] + b"\xa5" + whole[position + 1 :]):
            path.write_bytes(damaged)
            code = main(["predict", str(model), str(path), "-q"])
            if code == 2:
                refused += 1
                assert refusal(capsys).startswith(f"{path}: ")
            else:
                assert code == 0 and capsys.readouterr().err == ""
    assert refused > 10


def test_a_file_that_is_no_model_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = saved(scans(1)[0][0], tmp_path / "a.png")
    assert main(["predict", picture, picture]) == 2
    assert refusal(capsys).startswith(f"{picture}: is no .npz file, or a damaged one")
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    assert main(["predict", str(tmp_path / "data.npz"), picture]) == 2
    assert "is an .npz file of something else: it holds 'x'; accepted: a model.npz" in refusal(capsys)


def test_an_explanation_goes_to_a_png_or_a_folder(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = saved(scans(1)[0][0], tmp_path / "a.png")
    assert main(["predict", str(model), picture, "--explain", str(tmp_path / "why.jpg")]) == 2
    assert "why.jpg: has the type '.jpg'; accepted: a .png file, or a folder" in refusal(capsys)
    (tmp_path / "file").write_text("")
    assert main(["predict", str(model), picture, "--explain", str(tmp_path / "file" / "why.png")]) == 2
    assert "file: cannot be created as a folder" in refusal(capsys)


def test_without_pillow_the_message_names_the_extra(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = saved(scans(1)[0][0], tmp_path / "a.png")
    for name in ("PIL", "PIL.Image", "PIL.ImageOps"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert main(["predict", str(model), picture]) == 3
    assert refusal(capsys) == (
        'pillow is not installed, and reading pictures needs it; accepted: pip install "convgrad[train]"'
    )
