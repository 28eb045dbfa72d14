"""The benchmark times only what is right, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from peers import peer as peer_library

import convgrad
from convgrad.bench import measure
from convgrad.bench import peers as bench_peers
from convgrad.bench.suites import problems, suites
from convgrad.cli import main
from convgrad.errors import InputError
from convgrad.spelling import parse, spell


def test_every_spelling_of_every_suite_is_a_convolution_in_its_shortest_form() -> None:
    assert set(suites()) == {"resnet50", "neglected", "tiny", "depthwise", "images"}
    for texts in suites().values():
        for text in texts:
            parse(text)
    assert problems(["tiny", "i5 k3"])[-1] == parse("i5 k3")
    with pytest.raises(InputError, match="gigantic: is neither a suite nor a spelling; accepted: resnet50, neglected"):
        problems(["gigantic"])


def test_results_are_checked_and_timed_beside_scipy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "ratios.svg"
    argv = ["bench", "--suite", "i31x29 k5x4 p2x1", "--against", "scipy", "--rounds", "2", "--plot", str(picture), "-q"]
    argv += ["--threads", "1"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.count("shifted") + out.count("im2col") == 3 and "scipy / ours, weight_grad" in out
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert main([*argv, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["result"]["rows"]
    assert [row["role"] for row in rows] == ["forward", "input_grad", "weight_grad"]
    assert all(0 < row["ours"]["least_s"] <= row["ours"]["median_s"] and not row["wrong"] for row in rows)


@pytest.mark.parametrize("peer", ["torch", "jax", "scipy"])
def test_a_peer_is_asked_for_the_same_three_roles(peer: str) -> None:
    peer_library(peer)
    g = parse("i9x8 k3x2 p1")
    rng = np.random.default_rng(0)
    x, w, gy = (rng.integers(-8, 9, s).astype("float64") for s in (g.input_shape, g.weight_shape, g.output_shape))
    found = bench_peers.calls(peer, g, x, w, gy, 1)
    arguments = {"forward": (x, w), "input_grad": (gy, w), "weight_grad": (gy, x)}
    assert set(found) == set(arguments)
    for role, call in found.items():
        exact = measure.exact_result(role, g, *arguments[role])
        assert np.abs(call() - exact).max() < 1e-9  # SciPy may take an FFT


def test_a_wrong_result_of_ours_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = convgrad.api.conv

    def wrong(*arguments: Any, **options: Any) -> Any:
        return right(*arguments, **options) + 0.01

    monkeypatch.setattr(convgrad.api, "conv", wrong)
    with pytest.raises(InputError, match="is outside its bound: nothing is timed that is wrong"):
        measure.measure(parse("i9 k3"), "float32", [], 1, 1, 0)


def test_a_wrong_peer_is_named_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bench_peers, "calls", lambda peer, g, x, w, gy, threads: {"forward": lambda: np.zeros(g.output_shape)}
    )
    row = measure.measure(parse("i9 k3"), "float32", ["liar"], 1, 1, 0)[0]
    assert row.wrong == {"liar": 1.0} and row.theirs == {} and row.spelling == spell(parse("i9 k3"))


def test_an_unknown_or_absent_peer_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["bench", "--against", "abacus", "-q"]) == 2
    assert "against = 'abacus': is no library that this knows to ask" in capsys.readouterr().err
    monkeypatch.setattr(bench_peers, "find_spec", lambda name: None)
    assert main(["bench", "--against", "jax", "-q"]) == 3
    assert (
        capsys.readouterr().err
        == "convgrad: jax is not installed, and the comparison needs it; accepted: pip install jax\n"
    )


def test_models_train_alike_with_our_layers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    peer_library("torch")
    from convgrad.bench import models

    monkeypatch.setitem(models.MODELS, "depthwise", (models.MODELS["depthwise"][0], (2, 3, 16, 16)))
    for name in ("resnet18", "unet3d", "wavenet"):
        monkeypatch.delitem(models.MODELS, name)
    picture = tmp_path / "models.svg"
    assert main(["bench", "--suite", "models", "--rounds", "1", "--plot", str(picture)]) == 0
    printed = capsys.readouterr()
    assert "depthwise" in printed.out and "geometric mean" in printed.out and "1/1  depthwise" in printed.err
    assert "torch takes" in picture.read_text("utf-8")
    # of this seed no number is within 4e-5 of where ReLU6 bends; one within rounding moves losses by 1e-3
    assert main(["bench", "--suite", "models", "--rounds", "1", "--seed", "7", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["result"]["rows"]
    assert row["losses_apart"] < 1e-5 and row["layers"] == 26


@pytest.mark.parametrize("name", ["resnet18", "depthwise", "unet3d", "wavenet"])
def test_models_have_the_losses_of_torch_when_every_layer_is_ours(name: str) -> None:
    torch: Any = peer_library("torch")
    from convgrad.bench import models
    from convgrad.torch import accelerate

    shapes = {
        "resnet18": (4, 3, 16, 16),
        "depthwise": (2, 3, 32, 32),
        "unet3d": (1, 1, 8, 8, 8),
        "wavenet": (1, 1, 400),
    }
    torch.manual_seed(0)
    model, x = models.MODELS[name][0]().double(), torch.randn(shapes[name]).double()
    losses = []
    for _ in range(2):
        loss = model(x).square().mean()
        losses.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
        accelerate(model, lambda layer, name: True)
    for ours, theirs in zip(*losses, strict=True):
        assert float((ours - theirs).norm()) <= 1e-9 * float(theirs.norm()) + 1e-12


def test_one_thread_and_all_are_measured_in_one_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convgrad.machine.usable_cores", lambda: 2)
    assert main(["bench", "--suite", "i31 k5", "--against", "", "--rounds", "1", "--contended"]) == 0
    printed = capsys.readouterr()
    assert "threads 1, measured peak" in printed.out and "threads 2, measured peak" in printed.out
    assert printed.out.count("input_grad ") == 2 and "busy: ours" in printed.out
    assert printed.err.splitlines()[-1] == "2/2  n1 ic1 oc1 i31 k5  threads 2"


def test_a_stalled_barrier_is_marked() -> None:
    def row(seconds: float) -> measure.Row:
        timing = measure.Timing(seconds, seconds, 0.0)
        return measure.Row("i9 k3", "forward", convgrad.plan_for("forward", "i9 k3"), timing, {"torch": timing}, {})

    assert row(0.0161).stalled == row(0.0399).stalled == ["torch"] and row(0.02).stalled == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_counts_what_the_kernel_does(dtype: str) -> None:
    from convgrad.bench import peak

    found = peak.flops(dtype, 1)
    assert found is None or 1e8 < found < 1e13
    assert peak.text("float", 16).count("@llvm.fma.v16f32(") == peak.CHAINS + 1
