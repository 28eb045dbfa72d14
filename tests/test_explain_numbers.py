"""The numbers of the page of `convgrad explain`: those of the definition, in any setting, also in copied programs."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from peers import peer

from convgrad import Axis, Geometry, definition, touches
from convgrad.boundary import MODES
from convgrad.explanation.page import MOST_INPUT
from convgrad.spelling import spell

Array = NDArray[Any]

SETTINGS = 520
NUMPY_MODES = dict(zip(MODES, ("constant", "constant", "edge", "reflect", "symmetric", "wrap"), strict=True))


# ---- settings, and what the definition makes of them


class Setting:
    """A geometry, what lies around the input, and whether the taps are read backwards."""

    def __init__(self, geometry: Geometry, mode: str, value: int, flip: bool, seed: int) -> None:
        self.geometry, self.mode, self.value, self.flip, self.seed = geometry, mode, value, flip, seed

    def __str__(self) -> str:
        words = ".".join(word for word in spell(self.geometry).split() if word != "n1")
        constant = [f"value={self.value}"] if self.mode == "constant" else []
        return "&".join([words, f"mode={self.mode}", *constant, *["flip"] * self.flip, f"random={self.seed}"])

    def results(self, x: Array, w: Array, gy: Array) -> dict[str, Array]:
        """y, gx and gw by `definition`, on an input that was padded by an index map."""
        g = self.geometry
        taps = (slice(None), slice(None), *(slice(None, None, -1) for _ in g.axes)) if self.flip else ()
        if self.mode == "zeros":
            y, gx = definition.forward(x, w[taps], g), definition.input_grad(gy, w[taps], g)
            return {"y": y, "gx": gx, "gw": definition.weight_grad(gy, x, g)[taps]}
        pads = [(0, 0), (0, 0), *((axis.before, axis.after) for axis in g.axes)]
        how: Any = {"constant_values": -1} if self.mode == "constant" else {"mode": NUMPY_MODES[self.mode]}
        source = np.pad(np.arange(x.size).reshape(x.shape), pads, **how)
        padded = np.where(source < 0, self.value, x.ravel()[source])
        bare = Geometry(
            1,
            g.in_channels,
            g.out_channels,
            g.groups,
            tuple(Axis(axis.padded, axis.kernel, axis.stride, axis.dilation) for axis in g.axes),
        )
        gx = np.zeros(x.size)
        inside = source >= 0
        np.add.at(gx, source[inside], definition.input_grad(gy, w[taps], bare)[inside])
        y, gw = definition.forward(padded, w[taps], bare), definition.weight_grad(gy, padded, bare)[taps]
        return {"y": y, "gx": gx.reshape(x.shape), "gw": gw}


def drawn(rng: np.random.Generator) -> Setting:
    """A random setting of every kind: the output size and the remainder are drawn, the input follows."""
    rank, mode = int(rng.integers(1, 3)), str(rng.choice(MODES))
    axes = []
    for _ in range(rank):
        kernel, stride, dilation = (int(rng.integers(1, most)) for most in (6 - rank, 4, 4))
        padded = int(rng.integers(0, 4)) * stride + (kernel - 1) * dilation + 1 + int(rng.integers(0, stride))
        before = int(rng.integers(0, min(4, padded)))
        after = int(rng.integers(0, min(4, padded - before)))
        size = min(padded - before - after, MOST_INPUT[rank])
        axes.append(Axis(size, kernel, stride, dilation, before, padded - before - size))
    groups = int(rng.integers(1, 3))
    ins, outs = (groups * int(rng.integers(1, 2 // groups + 1)) for _ in range(2))
    value, flip, seed = int(rng.integers(-3, 4)), bool(rng.integers(0, 2)), int(rng.integers(1, 1000))
    return Setting(Geometry(1, ins, outs, groups, tuple(axes)), mode, value, flip, seed)


def settings(number: int, seed: int) -> list[Setting]:
    rng = np.random.default_rng(seed)
    return [drawn(rng) for _ in range(number)]


def shaped(found: dict[str, list[float]], g: Geometry) -> dict[str, Array]:
    shapes = {"x": g.input_shape, "w": g.weight_shape, "gy": g.output_shape}
    shapes |= {"y": g.output_shape, "gx": g.input_shape, "gw": g.weight_shape}
    return {name: np.array(found[name]).reshape(shape) for name, shape in shapes.items()}


# ---- numbers


def test_the_page_computes_what_the_definition_does(at: Any) -> None:
    driver, wanted = at(), settings(SETTINGS, 0)
    found = driver.execute_script(
        "return arguments[0].map((hash) => convgrad.compute(hash));", [str(s) for s in wanted]
    )
    for setting, answer in zip(wanted, found, strict=True):
        arrays = shaped(answer, setting.geometry)
        for name, right in setting.results(arrays["x"], arrays["w"], arrays["gy"]).items():
            assert (arrays[name] == right).all(), f"{name} of {setting}"


def test_the_settings_are_of_every_kind() -> None:
    wanted = settings(SETTINGS, 0)
    assert {setting.mode for setting in wanted} == set(MODES) and {setting.flip for setting in wanted} == {True, False}
    axes = [axis for setting in wanted for axis in setting.geometry.axes]
    assert {axis.stride for axis in axes} == {axis.dilation for axis in axes} == {1, 2, 3}
    assert any(axis.room % axis.stride for axis in axes) and any(axis.before > axis.input for axis in axes)
    assert {setting.geometry.groups for setting in wanted} == {1, 2}


def test_the_page_finds_the_meetings_that_touches_finds(at: Any) -> None:
    wanted = [setting for setting in settings(120, 1) if setting.mode == "zeros" and not setting.flip]
    driver = at()
    script = "return arguments[0].map(([hash, kind, index]) => convgrad.touches(hash, kind, index));"
    asked = []
    for setting in wanted:
        g, rng = setting.geometry, np.random.default_rng(setting.seed)
        for kind, shape in (("x", g.input_shape), ("w", g.weight_shape), ("y", g.output_shape)):
            index = tuple(int(rng.integers(size)) for size in shape)
            asked.append((setting, kind, index))
    answers = driver.execute_script(
        script, [(str(s), kind, on_page(s.geometry, kind, index)) for s, kind, index in asked]
    )
    for (setting, kind, index), answer in zip(asked, answers, strict=True):
        g = setting.geometry
        found = [tuple(meeting[name] for name in "xwy") for meeting in answer if meeting["x"] is not None]
        right = [
            tuple(on_page(g, name, getattr(touch, name)) for name in "xwy") for touch in touches(g, **{kind: index})
        ]
        assert found == right, f"{kind}{index} of {setting}"
    assert len(asked) > 20


def on_page(g: Geometry, kind: str, index: tuple[int, ...]) -> list[int]:
    """An index as the page has it: one channel number, and two positions of which one axis lacks the first."""
    first, second, *spatial = index
    channel = first * g.in_channels_per_group + second if kind == "w" else second
    return [channel, *([0] if len(spatial) == 1 else []), *spatial]


# ---- the copied programs


LANGUAGES = {"NumPy": None, "convgrad": None, "PyTorch": "torch", "JAX": "jax"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_copied_program_runs_and_gives_the_pages_numbers(at: Any, language: str) -> None:
    if LANGUAGES[language]:
        peer(LANGUAGES[language])
    wanted = settings(24 if language == "JAX" else 60, 2)
    script = "return arguments[0].map((hash) => [convgrad.code(hash, arguments[1]), convgrad.compute(hash)]);"
    answers = at().execute_script(script, [str(setting) for setting in wanted], language)
    for setting, (program, numbers) in zip(wanted, answers, strict=True):
        names: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(program, names)
        for name, right in shaped(numbers, setting.geometry).items():
            found = names[name].detach() if language == "PyTorch" else names[name]
            assert (np.asarray(found) == right).all(), f"{name} of {setting}:\n{program}"
        assert printed.getvalue()
