"""What a worker does: puts slices together, runs the calls of a piece with the whole's plan, adds weight gradients.

Everything here travels as plain records and arrays. A worker compiles what it lacks, or finds it in the folder of
compiled kernels; it computes on the thread that the scheduler gave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..algorithms.compensated import CompensatedSum
from ..piecewise import run_piece
from ..plan import Plan
from ..threads import alone
from .pieces import Box, Piece

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Gathered:
    """An argument of a piece: its shape, and where in it each slice belongs."""

    shape: tuple[int, ...]
    places: tuple[Box, ...]

    def put_together(self, slices: Sequence[Array]) -> Array:
        """The argument; a single slice is it already."""
        if len(slices) == 1 and slices[0].shape == self.shape:
            return np.asarray(slices[0])
        whole = np.empty(self.shape, slices[0].dtype)
        for place, one in zip(self.places, slices, strict=True):
            whole[place] = one
        return whole


def compute_piece(
    plan: Plan, piece: Piece, a: Gathered | None, a_slices: list[Array], b: Gathered | None, b_slices: list[Array]
) -> Array:
    """The chunk that `piece` describes, of the result of `plan`."""
    result = (np.empty if piece.filled else np.zeros)(piece.shape, plan.dtype)
    if a is None or b is None:
        return result
    whole_a, whole_b = a.put_together(a_slices), b.put_together(b_slices)
    with alone():
        for call in piece.calls:
            arguments, target = (whole_a[call.a], whole_b[call.b]), result[call.place]
            if call.kept is None:
                run_piece(plan, call.geometry, *arguments, target)
            else:
                computed = np.empty(call.shape, plan.dtype)
                target[...] = run_piece(plan, call.geometry, *arguments, computed)[call.kept]
    return result


def compute_term(*arguments: Any) -> Array:
    """What a piece adds to a weight gradient, as a sum of one term: (1, *shape)."""
    return compute_piece(*arguments)[np.newaxis]


def cut(array: Array, box: Box) -> Array:
    """A slice on its own, so that it keeps nothing else in memory."""
    return np.array(array[box])


def partial_sum(sums: list[Array]) -> Array:
    """(2, *shape): the sum of sums, and what rounding took from it."""
    total = CompensatedSum(sums[0].shape[1:], sums[0].dtype)
    with np.errstate(all="ignore"):
        for found in sums:
            for term in found:  # a sum, and then what it lost
                total.add(term.copy())
        return total.parts()


def total_sum(sums: list[Array]) -> Array:
    """The root of a tree of `partial_sum`, rounded once."""
    total, lost = partial_sum(sums)
    return np.asarray(total + lost)
