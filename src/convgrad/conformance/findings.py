"""What a run found: one record for each likely cause, with the smallest case that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .case import Case
from .judge import KINDS, Verdict
from .sampler import corners

# corners that say nothing about a cause
NEUTRAL = {"real numbers", "1 < channels < 8"}


@dataclass(slots=True)
class Finding:
    """A failure, made small."""

    verdict: Verdict
    case: Case  # the smallest found
    first: Case  # as it was drawn
    number: int  # of the case at which it showed
    seconds: float  # from the start of the run until then
    reproduction: str
    alone: bool  # whether the case fails in a process of its own
    rate: float  # how often it then does
    diagnosis: str = ""
    seen: int = 1  # cases that failed in this way

    @property
    def cause(self) -> str:
        """What all cases of this finding have in common."""
        where = f"{self.case.role}, {self.case.dtype}"
        where += f", algorithm {self.case.algorithm}" if self.case.algorithm else ""
        where += f", {self.case.isa}" if self.case.isa else ""
        needed = [corner for corner in corners(self.case) if corner not in NEUTRAL]
        return f"{where}: {', '.join(needed)}"

    def explains(self, case: Case, verdict: Verdict) -> bool:
        """Whether `case` fails as this one does, and has every feature that this one needs."""
        mine, its = self.case, case
        same = (verdict.kind, its.role, its.dtype) == (self.verdict.kind, mine.role, mine.dtype)
        same = same and mine.algorithm in ("", its.algorithm) and mine.isa in ("", its.isa)
        return same and set(corners(mine)) - NEUTRAL <= set(corners(its))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.verdict.kind,
            "meaning": KINDS[self.verdict.kind],
            "message": self.verdict.message,
            "cause": self.cause,
            "diagnosis": self.diagnosis,
            "case": self.case.to_json(),
            "first_case": self.first.to_json(),
            "number": self.number,
            "seconds": round(self.seconds, 2),
            "alone": self.alone,
            "rate": self.rate,
            "seen": self.seen,
            "reproduction": self.reproduction,
        }
