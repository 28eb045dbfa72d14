"""From pieces to a result: fetch what stands in each box, let its plan compute, put the results together.

`pieces` says how the padded input is cut, `choose` which way is quicker. The input gradient goes the way of the
input backwards: what a box collected is added to the entries that stood there, which makes it the exact adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithms.compensated import CompensatedSum
from .boundary import Run
from .geometry import Geometry
from .pieces import Piece
from .plan import Plan, of_batch

Array = NDArray[Any]
Execute = Callable[[Plan, Array, Array, Array], Array]

TOGETHER_BYTES = 1 << 20  # of images whose boxes are fetched at a time: they stay in cache
BYTES_PER_SECOND = 4e9  # fetched or added back
SECONDS_PER_BLOCK = 2e-6
SECONDS_PER_PIECE = 1e-5


@dataclass(frozen=True, slots=True)
class Part:
    """A piece and the plan that computes it for one image."""

    piece: Piece
    plan: Plan

    @property
    def together(self) -> int:
        """Images whose boxes are fetched at a time."""
        return max(1, TOGETHER_BYTES // max(1, self._image_bytes))

    @property
    def _image_bytes(self) -> int:
        outputs = self.piece.geometry.out_channels * math.prod(self.piece.geometry.output_size)
        return (self.piece.entries + outputs) * np.dtype(self.plan.dtype).itemsize

    @property
    def workspace_bytes(self) -> int:
        weights = 3 * math.prod(self.piece.geometry.weight_shape) * np.dtype(self.plan.dtype).itemsize
        return self.plan.workspace_bytes + max(self._image_bytes, TOGETHER_BYTES) + weights


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parameters of a plan whose border is more than zeros."""

    way: str  # the function of `pieces` that cut it
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        if not self.parts:
            return "nothing is read"
        said = "of a copy with its border" if self.way == "whole" else f"and {len(self.parts) - 1} pieces of the border"
        return f"{self.parts[0].plan.parameters}; {'in place' if self._in_place else said}"

    @property
    def _in_place(self) -> bool:
        return len(self.parts) == 1 and self.parts[0].piece.in_place


def plan(role: str, geometry: Geometry, dtype: str, assembly: Assembly) -> Plan:
    """The plan that runs an assembly."""
    parts = assembly.parts
    folded = math.prod(axis.most_stands for axis in geometry.axes) if role == "input_grad" else 1
    bound = max((part.plan.error_bound for part in parts), default=0.0)
    return Plan(
        role=role,
        geometry=geometry,
        dtype=dtype,
        algorithm=parts[0].plan.algorithm if parts else "none",
        parameters=assembly,
        workspace_bytes=max((part.workspace_bytes for part in parts), default=0),
        # every piece, and every position at which an entry stands, is one more addition
        error_bound=bound + 0.5 * (len(parts) + 3 + folded),
        why=parts[0].plan.why if parts else "every window reads zeros only",
        rejected=parts[0].plan.rejected if parts else (),
        operations=2 * geometry.products,
        error_scale="norm" if any(part.plan.error_scale == "norm" for part in parts) else "entry",
    )


def seconds(assembly: Assembly, dtype: str) -> float:
    """What fetching and adding is estimated to take for one image, beyond the plans of the parts."""
    found = 0.0
    for part in assembly.parts:
        if not part.piece.in_place:
            moved = 2 * part.piece.entries * np.dtype(dtype).itemsize
            found += moved / BYTES_PER_SECOND + SECONDS_PER_BLOCK * len(list(part.piece.blocks))
    return found + SECONDS_PER_PIECE * len(assembly.parts)


def run(plan: Plan, a: Array, b: Array, out: Array, execute: Execute) -> None:
    """Compute `plan.role` of `a` and `b` into `out`."""
    assert isinstance(plan.parameters, Assembly)
    place = {"forward": _forward, "input_grad": _input_grad, "weight_grad": _weight_grad}[plan.role]
    empty = True  # whether nothing stands in `out` yet
    for part in plan.parameters.parts:
        if empty and not _covers(plan.role, part.piece, out):
            out[...] = 0
            empty = False
        place(part, a, b, out, empty, execute)
        empty = False
    if empty:
        out[...] = 0


def _covers(role: str, piece: Piece, out: Array) -> bool:
    """Whether a piece reaches every entry of the result, and can be written where it belongs."""
    shape = {"forward": "output_size", "input_grad": "input_size", "weight_grad": "kernel_size"}[role]
    return getattr(piece.geometry, shape) == out.shape[2:] and (role != "input_grad" or piece.in_place)


def _forward(part: Part, x: Array, w: Array, y: Array, empty: bool, execute: Execute) -> None:
    outputs, weights = y[_outputs(part.piece)], w[_taps(part.piece)]
    for images, one in _images(part, len(x)):
        target = outputs[images]
        found = target if empty else np.empty(target.shape, y.dtype)
        execute(one, fetch(x[images], part.piece), weights, found)
        if not empty:
            target += found


def _input_grad(part: Part, gy: Array, w: Array, gx: Array, empty: bool, execute: Execute) -> None:
    gradients, weights = gy[_outputs(part.piece)], w[_taps(part.piece)]
    for images, one in _images(part, len(gy)):
        found = gx[images] if empty else np.empty(one.geometry.input_shape, gx.dtype)
        execute(one, gradients[images], weights, found)
        if not empty:
            add_back(found, part.piece, gx[images])


def _weight_grad(part: Part, gy: Array, x: Array, gw: Array, empty: bool, execute: Execute) -> None:
    gradients, target = gy[_outputs(part.piece)], gw[_taps(part.piece)]
    if empty and (part.piece.in_place or len(x) <= part.together):
        ((_, one),) = _images(part, len(x))
        execute(one, gradients, fetch(x, part.piece), target)
        return
    total = CompensatedSum(target.shape, gw.dtype)
    for images, one in _images(part, len(x)):
        found = np.empty(target.shape, gw.dtype)
        total.add(execute(one, gradients[images], fetch(x[images], part.piece), found))
    if empty:
        target[...] = total.value()
    else:
        target += total.value()


def _images(part: Part, batch: int) -> Iterator[tuple[slice, Plan]]:
    """Images that are computed together, with their plan: all where nothing is fetched."""
    together = batch if part.piece.in_place else min(batch, part.together)
    for start in range(0, batch, together):
        images = slice(start, min(start + together, batch))
        yield images, of_batch(part.plan, images.stop - start)


def fetch(x: Array, piece: Piece) -> Array:
    """(N, IC, *box): what stands in the box; a view where it lies in the input."""
    if piece.in_place:
        view: Array = x[_last(part.runs[0].entries for part in piece.parts)]
        return view
    box = np.empty((*x.shape[:2], *piece.geometry.input_size), x.dtype)
    for block in piece.blocks:
        target = box[_places(piece, block)]
        constant = next((number for number in reversed(range(len(block))) if block[number].step is None), None)
        if constant is None:
            target[...] = x[_last(run.entries for run in block)]
        else:  # axes are padded one after the other: in a corner the last of them decides
            target[...] = piece.parts[constant].fill
    return box


def add_back(box: Array, piece: Piece, gx: Array) -> None:
    """Add a box to the entries that stand in it: the adjoint of `fetch`."""
    for block in piece.blocks:
        if any(run.step is None for run in block):
            continue
        repeated = tuple(number for number, run in enumerate(block, start=2) if run.step == 0)
        found = box[_places(piece, block)]
        gx[_last(run.entries for run in block)] += added_up(found, repeated)


def added_up(box: Array, axes: Iterable[int]) -> Array:
    """The sum over `axes`, which keep an extent of one: position by position, in an order that no extent changes."""
    for axis in axes:
        first, *others = np.split(box, box.shape[axis], axis)
        box = first.copy()
        for other in others:
            box += other
    return box


def _places(piece: Piece, block: tuple[Run, ...]) -> Any:
    """Where a block lies in its box."""
    starts = (part.positions.start for part in piece.parts)
    return _last(slice(run.start - s, run.stop - s) for run, s in zip(block, starts, strict=True))


def _outputs(piece: Piece) -> Any:
    return _last(slice(part.outputs.start, part.outputs.stop) for part in piece.parts)


def _taps(piece: Piece) -> Any:
    return _last(slice(part.taps.start, part.taps.stop) for part in piece.parts)


def _last(index: Iterable[slice]) -> Any:
    """The index of the last axes only."""
    return (..., *index)
