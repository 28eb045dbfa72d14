"""What an algorithm is: a name and its functions. The table of them stands in `algorithms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ..geometry import Geometry
from ..jit.compile import Kernel
from ..machine import Machine
from ..plan import Plan, Proposal

Array = NDArray[Any]
# (role, geometry of one image, dtype, machine, workspace limit in bytes) -> an offer, or why there is none
Propose = Callable[[str, Geometry, str, Machine, int], Proposal | str]
# (plan, first array, second array, result): forward (x, w, y), input_grad (gy, w, gx), weight_grad (gy, x, gw)
Run = Callable[[Plan, Array, Array, Array], None]
# (first array, second array, result), native, contiguous and of the plan's shapes -> whether that was the whole job
Ready = Callable[[Array, Array, Array], bool]
# (channels, *positions) of y that are computed together: cut along multiples of these, y and gx keep their bits
Cell = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piecewise:
    """How pieces of forward and input_grad, computed apart, get the bits of the whole."""

    cell: Callable[[Plan], Cell]
    # (plan of the whole, geometry of a piece of one image) -> the piece's parameters; None: it proposes its own
    parameters: Callable[[Plan, Geometry], object] | None = None


@dataclass(frozen=True, slots=True)
class Native:
    """A call without Python: `entry(state, stand-ins for the arrays (a, b, out), whether it was the whole job)`.

    A stand-in is memory that has the address of an array where an array object has it. All such calls of a process
    share memory: whoever makes one holds one lock for all.
    """

    entry: Kernel
    state: Array


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to compute the three roles."""

    name: str
    propose: Propose
    run: Run
    reduced: Mapping[str, Propose] = field(default_factory=dict)  # what it offers where less precision will do
    ready: Callable[[Plan], Ready | None] = lambda plan: None  # where repeated calls can be quicker than `run`
    # for a weight gradient of one image, that of so many images as groups of one, if it has the same bits for each
    stacked: Callable[[Plan, int], Plan | None] = lambda plan, images: None
    piecewise: Piecewise | None = None  # where the bits of a result do not depend on what else is computed
    native: Callable[[Plan], Native | None] = lambda plan: None  # where calls of compiled programs can be quicker
    bfloat16: Propose | None = None  # what it offers for arrays of bfloat16; others compute these in float32
