"""Check, then time: ours and theirs interleaved in one process, round by round.

A peer's time is kept only for a result that is right, and ours is never taken of one that is not: that raises.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def ratio(self, peer: str) -> float:
        """How many times as long the peer takes."""
        return self.theirs[peer].least / self.ours.least


def measure(g: Geometry, dtype: str, against: list[str], rounds: int, threads: int, seed: int) -> list[Row]:
    """Every role of one problem."""
    x, w, gy = draw(g, dtype, seed)
    asked = {peer: peers.calls(peer, g, x, w, gy, threads) for peer in against}
    rows = []
    for role in ROLES:
        plan = plan_for(role, g, dtype=dtype)
        a, b = arguments(role, x, w, gy)
        exact, scale = exact_result(role, g, a, b), scale_of(plan, a, b)
        out = np.empty_like(exact, dtype)

        def ours(plan: Plan = plan, a: Array = a, b: Array = b, out: Array = out) -> Array:
            return execute(plan, a, b, out)

        check(plan, ours(), exact, scale)
        contestants = {"": ours} | {peer: found[role] for peer, found in asked.items() if role in found}
        errors = {name: _error(call(), exact) for name, call in contestants.items()}
        wrong = {name: error for name, error in errors.items() if error > WRONG_EPS * np.finfo(dtype).eps}
        contestants = {name: call for name, call in contestants.items() if name not in wrong}
        seconds = in_turns(contestants, rounds)
        timings = {name: Timing(min(taken), statistics.median(taken), errors[name]) for name, taken in seconds.items()}
        theirs = {name: timing for name, timing in timings.items() if name}
        rows.append(Row(spell(g), role, plan, timings[""], theirs, wrong))
    return rows


def draw(g: Geometry, dtype: str, seed: int) -> tuple[Array, Array, Array]:
    """x, w and gy of a problem."""
    rng = np.random.default_rng(seed)
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in (g.input_shape, g.weight_shape, g.output_shape))
    return x, w, gy


def arguments(role: str, x: Array, w: Array, gy: Array) -> tuple[Array, Array]:
    """The two arrays that a role reads."""
    return {"forward": (x, w), "input_grad": (gy, w), "weight_grad": (gy, x)}[role]


def in_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call of each contestant, who take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
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
