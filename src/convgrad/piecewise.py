"""One result computed in pieces, apart and anywhere, with the bits of the whole: the whole's plan goes to every piece.

For adapters that cut large arrays. Which part of the arguments a piece reads is theirs; here stands how it is run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from . import settings, tuned
from .algorithms import ALGORITHMS
from .algorithms.record import Cell
from .assemble import Assembly
from .boundary import Run
from .choose import choose
from .errors import UnsupportedError
from .execute import execute
from .geometry import Geometry
from .machine import Machine
from .pieces import Part, Piece
from .plan import Plan

Array = NDArray[Any]

_PIECEWISE = {algorithm.name: algorithm.piecewise for algorithm in ALGORITHMS}


def whole_plan(role: str, geometry: Geometry, dtype: str, algorithm: str | None = None) -> Plan:
    """The plan of the whole, for pieces: that of `plan_for` where its pieces keep their bits or none are asked to.

    Else (transforms of overlapping tiles) it is that of the first algorithm in the table whose pieces do. The weight
    gradient is a sum over its pieces, so any algorithm may compute them; so may one that is asked for by name.
    """
    here, tuning = Machine.here(), tuned.here()
    plan = choose(role, geometry, dtype, here, algorithm, tuning=tuning)
    if role == "weight_grad" or algorithm is not None or _keeps_bits(plan):
        return plan
    for name, piecewise in _PIECEWISE.items():
        if piecewise is not None:
            try:
                return choose(role, geometry, dtype, here, name, tuning=tuning)
            except UnsupportedError:  # it does not serve this geometry here
                continue
    return plan


def _keeps_bits(plan: Plan) -> bool:
    """Whether every part of `plan` may be cut anywhere."""
    return all(_PIECEWISE[plan_of.algorithm] is not None for _, plan_of in parts(plan))


def parts(plan: Plan) -> tuple[tuple[Piece, Plan], ...]:
    """The plain convolutions that `plan` puts together, in their order, each with its own plan."""
    if isinstance(plan.parameters, Assembly):
        return tuple((part.piece, part.plan) for part in plan.parameters.parts)
    everything = (
        Part(range(a.input), range(a.output), range(a.kernel), (Run(0, a.input, 0, 1),), 0.0, a)
        for a in plan.geometry.axes
    )
    return ((Piece(plan.geometry, tuple(everything)), plan),)


def cell(plan: Plan) -> Cell:
    """(channels, *positions) of y that pieces of `plan` must compute together; ones where any cut keeps the bits."""
    piecewise = _PIECEWISE[plan.algorithm]
    return piecewise.cell(plan) if piecewise is not None else (1,) * (plan.geometry.rank + 1)


def run_piece(whole: Plan, geometry: Geometry, a: Array, b: Array, out: Array) -> Array:
    """Fill `out` with the role of `whole` for a piece of its problem, as part of a computation of `whole`.

    geometry: that of the piece, of whose shapes a, b and out are.
    Raises UnsupportedError where this machine cannot run the plan: another one made it.
    """
    return execute(piece_plan(whole, geometry), a, b, out)


def piece_plan(whole: Plan, geometry: Geometry) -> Plan:
    """The plan of a piece."""
    piecewise = _PIECEWISE[whole.algorithm]
    if piecewise is not None and piecewise.parameters is not None and whole.role != "weight_grad":
        parameters = piecewise.parameters(whole, geometry)
        return replace(whole, geometry=geometry, parameters=parameters, operations=2 * geometry.products)
    isa = getattr(whole.parameters, "isa", None)  # of compiled kernels
    here = Machine.here()
    if isa is not None and isa not in settings.levels_of(here.isa):
        raise UnsupportedError(
            "isa",
            isa,
            f"is no level of this machine's CPU (it has {here.isa})",
            f"a plan made with CONVGRAD_ISA={here.isa}",
        )
    machine = here if isa is None else replace(here, isa=isa)
    return choose(whole.role, geometry, whole.dtype, machine, whole.algorithm)
