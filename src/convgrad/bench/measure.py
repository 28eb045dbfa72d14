"""Check, then time: ours and theirs interleaved in one process, round by round.

A peer's time is kept only for a result that is right, and ours is never taken of one that is not: that raises.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import api, settings
from ..api import plan_for
from ..choose import choose
from ..definition import norms
from ..errors import InputError
from ..execute import execute
from ..geometry import Geometry
from ..machine import Machine
from ..plan import ROLES, Plan
from ..spelling import spell
from . import peers

Array = NDArray[Any]

# a peer's relative error (L2) beyond this many eps is a wrong result, not rounding
WRONG_EPS = 1e4
# seconds after which the operating system lets waiting threads of OpenMP go on
STALLS, STALL_WIDTH = (0.016, 0.032, 0.040), 0.0003


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one contestant, over the rounds."""

    least: float
    median: float
    error: float  # relative error in the L2 norm against float64


@dataclass(frozen=True, slots=True)
class Row:
    """One role of one problem: ours beside each peer that gave a right answer; `wrong` names the others."""

    spelling: str
    role: str
    plan: Plan
    ours: Timing
    theirs: dict[str, Timing]
    wrong: dict[str, float]  # peer -> its relative error
    threads: int = 1
    contended: dict[str, float] | None = None  # contestant, "" for ours -> median of the slowdown with one core busy

    @property
    def stalled(self) -> list[str]:
        """Peers whose least time is that of a stalled barrier of OpenMP, not theirs."""
        return [
            peer
            for peer, timing in self.theirs.items()
            if any(abs(timing.least - stall) < STALL_WIDTH for stall in STALLS)
        ]

    def ratio(self, peer: str) -> float:
        """How many times as long the peer takes."""
        return self.theirs[peer].least / self.ours.least


def measure(
    g: Geometry, dtype: str, against: list[str], rounds: int, threads: int, seed: int, contended: bool = False
) -> list[Row]:
    """Every role of one problem. contended: once more while another process keeps one core busy."""
    x, w, gy = draw(g, dtype, seed)
    asked = {peer: peers.calls(peer, g, x, w, gy, threads) for peer in against}
    rows = []
    for role in ROLES:
        plan = plan_for(role, g, dtype=dtype)
        a, b = arguments(role, x, w, gy)
        exact, scale = exact_result(role, g, a, b), scale_of(plan, a, b)
        out = np.empty_like(exact, dtype)

        ours = called(role, g, a, b, out, threads)
        check(plan, ours(), exact, scale)
        contestants = {"": ours} | {peer: found[role] for peer, found in asked.items() if role in found}
        errors = {name: _error(call(), exact) for name, call in contestants.items()}
        wrong = {name: error for name, error in errors.items() if error > WRONG_EPS * np.finfo(dtype).eps}
        contestants = {name: call for name, call in contestants.items() if name not in wrong}
        seconds = in_turns(contestants, rounds)
        slowdown = None
        if contended:
            with one_core_busy():
                crowded = in_turns(contestants, rounds)
            slowdown = {
                name: statistics.median(crowded[name]) / statistics.median(taken) for name, taken in seconds.items()
            }
        timings = {name: Timing(min(taken), statistics.median(taken), errors[name]) for name, taken in seconds.items()}
        theirs = {name: timing for name, timing in timings.items() if name}
        rows.append(Row(spell(g), role, plan, timings[""], theirs, wrong, threads, slowdown))
    return rows


def called(role: str, g: Geometry, a: Array, b: Array, out: Array, threads: int) -> Callable[[], Array]:
    """The call that a user writes, on so many threads."""
    options: dict[str, Any] = {
        "stride": tuple(axis.stride for axis in g.axes),
        "padding": tuple((axis.before, axis.after) for axis in g.axes),
        "dilation": tuple(axis.dilation for axis in g.axes),
        "groups": g.groups,
        "padding_mode": tuple(axis.mode for axis in g.axes),
        "out": out,
    }
    if any(axis.mode == "constant" for axis in g.axes):
        options["padding_value"] = g.fill
    functions: dict[str, Any] = {
        "forward": api.conv,
        "input_grad": api.conv_input_grad,
        "weight_grad": api.conv_weight_grad,
    }
    function = functions[role]
    if role != "forward":
        options |= {"input_size": g.input_size} if role == "input_grad" else {"kernel_size": g.kernel_size}

    def call() -> Array:
        with settings.at_most(threads):
            result: Array = function(a, b, **options)
            return result

    return call


@contextmanager
def one_core_busy() -> Iterator[None]:
    """Within, another process computes without a pause."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.1)  # until it does
        yield
    finally:
        process.kill()
        process.wait()


def draw(g: Geometry, dtype: str, seed: int) -> tuple[Array, Array, Array]:
    """x, w and gy of a problem."""
    rng = np.random.default_rng(seed)
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in (g.input_shape, g.weight_shape, g.output_shape))
    return x, w, gy


def arguments(role: str, x: Array, w: Array, gy: Array) -> tuple[Array, Array]:
    """The two arrays that a role reads."""
    return {"forward": (x, w), "input_grad": (gy, w), "weight_grad": (gy, x)}[role]


def in_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call of each contestant, who take turns.

    Each begins with a call that is not timed: OpenMP's threads go on spinning for a while after a call, on the cores of
    whoever comes next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def exact_result(role: str, g: Geometry, a: Array, b: Array) -> Array:
    """The result in float64, tap by tap."""
    plan = choose(role, g, "float64", Machine.here(), "taps" if max(g.kernel_size) > 1 else "im2col")
    shape = {"forward": g.output_shape, "input_grad": g.input_shape, "weight_grad": g.weight_shape}[role]
    a, b = a.astype("float64"), b.astype("float64")
    return execute(plan, a, b, np.empty(shape))


def scale_of(plan: Plan, a: Array, b: Array) -> Array:
    """What the error bound of `plan` is relative to."""
    if plan.error_scale == "norm":
        return norms(plan.role, a.astype("float64"), b.astype("float64"), plan.geometry)
    return exact_result(plan.role, plan.geometry, np.abs(a), np.abs(b))


def check(plan: Plan, got: Array, exact: Array, scale: Array) -> None:
    allowed = (plan.error_bound * np.finfo(plan.dtype).eps + 1e-13) * scale
    if not (np.abs(got - exact) <= allowed).all():
        rule = f"{plan.role} by {plan.algorithm} is outside its bound: nothing is timed that is wrong"
        raise InputError("bench", spell(plan.geometry), rule, "a bug report with this line")


def _error(got: Array, exact: Array) -> float:
    return float(np.linalg.norm((got - exact).ravel()) / (np.linalg.norm(exact.ravel()) or 1.0))
