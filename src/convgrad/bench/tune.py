"""Ours against ours: every algorithm that offers itself for a problem, checked first, then timed in turns."""

from __future__ import annotations

import datetime
import time

import numpy as np

from ..algorithms import ALGORITHMS
from ..choose import choose
from ..errors import UnsupportedError
from ..execute import execute
from ..geometry import Geometry
from ..machine import Machine
from ..plan import Plan
from ..tuned import Measured, Problem
from .measure import Array, arguments, check, draw, exact_result, in_turns, scale_of

HOPELESS = 10  # times the least time: not timed again
TELLING = 0.05  # seconds that no hiccup of a computer takes


def tune(role: str, g: Geometry, dtype: str, rounds: int, threads: int, seed: int) -> tuple[Problem, Measured]:
    """The least time of one call by each algorithm.

    Raises InputError where a result is outside its bound: nothing is timed that is wrong.
    """
    machine = Machine.here()
    a, b = arguments(role, *draw(g, dtype, seed))
    exact = exact_result(role, g, a, b)
    out = np.empty_like(exact, dtype)
    calls, first = {}, {}
    for plan in _offered(role, g, dtype, machine):
        check(plan, execute(plan, a, b, out), exact, scale_of(plan, a, b))

        def call(plan: Plan = plan) -> Array:
            return execute(plan, a, b, out)

        start = time.perf_counter()
        call()
        first[plan.algorithm] = time.perf_counter() - start
        calls[plan.algorithm] = call
    limit = max(TELLING, HOPELESS * min(first.values()))
    hopeful = {name: call for name, call in calls.items() if first[name] <= limit}
    seconds = {name: min(taken) for name, taken in in_turns(hopeful, rounds).items()}
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Problem.of(role, g, dtype, machine), Measured(first | seconds, g.batch, threads, day)


def _offered(role: str, g: Geometry, dtype: str, machine: Machine) -> list[Plan]:
    plans = []
    for algorithm in ALGORITHMS:
        try:
            plans.append(choose(role, g, dtype, machine, algorithm.name))
        except UnsupportedError:  # its reason is in every plan
            continue
    return plans
