"""One case: a role of a convolution, its numbers, how they lie in memory, and where it runs.

It is all text and integers, so that it can be saved, sent to another process, made smaller, and printed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError
from ..geometry import Geometry
from ..spelling import parse, spell
from .capabilities import LAYOUTS

OPERANDS = {"forward": ("x", "w"), "input_grad": ("gy", "w"), "weight_grad": ("gy", "x")}
RESULTS = {"forward": "y", "input_grad": "gx", "weight_grad": "gw"}
# significant bits of a number: whole numbers are drawn so small that every partial sum has no more
PRECISION = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8}
LARGEST_DRAWN = 8

# ones: every entry 1.   whole: random whole numbers.   tiny: the same, times the smallest denormal.
# special: the same, one of them infinite or NaN.   real, positive: random, compared within a bound.
DATA = ("ones", "whole", "tiny", "special", "real", "positive")
EXACT_DATA = ("ones", "whole", "tiny", "special")


@dataclass(frozen=True, slots=True)
class Case:
    """What one child process computes and judges."""

    role: str
    geometry: Geometry
    dtype: str = "float32"
    data: str = "whole"
    layouts: tuple[str, str] = ("contiguous", "contiguous")  # of the two operands
    threads: int = 1
    algorithm: str = ""  # "": the backend chooses
    isa: str = ""  # "": the machine's own
    seed: int = 0

    @property
    def operands(self) -> tuple[str, str]:
        return OPERANDS[self.role]

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the two operands."""
        first, second = self.operands
        return _shape(first, self.geometry), _shape(second, self.geometry)

    @property
    def result_shape(self) -> tuple[int, ...]:
        return _shape(RESULTS[self.role], self.geometry)

    @property
    def terms(self) -> int:
        """Products in one entry of the result, at most."""
        g = self.geometry
        if self.role == "weight_grad":
            return g.batch * math.prod(g.output_size)
        channels = g.in_channels_per_group if self.role == "forward" else g.out_channels_per_group
        return channels * math.prod(g.kernel_size)

    @property
    def magnitude(self) -> int:
        """The largest whole number whose sums of products stay exact; 0 where there are too many terms."""
        largest = 2 ** min(PRECISION[self.dtype], 30) // max(1, self.terms)
        return min(LARGEST_DRAWN, math.isqrt(largest))

    def __str__(self) -> str:
        words = [self.role, spell(self.geometry), self.dtype, self.data, f"seed {self.seed}"]
        words += [
            f"{name} {layout}"
            for name, layout in zip(self.operands, self.layouts, strict=True)
            if layout != "contiguous"
        ]
        words += [f"threads {self.threads}"] if self.threads != 1 else []
        words += [f"algorithm {self.algorithm}"] if self.algorithm else []
        words += [f"isa {self.isa}"] if self.isa else []
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"geometry": spell(self.geometry), "layouts": list(self.layouts)}

    @staticmethod
    def from_json(record: dict[str, Any]) -> Case:
        """The case that `to_json` wrote. Raises InputError for anything else."""
        try:
            known = {**record, "geometry": parse(record["geometry"]), "layouts": tuple(record["layouts"])}
            case = Case(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "case", str(record), f"is no case ({error})", "what `convgrad check --save` wrote"
            ) from None
        words = {(case.role, *OPERANDS), (case.dtype, *PRECISION), (case.data, *DATA)}
        words |= {(layout, *LAYOUTS) for layout in case.layouts}
        for word, *accepted in words:
            if word not in accepted:
                raise InputError("case", str(record), f"{word!r} is unknown", ", ".join(accepted))
        return case


def _shape(name: str, g: Geometry) -> tuple[int, ...]:
    if name in ("x", "gx"):
        return g.input_shape
    return g.weight_shape if name in ("w", "gw") else g.output_shape
