"""Who is right? Cases from the corners of the option lattice, tried on any backend and judged by the definition.

    report = check("torch", seconds=60)
    report = check("mine.kernels:backend", most_cases=1000)

A backend of one's own is three functions and a `Capabilities`; `convgrad.conformance.dialects.functions` tells which.
Names only; each is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .campaign import Report as Report
    from .campaign import check as check
    from .campaign import replay as replay
    from .capabilities import Capabilities as Capabilities
    from .case import Case as Case
    from .findings import Finding as Finding
    from .processes import Limits as Limits
    from .sampler import Wishes as Wishes

_HOME = {
    "Capabilities": "capabilities",
    "Case": "case",
    "Finding": "findings",
    "Limits": "processes",
    "Report": "campaign",
    "Wishes": "sampler",
    "check": "campaign",
    "replay": "campaign",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
