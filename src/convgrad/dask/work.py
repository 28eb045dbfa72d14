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
from ..assemble import added_up
from ..piecewise import parts, run_piece
from ..plan import Plan
from ..threads import alone
from .regions import Box, Call

Array = NDArray[Any]

RESULT_SHAPE = {"forward": "output_shape", "input_grad": "input_shape", "weight_grad": "weight_shape"}


@dataclass(frozen=True, slots=True)
class Gathered:
    """An argument of a call: its shape, where in it each slice belongs, and what stands where there is none."""

    shape: tuple[int, ...]
    places: tuple[tuple[Box, tuple[int, ...]], ...]  # and the axes on which a slice is turned around
    constants: tuple[tuple[Box, complex], ...] = ()

    def put_together(self, slices: Sequence[Array], dtype: np.dtype[Any]) -> Array:
        """The argument; a single slice may be it already."""
        if len(slices) == 1 and slices[0].shape == self.shape and not self.places[0][1]:
            return np.asarray(slices[0])
        whole = np.empty(self.shape, slices[0].dtype if slices else dtype)
        for (place, turned), one in zip(self.places, slices, strict=True):
            whole[place] = np.flip(one, turned)  # an entry that stands at many positions is spread over them
        for place, constant in self.constants:
            whole[place] = constant
        return whole


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a result: its shape, the calls that give it, and how their arguments are put together."""

    shape: tuple[int, ...]
    calls: tuple[Call, ...]
    a: tuple[Gathered, ...]
    b: Gathered


def compute_chunk(plan: Plan, chunk: Chunk, a_slices: list[list[Array]], b_slices: list[Array]) -> Array:
    """A chunk of the result of `plan`: what its calls give, added in their order."""
    dtype = np.dtype(plan.dtype)
    second = chunk.b.put_together(b_slices, dtype)
    firsts = [one.put_together(slices, dtype) for one, slices in zip(chunk.a, a_slices, strict=True)]
    plans = [of_part for _, of_part in parts(plan)]
    result: Array | None = None
    with alone():
        for call in chunk.calls:
            given = firsts[call.fetched][call.a], second[call.b]
            found = _computed(plans[call.part], call, given)
            if result is None:
                if found.shape == chunk.shape:
                    result = found
                    continue
                result = np.zeros(chunk.shape, dtype)
            result[call.place] += found
    return np.zeros(chunk.shape, dtype) if result is None else result


def _computed(plan: Plan, call: Call, given: tuple[Array, Array]) -> Array:
    """What a call adds to its place."""
    if plan.role == "weight_grad":  # the core's order is gy, x; fetched is x
        given = given[1], given[0]
    found = np.empty(getattr(call.geometry, RESULT_SHAPE[plan.role]), plan.dtype)
    found = run_piece(plan, call.geometry, *given, found)[call.kept]
    return np.flip(added_up(found, call.summed), call.turned) if call.summed or call.turned else found


def zeros_chunk(shape: tuple[int, ...], dtype: str) -> Array:
    """A chunk that nothing reaches."""
    return np.zeros(shape, dtype)


def compute_term(*arguments: Any) -> Array:
    """What some outputs add to a weight gradient, as a sum of one term: (1, *shape)."""
    return compute_chunk(*arguments)[np.newaxis]


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
