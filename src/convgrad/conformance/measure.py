"""In the child process: what a backend does beyond right and wrong, so that two can be laid side by side.

Thread counts and batches may change the last bits of a result, and long sums may lose digits. Neither is an error
where nothing was promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spelling import parse
from .case import Case
from .judge import Bench, exact

if TYPE_CHECKING:
    from .dialects.record import Dialect

# layers as networks have them, small enough for every backend; what a backend does not take is left out
LAYERS = (
    "n4 ic8 oc16 i32x32 k3x3 p1",
    "n4 ic16 oc16 i28x28 k3x3 s2 p1",
    "n8 ic32 oc32 i14x14 k1x1",
    "n4 ic24 oc24 i28x28 k5x5 p2 g24",
    "n3 ic3 oc8 i48x48 k7x7 s2 p3",
    "n4 ic8 oc8 i400 k9 p4",
    "n2 ic4 oc8 i10x12x12 k3x3x3 p1",
    "n16 ic8 oc8 i32x32 k3x3",
    "n1 ic1 oc1 i60x60 k5x5",
)
# terms in one entry of the weight gradient; positive numbers, so that rounding adds up
LONG_SUMS = ("i4098 k3", "i25090 k3", "i401410 k3")


def layers(dialect: Dialect) -> list[Case]:
    """The layers that a backend takes, in each role, with real numbers of its first dtype."""
    capabilities = dialect.capabilities
    found = [
        Case(role, parse(text), capabilities.dtypes[0], "real", seed=1)
        for text in LAYERS
        for role in capabilities.roles
        if capabilities.takes(parse(text))
    ]
    return [case for case in found if dialect.algorithm_of(case) is not None]


def long_sums(dialect: Dialect) -> list[Case]:
    """Weight gradients of ever more terms."""
    capabilities = dialect.capabilities
    if "weight_grad" not in capabilities.roles:
        return []
    cases = [Case("weight_grad", parse(text), capabilities.dtypes[0], "positive", seed=1) for text in LONG_SUMS]
    return [case for case in cases if capabilities.takes(case.geometry) and dialect.algorithm_of(case) is not None]


def thread_dependence(bench: Bench, case: Case, counts: Sequence[int]) -> list[int]:
    """For each number of threads, how many entries have other bits than with one."""
    a, b = bench.operands(case)
    alone = np.array(bench.compute(replace(case, threads=1), a, b))
    return [int(np.sum(np.asarray(bench.compute(replace(case, threads=n), a, b)) != alone)) for n in counts]


def batch_dependence(bench: Bench, case: Case) -> int:
    """How many entries of the last image have other bits when it is computed alone."""
    a, b = bench.operands(case)
    last = case.geometry.batch - 1
    whole = np.array(bench.compute(case, a, b))
    alone = np.asarray(bench.compute(replace(case, geometry=case.geometry.with_batch(1)), a[last:], b))
    return int(np.sum(alone != whole[last:]))


def ulps(bench: Bench, case: Case) -> float:
    """The largest error, in distances between neighbouring numbers of the dtype."""
    a, b = bench.operands(case)
    got: Any = np.array(bench.compute(case, a, b))
    expected = exact(case, a, b)
    return float(np.max(np.abs(got - expected) / np.spacing(np.abs(expected).astype(got.dtype))))
