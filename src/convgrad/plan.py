"""How one role of one convolution will be computed: a frozen record that prints itself.

A plan is what `plan_for` returns, what `execute` runs and what caches use as a key. It decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .geometry import Geometry
from .spelling import spell

# bytes of an entry; integers are counted as the 64 bits in which they meet
ITEMSIZE = {"bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16, "int64": 8, "uint64": 8}
ROLES = ("forward", "input_grad", "weight_grad")
PRECISIONS = ("highest", "high", "medium")
# what an error bound is relative to; norms are Euclidean, over what one entry of the result sums
ERROR_SCALES = {"entry": "definition(|a|, |b|)", "norm": "norm(a) norm(b)"}


MOST_BATCHES = 4096  # plans of other batches that are kept


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an algorithm would do with a problem: the cost that the chooser compares, and how it would run."""

    seconds: float  # estimate for one image on one thread
    workspace_bytes: int  # at most, beyond inputs and result, for each thread that takes part
    error_bound: float  # in eps of the dtype, times the scale that `error_scale` names
    parameters: object  # the algorithm's own frozen record
    error_scale: str = "entry"  # a key of ERROR_SCALES
    whole_numbers: bool = True  # whether sums are exact up to the largest whole number of the dtype


@dataclass(frozen=True, slots=True)
class Rejection:
    """An algorithm that was not taken, and why."""

    algorithm: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Which algorithm computes a role, with which parameters, at which cost and accuracy."""

    role: str
    geometry: Geometry
    dtype: str
    algorithm: str
    parameters: object
    workspace_bytes: int
    error_bound: float
    why: str
    rejected: tuple[Rejection, ...]
    operations: int  # floating-point: one multiplication and one addition per index triple of the definition
    error_scale: str = "entry"  # a key of ERROR_SCALES
    precision: str = "highest"  # that was asked for: the least that would do

    @property
    def array_bytes(self) -> int:
        """Bytes of the three arrays, each counted once: the least that must move."""
        g = self.geometry
        shapes = (g.input_shape, g.weight_shape, g.output_shape)
        return sum(map(math.prod, shapes)) * ITEMSIZE[self.dtype]

    def __str__(self) -> str:
        rows = [
            ("algorithm", f"{self.algorithm}: {self.parameters}"),
            ("why", self.why),
            ("operations", f"{quantity(self.operations)}flop"),
            ("arrays", f"{quantity(self.array_bytes, 1024)}B, {_intensity(self)} flop/B"),
            ("workspace", f"at most {quantity(self.workspace_bytes, 1024)}B a thread"),
            *([("precision", f"{self.precision} or better")] if self.precision != "highest" else []),
            ("error bound", f"{self.error_bound:.6g} eps x {ERROR_SCALES[self.error_scale]}"),
        ]
        rows += [("not taken", f"{other.algorithm}: {other.reason}") for other in self.rejected]
        title = f"{self.role}  {spell(self.geometry)}  {self.dtype}"
        return "\n".join([title, *(f"  {label:<12} {text}" for label, text in rows)])


# plans for other batches, by the identity of the plan, which they keep alive
_of_batches: dict[tuple[int, int], tuple[Plan, Plan]] = {}


def of_batch(plan: Plan, batch: int) -> Plan:
    """The same real plan for another number of images: nothing in it was decided by their number."""
    if plan.geometry.batch == batch:
        return plan
    known = _of_batches.get((id(plan), batch))
    if known is None:
        if len(_of_batches) >= MOST_BATCHES:
            _of_batches.clear()
        geometry = plan.geometry.with_batch(batch)
        known = plan, replace(plan, geometry=geometry, operations=2 * geometry.products)
        _of_batches[id(plan), batch] = known
    return known[1]


def quantity(number: float, step: int = 1000) -> str:
    """`number` with a prefix: `924.8 M`, or `32.0 Mi` for step 1024."""
    prefixes = ("", "k", "M", "G", "T", "P", "E") if step == 1000 else ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
    size, place = float(number), 0
    while size >= step and place < len(prefixes) - 1:
        size, place = size / step, place + 1
    return f"{size:.0f} " if place == 0 else f"{size:.1f} {prefixes[place]}"


def _intensity(plan: Plan) -> str:
    return f"{plan.operations / plan.array_bytes:.1f}" if plan.array_bytes else "0"
