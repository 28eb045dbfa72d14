"""Geometry x dtype x machine -> Plan: pure, deterministic, and able to say why.

The choice looks at one image: it depends neither on the batch size nor on the number of threads, so that
`conv(x)[k]` and `conv(x[k:k+1])` run the same program.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from .algorithms import ALGORITHMS
from .errors import UnsupportedError
from .geometry import Geometry
from .machine import Machine
from .plan import ROLES, Plan, Proposal, Rejection

WORKSPACE_LIMIT = 32 << 20
REMEMBERED = 4096  # plans of recent problems


def choose(
    role: str,
    geometry: Geometry,
    dtype: str,
    machine: Machine,
    algorithm: str | None = None,
    workspace_limit: int = WORKSPACE_LIMIT,
) -> Plan:
    """The plan with the least estimated time; `algorithm` forces one by name."""
    if role not in ROLES:
        raise UnsupportedError("role", role, "is none of the three sums", ", ".join(ROLES))
    return _choose(role, geometry, dtype, machine, algorithm, workspace_limit)


@functools.lru_cache(maxsize=REMEMBERED)
def _choose(
    role: str, geometry: Geometry, dtype: str, machine: Machine, algorithm: str | None, workspace_limit: int
) -> Plan:
    plan = _choose_for_one_image(role, geometry.with_batch(1), dtype, machine, algorithm, workspace_limit)
    return replace(plan, geometry=geometry, operations=2 * geometry.products)


@functools.lru_cache(maxsize=REMEMBERED)
def _choose_for_one_image(
    role: str, geometry: Geometry, dtype: str, machine: Machine, algorithm: str | None, workspace_limit: int
) -> Plan:
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

    best = algorithm or min(offers, key=lambda name: offers[name].seconds)
    taken = offers[best]
    for name, offer in offers.items():
        if name != best:
            ratio = offer.seconds / taken.seconds
            comparison = f"estimated {ratio:.3g} times the time" if ratio >= 1 else "another was asked for by name"
            rejected.append(Rejection(name, comparison))
    return Plan(
        role=role,
        geometry=geometry,
        dtype=dtype,
        algorithm=best,
        parameters=taken.parameters,
        workspace_bytes=taken.workspace_bytes,
        error_bound=taken.error_bound,
        why="asked for by name" if algorithm else _why(len(offers), taken),
        rejected=tuple(rejected),
        operations=2 * geometry.products,
        error_scale=taken.error_scale,
    )


def _why(candidates: int, taken: Proposal) -> str:
    estimate = f"{taken.seconds * 1e3:.3g} ms estimated per image on one thread"
    return estimate if candidates > 1 else f"the only candidate; {estimate}"
