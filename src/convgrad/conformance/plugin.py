"""The pytest plugin: a fixture `conformance` for those who write a backend. It comes with convgrad; nothing to enable.

    def test_mine(conformance):
        conformance("mine.kernels:backend", cases=500)

`convgrad.conformance.dialects.functions` says what such a backend is: three functions and a capability record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .campaign import Report


@pytest.fixture
def conformance() -> Callable[..., Report]:
    """`conformance(backend, cases=300, seed=0, roles=None, dtypes=None)` fails with every finding made small."""
    return _check


def _check(
    backend: str,
    *,
    cases: int = 300,
    seed: int = 0,
    roles: tuple[str, ...] | None = None,
    dtypes: tuple[str, ...] | None = None,
) -> Report:
    from .campaign import check
    from .report.text import text
    from .sampler import Wishes

    report = check(backend, most_cases=cases, seed=seed, wishes=Wishes(roles, dtypes), measured=False)
    if not report.ok:
        pytest.fail(text(report), pytrace=False)
    return report
