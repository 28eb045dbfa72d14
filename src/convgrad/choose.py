"""Geometry x dtype x machine x what was measured -> Plan: pure, deterministic, and able to say why.

The choice looks at one image: it depends neither on the batch size nor on the number of threads, so that
`conv(x)[k]` and `conv(x[k:k+1])` run the same program.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from . import assemble, pieces
from .algorithms import ALGORITHMS
from .errors import UnsupportedError
from .geometry import Geometry
from .machine import Machine
from .plan import ROLES, Plan, Proposal, Rejection
from .tuned import UNTUNED, Measured, Tuning

WAYS = (pieces.whole, pieces.borders)
WORKSPACE_LIMIT = 32 << 20
REMEMBERED = 4096  # plans of recent problems


def choose(
    role: str,
    geometry: Geometry,
    dtype: str,
    machine: Machine,
    algorithm: str | None = None,
    workspace_limit: int = WORKSPACE_LIMIT,
    tuning: Tuning = UNTUNED,
) -> Plan:
    """The plan with the least measured time, else the least estimated; `algorithm` forces one by name."""
    if role not in ROLES:
        raise UnsupportedError("role", role, "is none of the three sums", ", ".join(ROLES))
    return _choose(role, geometry, dtype, machine, algorithm, workspace_limit, tuning)


@functools.lru_cache(maxsize=REMEMBERED)
def _choose(
    role: str,
    geometry: Geometry,
    dtype: str,
    machine: Machine,
    algorithm: str | None,
    workspace_limit: int,
    tuning: Tuning,
) -> Plan:
    if role == "input_grad":
        geometry = geometry.linear  # a constant has no gradient
    plan, _ = _choose_for_one_image(role, geometry.with_batch(1), dtype, machine, algorithm, workspace_limit, tuning)
    return replace(plan, geometry=geometry, operations=2 * geometry.products)


@functools.lru_cache(maxsize=REMEMBERED)
def _choose_for_one_image(
    role: str,
    geometry: Geometry,
    dtype: str,
    machine: Machine,
    algorithm: str | None,
    workspace_limit: int,
    tuning: Tuning,
) -> tuple[Plan, float]:
    """The plan, and the seconds that it is estimated to take."""
    if not geometry.is_plain:
        return _assembled(role, geometry, dtype, machine, algorithm, workspace_limit, tuning)
    names = [candidate.name for candidate in ALGORITHMS]
    if algorithm is not None and algorithm not in names:
        raise UnsupportedError("algorithm", algorithm, "has no such name here", ", ".join(names))
    offers: dict[str, Proposal] = {}
    rejected = []
    for candidate in ALGORITHMS:
        offer = candidate.propose(role, geometry, dtype, machine, workspace_limit)
        if isinstance(offer, Proposal):
            offers[candidate.name] = offer
        else:
            rejected.append(Rejection(candidate.name, offer))
            if candidate.name == algorithm:
                raise UnsupportedError("algorithm", algorithm, offer, f"{', '.join(offers) or 'None'}, or no name")

    measured = tuning.find(role, geometry, dtype, machine) if algorithm is None else None
    if measured is not None and measured.ranking[0] not in offers:
        measured = None
    best = algorithm or (measured.ranking[0] if measured else min(offers, key=lambda name: offers[name].seconds))
    taken = offers[best]
    for name, offer in offers.items():
        if name != best:
            rejected.append(Rejection(name, _against(name, offer, taken, measured)))
    plan = Plan(
        role=role,
        geometry=geometry,
        dtype=dtype,
        algorithm=best,
        parameters=taken.parameters,
        workspace_bytes=taken.workspace_bytes,
        error_bound=taken.error_bound,
        why="asked for by name" if algorithm else str(measured or _estimate(len(offers), taken)),
        rejected=tuple(rejected),
        operations=2 * geometry.products,
        error_scale=taken.error_scale,
    )
    return plan, taken.seconds


def _assembled(
    role: str,
    geometry: Geometry,
    dtype: str,
    machine: Machine,
    algorithm: str | None,
    workspace_limit: int,
    tuning: Tuning,
) -> tuple[Plan, float]:
    """The plan for a border that no algorithm knows: plain convolutions of pieces, cut the quicker way."""
    measured = tuning.find(role, geometry, dtype, machine) if algorithm is None else None
    if measured is not None:
        algorithm = measured.ranking[0]
    best: tuple[Plan, float] | None = None
    for way in WAYS:
        parts: list[assemble.Part] = []
        seconds = 0.0
        for piece in way(geometry):
            one: tuple[str, Geometry, str, Machine] = (role, piece.geometry, dtype, machine)
            try:
                plan, its = _choose_for_one_image(*one, algorithm, workspace_limit, tuning)
            except UnsupportedError:
                if not parts:
                    raise
                # a thin box may be too thin for the algorithm that was asked for; this one computes any
                plan, its = _choose_for_one_image(*one, "im2col", workspace_limit, tuning)
            parts.append(assemble.Part(piece, plan))
            seconds += its
        assembly = assemble.Assembly(way.__name__, tuple(parts))
        plan = assemble.plan(role, geometry, dtype, assembly)
        if measured is not None:
            plan = replace(plan, why=str(measured), rejected=())
        seconds += assemble.seconds(assembly, dtype)
        if plan.workspace_bytes > workspace_limit and way is pieces.whole:
            continue
        if best is None or seconds < best[1]:
            best = plan, seconds
    assert best is not None
    return best


def _against(name: str, offer: Proposal, taken: Proposal, measured: Measured | None) -> str:
    if measured is not None:
        if name not in measured.seconds:
            return "was not there to be tuned"
        return f"measured {measured.seconds[name] / measured.seconds[measured.ranking[0]]:.3g} times the time"
    ratio = offer.seconds / taken.seconds
    return f"estimated {ratio:.3g} times the time" if ratio >= 1 else "another was asked for by name"


def _estimate(candidates: int, taken: Proposal) -> str:
    estimate = f"{taken.seconds * 1e3:.3g} ms estimated per image on one thread"
    return estimate if candidates > 1 else f"the only candidate; {estimate}"
