"""What an algorithm is: a name and two functions. The table of them stands in `algorithms`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..geometry import Geometry
from ..machine import Machine
from ..plan import Plan, Proposal

Array = NDArray[Any]
# (role, geometry of one image, dtype, machine, workspace limit in bytes) -> an offer, or why there is none
Propose = Callable[[str, Geometry, str, Machine, int], Proposal | str]
# (plan, first array, second array, result): forward (x, w, y), input_grad (gy, w, gx), weight_grad (gy, x, gw)
Run = Callable[[Plan, Array, Array, Array], None]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to compute the three roles."""

    name: str
    propose: Propose
    run: Run
