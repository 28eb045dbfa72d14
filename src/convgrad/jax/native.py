"""Small problems without Python."""

from __future__ import annotations

from typing import Any

from ..plan import Plan


def available() -> bool:
    return False


def handler(plan: Plan, fallback: int) -> Any:
    return None
