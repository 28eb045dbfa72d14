"""Training: the network's arithmetic, float32 throughout, the same bytes however the run was cut up, plain refusals."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autograd import grad
from numpy.typing import NDArray

from convgrad import definition
from convgrad.cli import main
from convgrad.geometry import Axis, Geometry
from convgrad.train import adam, files, loop, progress, report
from convgrad.train.checkpoint import Config, Epoch, load
from convgrad.train.data import load as load_data
from convgrad.train.network import (
    Network,
    activations,
    default_widths,
    initial_parameters,
    log_probabilities,
    logits,
    loss,
    shapes,
    sizes,
)

Array = NDArray[Any]

Run = Callable[..., int]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty 7x5 images of two classes: bright above, bright below; the easiest task with an odd size."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.integers(0, 90, (40, 7, 5))
    x[y == 0, :3] += 160
    x[y == 1, 4:] += 160
    np.savez(tmp_path / "small.npz", x=x.astype(np.uint8), y=y)
    return tmp_path / "small.npz"


def arguments(data: Path, out: Path, epochs: int, *more: str) -> list[str]:
    small = ["--widths", "3,4", "--batch", "8", "--epochs", str(epochs), "-q"]
    return ["train", "--data", str(data), "--out", str(out), *small, *more]


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """run(out, epochs, *more) trains in this process; the report is a stub, its own tests are elsewhere."""
    monkeypatch.setattr(report, "write", lambda path, *rest: files.write_atomically(path, b"report"))

    def train(out: str, epochs: int, *more: str) -> int:
        return main(arguments(data, tmp_path / out, epochs, *more))

    yield train


def model(tmp_path: Path, out: str) -> bytes:
    return (tmp_path / out / "model.npz").read_bytes()


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was said."""
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured
    assert captured.err.startswith("convgrad: ")
    return captured.err.removeprefix("convgrad: ").rstrip("\n")


# the network


def test_the_network_is_convolution_relu_pool_and_a_dense_layer() -> None:
    network = Network(2, 5, 4, 3, (2, 3))
    rng = np.random.default_rng(0)
    parameters = {name: rng.integers(-3, 4, shape).astype(np.float64) for name, shape in shapes(network).items()}
    x = rng.integers(-4, 5, (2, 2, 5, 4)).astype(np.float64)

    h, seen = x, {}
    for name, channels in (("conv1", 2), ("conv2", 3)):
        axes = (Axis(5, 3, before=1, after=1), Axis(4, 3, before=1, after=1))
        geometry = Geometry(2, h.shape[1], channels, 1, axes)
        h = definition.forward(h, parameters[f"{name}.weight"], geometry)
        h = np.maximum(h + parameters[f"{name}.bias"][:, None, None], 0)
        seen[name] = h
    pooled = np.zeros((2, 3, 3, 2))
    for row in range(5):
        for column in range(4):
            place = pooled[:, :, row // 2, column // 2]
            np.maximum(place, h[:, :, row, column], out=place)
    expected = pooled.reshape(2, -1) @ parameters["dense.weight"].T + parameters["dense.bias"]

    assert (logits(network, parameters, x) == expected).all()
    answers = activations(network, parameters, x)
    assert list(answers) == ["conv1", "conv2"] and all((answers[name] == seen[name]).all() for name in seen)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (8, 8, [(8, 8), (8, 8), (4, 4)]),
        (28, 28, [(28, 28), (14, 14), (7, 7)]),
        (64, 48, [(64, 48), (32, 24), (16, 12), (8, 6)]),
        (9, 7, [(9, 7), (9, 7), (5, 4)]),
        (1, 1, [(1, 1), (1, 1), (1, 1)]),
    ],
)
def test_images_of_every_size_reach_the_dense_layer_small(
    height: int, width: int, expected: list[tuple[int, int]]
) -> None:
    network = Network(1, height, width, 2, default_widths(height, width))
    assert sizes(network) == expected
    parameters = initial_parameters(network, np.random.default_rng(0))
    assert logits(network, parameters, np.zeros((3, 1, height, width), np.float32)).shape == (3, 2)


def test_the_loss_is_the_mean_surprise_and_survives_huge_scores() -> None:
    network = Network(1, 2, 2, 2, (1,))
    parameters = {name: np.zeros(shape) for name, shape in shapes(network).items()}
    x = np.zeros((2, 1, 2, 2))
    parameters["dense.bias"] = np.array([np.log(3.0), 0.0])
    expected = -(np.log(0.75) + np.log(0.25)) / 2
    assert abs(float(loss(network, parameters, x, np.array([0, 1]))) - expected) < 1e-15
    parameters["dense.bias"] = np.array([1e4, 0.0])
    assert loss(network, parameters, x, np.array([0, 1])) == 5000
    assert np.exp(log_probabilities(network, parameters, x)).tolist() == [[1, 0], [1, 0]]


def test_the_gradient_of_the_loss_is_that_of_finite_differences() -> None:
    network = Network(2, 5, 4, 3, (2, 3))
    rng = np.random.default_rng(1)
    parameters = {name: rng.standard_normal(shape) for name, shape in shapes(network).items()}
    x, y = rng.random((3, 2, 5, 4)), np.array([0, 2, 1])
    gradients = grad(lambda p: loss(network, p, x, y))(parameters)
    for name, value in parameters.items():
        direction = rng.standard_normal(value.shape)
        ends = [loss(network, {**parameters, name: value + step * direction}, x, y) for step in (1e-6, -1e-6)]
        difference = (ends[0] - ends[1]) / 2e-6
        assert abs(difference - (gradients[name] * direction).sum()) < 1e-7


def test_everything_stays_in_single_precision(run: Run, tmp_path: Path) -> None:
    network = Network(1, 9, 7, 3, (2, 3))
    parameters = initial_parameters(network, np.random.default_rng(0))
    x = np.random.default_rng(1).random((4, 1, 9, 7), dtype=np.float32)
    assert loss(network, parameters, x, np.array([0, 1, 2, 0])).dtype == np.float32
    gradients = grad(lambda p: loss(network, p, x, np.array([0, 1, 2, 0])))(parameters)
    moved, moments = adam.step(parameters, gradients, adam.at_rest(parameters), 0.01)
    for group in (parameters, gradients, moved, moments.mean, moments.square):
        assert {value.dtype for value in group.values()} == {np.dtype(np.float32)}
    assert grad(lambda x: loss(network, parameters, x, np.array([0, 1, 2, 0])))(x).dtype == np.float32


def test_adam_takes_the_steps_of_the_paper() -> None:
    gradients = [np.array([0.5, -2.0]), np.array([1.0, 4.0]), np.array([-0.25, 0.0])]
    w, m, v = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    parameters = {"w": w.copy()}
    moments = adam.at_rest(parameters)
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        parameters, moments = adam.step(parameters, {"w": g}, moments, 0.1)
    assert moments.steps == 3
    assert np.abs(parameters["w"] - w).max() < 1e-14 and np.abs(moments.square["w"] - v).max() < 1e-16


# a run


def test_a_run_learns_and_leaves_model_and_report(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("out", 12) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("held-out accuracy 100.00 %  (8 of 8 images, ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.npz", "report.html"}
    checkpoint = load(tmp_path / "out" / "model.npz")
    assert len(checkpoint.history) == 12 and checkpoint.moments.steps == 12 * 4
    losses = [epoch.train_loss for epoch in checkpoint.history]
    assert losses[-1] < losses[0] / 2 and checkpoint.history[-1].test_accuracy == 1
    assert checkpoint.config.data == "small.npz" and checkpoint.classes == ("0", "1")


def test_a_run_as_json_is_one_document(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("out", 2, "--json", "--seed", "5") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["command"], document["config"]["seed"]) == (1, "train", 5)
    result = document["result"]
    assert result["model"] == str(tmp_path / "out" / "model.npz") and len(result["history"]) == 2
    assert (
        result["test_accuracy"]
        == result["test_right"] / result["test_images"]
        == result["history"][-1]["test_accuracy"]
    )


def test_without_a_terminal_each_epoch_is_a_line(
    data: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = arguments(data, tmp_path / "out", 3)
    assert main([word for word in quiet if word != "-q"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line[:11] for line in lines] == ["epoch 1/3  ", "epoch 2/3  ", "epoch 3/3  "]
    assert all("held out: loss" in line for line in lines)


def test_on_a_terminal_a_bar_shows_loss_and_accuracy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown(epochs=2, batches=3, done=1, quiet=False) as bar:
        assert isinstance(bar, progress.Bar)
        bar.batch(2, 1, 0.75)
        assert bar.display.tasks[0].completed == 4  # type: ignore[attr-defined]
        bar.epoch(2, Epoch(0.5, 0.9, 0.6, 0.875))
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown and "loss 0.500" in shown and "held out: 87.50 %" in shown


def test_two_runs_with_one_seed_are_equal_bytes_and_another_seed_is_another_model(run: Run, tmp_path: Path) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run(out, 3, "--seed", seed) == 0
    assert model(tmp_path, "a") == model(tmp_path, "b") != model(tmp_path, "c")


def test_without_augmentation_the_model_is_another(run: Run, tmp_path: Path) -> None:
    assert run("a", 2) == run("b", 2, "--no-augment") == 0
    assert model(tmp_path, "a") != model(tmp_path, "b")


@pytest.mark.parametrize(("brightness", "ground"), [(0.2, 0.0), (0.9, 1.0)])
def test_what_a_distortion_brings_in_is_what_lies_around_the_training_images(
    brightness: float, ground: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "flat.npz", x=np.full((8, 4, 4), brightness), y=np.arange(8) % 2)
    dataset, given = load_data(str(tmp_path / "flat.npz"), 0), []
    monkeypatch.setattr(loop, "distort", lambda x, rng, ground: given.append(ground) or x)
    loop.train(dataset, Config(0, 1, 8, 1e-3, True, "", ""), Network(1, 4, 4, 2, (1,)))
    assert given == [ground]


def test_the_bundled_digits_are_learnt(tmp_path: Path) -> None:
    digits = load_data("digits", 0)
    network = Network(1, 8, 8, 10, (8, 16))
    config = Config(0, 4, 32, 4e-3, False, "digits", "")
    final = loop.train(digits, config, network)
    assert final.history[-1].test_accuracy >= 0.94


def test_no_image_is_left_out_of_an_epoch(data: Path) -> None:
    dataset = load_data(str(data), 0)
    network, seen = Network(1, 7, 5, 2, (1,)), []
    config = Config(0, 2, 7, 1e-3, False, "", "")
    loop.train(dataset, config, network, on_batch=lambda epoch, done, value: seen.append((epoch, done)))
    assert loop.batches(dataset, config) == 5  # 32 images in batches of 7: the last holds 4
    assert seen == [(epoch, done) for epoch in (1, 2) for done in range(1, 6)]


# interruption and resumption


def interrupt(*args: Any) -> Epoch:
    raise KeyboardInterrupt


def test_more_epochs_later_are_the_bytes_of_all_at_once(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("whole", 5) == 0
    assert run("parts", 2) == 0
    assert run("parts", 5, "--resume") == 0
    assert model(tmp_path, "whole") == model(tmp_path, "parts")
    capsys.readouterr()
    assert run("parts", 5, "--resume") == 0  # nothing left to do: says the result again
    assert "held-out accuracy" in capsys.readouterr().out and model(tmp_path, "whole") == model(tmp_path, "parts")


def test_ctrl_c_says_what_is_saved_and_exits_130(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, calls = loop.measure, iter(range(100))

    def interrupted(*args: Any) -> Epoch:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "measure", interrupted)
        assert run("cut", 5) == 130
    assert "interrupted; " in (said := capsys.readouterr().err) and "holds 2 of 5 epochs; --resume goes on" in said
    assert len(load(tmp_path / "cut" / "model.npz").history) == 2
    assert run("cut", 5, "--resume") == run("whole", 5) == 0
    assert model(tmp_path, "cut") == model(tmp_path, "whole")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "measure", interrupt)
        assert run("early", 5) == 130
    assert "interrupted; nothing was saved yet" in capsys.readouterr().err


def test_ctrl_c_in_a_terminal_exits_130_and_leaves_a_whole_model(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "model.npz"
    # whoever started the tests in the background has it ignored, and children inherit that
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with start(arguments(data, tmp_path / "out", 100_000), stderr=subprocess.PIPE, **heard) as process:
        try:
            wait_for(path, process)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.count(b"\n") == 1 and b"of 100000 epochs; --resume goes on" in said
    assert load(path).history and [entry.name for entry in path.parent.iterdir()] == ["model.npz"]


# the process kills itself, as hard as kill -9, when the n-th call of a function begins
SUICIDE = """
import os, signal, sys
from importlib import import_module
from convgrad.cli import main
place, name, count, *argv = sys.argv[1:]
target = import_module(place.split(":")[0])
for part in place.split(":")[1:]:
    target = getattr(target, part)
real, calls = getattr(target, name), iter(range(1, 10**9))
def deadly(*args, **kwargs):
    if next(calls) == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
setattr(target, name, deadly)
sys.exit(main(argv))
"""


@pytest.mark.parametrize(
    ("place", "name", "count"),
    [
        ("convgrad.train.adam", "step", 1),  # before anything is saved
        ("convgrad.train.adam", "step", 11),  # inside an epoch
        ("os", "fsync", 3),  # the file is written, not yet renamed (two calls per save)
        ("pathlib:Path", "replace", 3),  # the moment before the rename
        ("os", "fsync", 4),  # the moment after it
    ],
    ids=["first step", "inside an epoch", "while writing", "before renaming", "after renaming"],
)
def test_a_run_killed_anywhere_and_resumed_is_the_bytes_of_one_never_killed(
    place: str, name: str, count: int, data: Path, run: Run, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SUICIDE, place, name, str(count), *arguments(data, tmp_path / "cut", 4)]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run("cut", 4, "--resume") == run("whole", 4) == 0
    assert model(tmp_path, "cut") == model(tmp_path, "whole")
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"model.npz", "report.html"}


def test_kill_9_at_random_moments_again_and_again_changes_no_bit(data: Path, run: Run, tmp_path: Path) -> None:
    path, moments, epochs = tmp_path / "cut" / "model.npz", random.Random(0), 200
    for _ in range(3):
        process = start(arguments(data, tmp_path / "cut", epochs, "--resume"))
        wait_for(path, process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        assert process.wait(timeout=30) == -signal.SIGKILL, "it had ended before"
        assert load(path).history  # whatever the moment, what is there is whole
    assert run("cut", epochs, "--resume") == run("whole", epochs) == 0
    assert model(tmp_path, "cut") == model(tmp_path, "whole")


def start(argv: list[str], **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "convgrad", *argv], stdout=subprocess.DEVNULL, **streams)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(3000):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.01)
    raise TimeoutError(path)


def test_resume_with_nothing_there_starts_and_says_so(
    data: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = [word for word in arguments(data, tmp_path / "out", 1, "--resume") if word != "-q"]
    assert main(loud) == 0
    assert "model.npz: nothing to resume, so this starts from the beginning" in capsys.readouterr().err


def test_resume_takes_what_is_left_open_from_the_run_before(data: Path, run: Run, tmp_path: Path) -> None:
    assert run("a", 2, "--learning-rate", "0.01", "--no-augment") == 0
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "a"), "--resume", "-q"]) == 0
    config = load(tmp_path / "a" / "model.npz").config
    assert (config.epochs, config.batch, config.learning_rate, config.augment) == (2, 8, 0.01, False)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "1"], "--seed: cannot go on: the run has --seed 0, and now it is 1; accepted: --seed 0, or a new"),
        (["--widths", "3,5"], "--widths: cannot go on: the run has --widths 3,4, and now it is 3,5; accepted"),
        (["--batch", "9"], "--batch: cannot go on: the run has --batch 8, and now it is 9"),
        (["--learning-rate", "1"], "--learning-rate: cannot go on: the run has --learning-rate 0.004, and now it is 1"),
        (["--no-augment"], "--augment: cannot go on: the run has --augment True, and now it is False"),
        (["--epochs", "1"], "--epochs: cannot go on: 2 epochs are done, more than 1; accepted: --epochs 2 or more"),
        (["--data", "digits"], "--data: cannot go on: the run has --data small.npz ("),
    ],
)  # fmt: skip
def test_resume_of_another_run_is_refused_and_names_the_difference(
    more: list[str], message: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("a", 2) == 0
    before = model(tmp_path, "a")
    capsys.readouterr()
    assert run("a", 2, "--resume", *more) == 2
    assert refusal(capsys).startswith(message)
    assert model(tmp_path, "a") == before


def test_the_same_images_under_another_name_may_go_on(data: Path, run: Run, tmp_path: Path) -> None:
    assert run("a", 1) == 0
    data.rename(tmp_path / "moved.npz")
    assert run("a", 2, "--resume", "--data", str(tmp_path / "moved.npz")) == 0


# refusals


def test_an_existing_model_is_not_touched_without_a_word(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("a", 1) == 0
    before = model(tmp_path, "a")
    capsys.readouterr()
    assert run("a", 2) == 2
    said = refusal(capsys)
    assert "model.npz: there is a model already; accepted: " in said and "--resume" in said and "--overwrite" in said
    assert model(tmp_path, "a") == before
    assert run("a", 2, "--overwrite") == 0 and len(load(tmp_path / "a" / "model.npz").history) == 2
    assert run("a", 2, "--overwrite", "--resume") == 2


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\x03\x04"])
def test_a_foreign_model_is_not_resumed(
    content: bytes, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.npz").write_bytes(content)
    assert run("a", 1, "--resume") == 2
    assert "accepted: a model.npz that `convgrad train` wrote" in refusal(capsys)
    assert model(tmp_path, "a") == content


def test_a_full_disk_is_one_line_and_the_epochs_before_it_stay(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace, calls = Path.replace, iter(range(100))

    def full(self: Path, target: Path) -> Path:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert run("a", 4) == 2
    assert "model.npz: cannot be written (No space left on device); accepted: " in refusal(capsys)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model.npz"]
    assert run("a", 4, "--resume") == run("b", 4) == 0
    assert model(tmp_path, "a") == model(tmp_path, "b")


def test_an_out_that_cannot_be_a_folder_is_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run("file", 1) == 2
    assert "file: cannot be created as a folder" in refusal(capsys)


def test_bad_data_is_one_line_and_makes_no_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("out", 1, "--data", str(tmp_path / "none.npz")) == 2
    assert "none.npz: there is no such file or folder; accepted: " in refusal(capsys)
    assert not (tmp_path / "out").exists()


def test_a_run_that_diverges_stops_with_advice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "measure", lambda *args: Epoch(float("nan"), 0, 0, 0))
    assert run("a", 1, "--learning-rate", "9") == 2
    assert refusal(capsys) == (
        "--learning-rate 9: the loss is no longer finite in epoch 1; accepted: a smaller learning rate"
    )
    assert not (tmp_path / "a" / "model.npz").exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--epochs", "0"), ("--epochs", "x"), ("--batch", "0"), ("--learning-rate", "0"), ("--learning-rate", "nan"),
        ("--learning-rate", "x"), ("--widths", "3,"), ("--widths", "0"), ("--widths", "1,1,1,1,1,1,1,1,1"),
        ("--widths", "4096"),
    ],
    ids="=".join,
)  # fmt: skip
def test_numbers_that_make_no_sense_are_usage_errors(
    option: tuple[str, str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("a", 1, *option) == 2
    assert f"error: argument {option[0]}" in capsys.readouterr().err
