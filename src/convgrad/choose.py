"""Geometry x dtype x machine x what was measured -> Plan: pure, deterministic, and able to say why.

The choice looks at one image: it depends neither on the batch size nor on the number of threads, so that
`conv(x)[k]` and `conv(x[k:k+1])` run the same program. Complex numbers, integers and borders other than zeros become
plans that hold plans: `complexes`, `integers` and `assemble` say what is in them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from . import assemble, bfloat16, complexes, integers, pieces
from .algorithms import ALGORITHMS
from .complexes import Product
from .errors import UnsupportedError
from .geometry import Geometry
from .machine import Machine
from .plan import PRECISIONS, ROLES, Plan, Proposal, Rejection
from .tuned import UNTUNED, Measured, Tuning

WAYS = (pieces.whole, pieces.borders)
WORKSPACE_LIMIT = 32 << 20
REMEMBERED = 4096  # plans of recent problems


@dataclass(frozen=True, slots=True)
class Wish:
    """What besides the problem a choice depends on."""

    dtype: str
    machine: Machine
    algorithm: str | None
    workspace_limit: int
    tuning: Tuning
    exact: bool = False  # whether only algorithms that do not round whole numbers will do
    precision: str = "highest"


def choose(
    role: str,
    geometry: Geometry,
    dtype: str,
    machine: Machine,
    algorithm: str | None = None,
    workspace_limit: int = WORKSPACE_LIMIT,
    tuning: Tuning = UNTUNED,
    product: Product | None = None,
    precision: str = "highest",
) -> Plan:
    """The plan with the least measured time, else the least estimated.

    dtype: of the result.   algorithm: forces one by name.   product: how complex numbers are multiplied.
    precision: "highest", or what algorithms may do without: "high", "medium"; those that cannot are not rejected.
    """
    if role not in ROLES:
        raise UnsupportedError("role", role, "is none of the three sums", ", ".join(ROLES))
    if precision not in PRECISIONS:
        raise UnsupportedError("precision", precision, "is no precision that has a name here", ", ".join(PRECISIONS))
    wish = Wish(dtype, machine, algorithm, workspace_limit, tuning, precision=precision)
    return _choose(role, geometry, wish, product)


@functools.lru_cache(maxsize=REMEMBERED)
def _choose(role: str, geometry: Geometry, wish: Wish, product: Product | None) -> Plan:
    if role == "input_grad":
        geometry = geometry.linear  # a constant has no gradient
    one = geometry.with_batch(1)
    if wish.dtype in complexes.REAL:
        product = product or Product("3m")
        real = replace(wish, dtype=complexes.REAL[wish.dtype])
        plans = tuple(_choose_for_one_image(role, g, real)[0] for g in complexes.geometries(role, one, product))
        return complexes.plan(role, geometry, wish.dtype, product, plans)
    if wish.dtype in integers.DTYPES:
        if one.fill != 0:  # limbs of the input are multiplied apart, so a constant must be one of its numbers
            one = pieces.whole(one)[0].geometry
        narrow, wide = (
            _choose_for_one_image(role, one, replace(wish, dtype=dtype, exact=True))[0] for dtype in integers.HOLDS
        )
        return integers.plan(role, geometry, wish.dtype, narrow, wide)
    plan = _of_bfloat16(role, one, wish) if wish.dtype == bfloat16.DTYPE else _choose_for_one_image(role, one, wish)[0]
    return replace(plan, geometry=geometry, operations=2 * geometry.products)


def _of_bfloat16(role: str, one: Geometry, wish: Wish) -> Plan:
    """In float32; or by an algorithm that takes such arrays as they are, where that is quicker."""
    # eight bits are all that these numbers have, so products of them are exact in any precision
    wide, seconds = _choose_for_one_image(role, one, replace(wish, dtype=bfloat16.WIDE, precision=PRECISIONS[-1]))
    plan = replace(bfloat16.plan(role, one, wide), precision=wish.precision)
    seconds += bfloat16.seconds(one)
    for candidate in ALGORITHMS if one.is_plain else ():
        if candidate.bfloat16 is None or wish.algorithm not in (None, candidate.name):
            continue
        offer = candidate.bfloat16(role, one, wish.dtype, wish.machine, wish.workspace_limit)
        if not isinstance(offer, Proposal) or (wish.algorithm is None and offer.seconds > seconds):
            continue
        slower = Rejection(wide.algorithm, f"in float32, estimated {seconds / offer.seconds:.3g} times the time")
        plan = replace(
            plan,
            algorithm=candidate.name,
            parameters=offer.parameters,
            workspace_bytes=offer.workspace_bytes,
            error_bound=offer.error_bound,
            error_scale=offer.error_scale,
            why="asked for by name" if wish.algorithm else _estimate(2, offer),
            rejected=() if wish.algorithm else (slower,),
        )
        seconds = offer.seconds
    return plan


@functools.lru_cache(maxsize=REMEMBERED)
def _choose_for_one_image(role: str, geometry: Geometry, wish: Wish) -> tuple[Plan, float]:
    """The plan for real numbers, and the seconds that it is estimated to take."""
    if not geometry.is_plain:
        return _assembled(role, geometry, wish)
    algorithm = wish.algorithm
    names = [candidate.name for candidate in ALGORITHMS]
    if algorithm is not None and algorithm not in names:
        raise UnsupportedError("algorithm", algorithm, "has no such name here", ", ".join(names))
    offers: dict[str, Proposal] = {}
    rejected = []
    for candidate in ALGORITHMS:
        propose = candidate.reduced.get(wish.precision, candidate.propose)
        offer = propose(role, geometry, wish.dtype, wish.machine, wish.workspace_limit)
        if isinstance(offer, Proposal) and wish.exact and not (offer.whole_numbers and offer.error_scale == "entry"):
            offer = "rounds whole numbers, which must stay exact"
        if isinstance(offer, Proposal):
            offers[candidate.name] = offer
        else:
            rejected.append(Rejection(candidate.name, offer))
            if candidate.name == algorithm:
                raise UnsupportedError("algorithm", algorithm, offer, f"{', '.join(offers) or 'None'}, or no name")

    measured = _measured(role, geometry, wish)
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
        dtype=wish.dtype,
        algorithm=best,
        parameters=taken.parameters,
        workspace_bytes=taken.workspace_bytes,
        error_bound=taken.error_bound,
        why="asked for by name" if algorithm else str(measured or _estimate(len(offers), taken)),
        rejected=tuple(rejected),
        operations=2 * geometry.products,
        error_scale=taken.error_scale,
        precision=wish.precision,
    )
    return plan, taken.seconds


def _assembled(role: str, geometry: Geometry, wish: Wish) -> tuple[Plan, float]:
    """The plan for a border that no algorithm knows: plain convolutions of pieces, cut the quicker way."""
    measured = _measured(role, geometry, wish)
    if measured is not None:
        wish = replace(wish, algorithm=measured.ranking[0])
    found = [_cut(role, geometry, wish, way(geometry), way.__name__) for way in WAYS]
    # a copy that is too large is not made, however quick
    fits = [one for one in found if one[0].workspace_bytes <= wish.workspace_limit]
    plan, seconds = min(fits or found[-1:], key=lambda one: one[1])
    if measured is not None:
        plan = replace(plan, why=str(measured), rejected=())
    return plan, seconds


def _cut(role: str, geometry: Geometry, wish: Wish, cut: tuple[pieces.Piece, ...], way: str) -> tuple[Plan, float]:
    parts: list[assemble.Part] = []
    seconds = 0.0
    for piece in cut:
        try:
            plan, its = _choose_for_one_image(role, piece.geometry, wish)
        except UnsupportedError:
            if not parts:
                raise
            # a thin box may be too thin for the algorithm that was asked for; this one computes any
            plan, its = _choose_for_one_image(role, piece.geometry, replace(wish, algorithm="im2col"))
        parts.append(assemble.Part(piece, plan))
        seconds += its
    assembly = assemble.Assembly(way, tuple(parts))
    return assemble.plan(role, geometry, wish.dtype, assembly), seconds + assemble.seconds(assembly, wish.dtype)


def _measured(role: str, geometry: Geometry, wish: Wish) -> Measured | None:
    return wish.tuning.find(role, geometry, wish.dtype, wish.machine) if wish.algorithm is None else None


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
