"""In the child process: run a case, compare it with the oracle, and say what is wrong with it, if anything.

Whole numbers are compared with `==`. Real ones with a bound on each entry, `c * eps * definition(|a|, |b|)`, where c
is the backend's own or counts a rounding for every term, in whatever order they are added; algorithms that transform
(FFT, Winograd) with one on all entries, of the norms.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .case import EXACT_DATA, PRECISION, Case
from .dialects.record import Dialect, numbers
from .oracle import tap_by_tap
from .script import data_lines, namespace, thread_lines

Array = np.ndarray[Any, Any]
TRANSFORM_EPS = 64.0  # of |a| * |b|, in the norm: FFT of some thousand positions


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case. kind is "ok", or one of `KINDS`."""

    kind: str
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.kind == "ok"


KINDS = {
    "wrong": "wrong numbers",
    "shape": "wrong shape or dtype",
    "error": "an error instead of a result",
    "inputs": "writes into its inputs",
    "repeat": "other bits when run again",
    "threads": "other bits with other threads",
    "batch": "other bits in another batch",
    "crash": "the process dies",
    "hang": "no answer in time",
    "memory": "more memory than allowed",
    "leak": "memory that is never given back",
}
OK = Verdict("ok")


class Bench:
    """One backend in this process: its imports done, ready to run cases."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._names = namespace()
        exec("\n".join(dialect.imports), self._names)

    def operands(self, case: Case) -> tuple[Array, Array]:
        exec("\n".join(data_lines(case)), self._names)
        first, second = case.operands
        return self._names[first], self._names[second]  # type: ignore[return-value]

    def compute(self, case: Case, a: Array, b: Array) -> Any:
        """What the backend answers, on its own copies of nothing: it gets the very arrays."""
        first, second = case.operands
        self._names.update({first: a, second: b, "result": None})
        exec("\n".join([*thread_lines(self.dialect, case.threads), *self.dialect.call(case)]), self._names)
        return self._names["result"]

    def judge(self, case: Case) -> Verdict:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            a, b = self.operands(case)
            before = a.copy(), b.copy()
            expected = exact(case, a, b)
            try:
                result = self.compute(case, a, b)
                kept = np.array(result)
                again = self.compute(case, a, b)
            except Exception as error:
                told = f"{type(error).__name__}: {_first_line(str(error))}"
                return Verdict("memory" if isinstance(error, MemoryError) or "memory" in told else "error", told)
            problem = misfit(case, result)
            if problem:
                return Verdict("shape", problem)
            if not (_same(a, before[0]) and _same(b, before[1])):
                return Verdict("inputs", "an operand has changed")
            problem = self._wrong(case, kept, expected, a, b)
            if problem:
                return Verdict("wrong", problem)
            if not _same(kept, np.asarray(again)):
                return Verdict("repeat", f"{_differences(kept, again)} entries differ between two runs")
            return self._promises(case, kept, a, b)

    def _wrong(self, case: Case, got: Array, expected: Array, a: Array, b: Array) -> str:
        """Empty where `got` is right."""
        if self.dialect.transforms(case):
            norms = float(np.linalg.norm(np.asarray(a, float)) * np.linalg.norm(np.asarray(b, float)))
            bad = ~(np.abs(got - expected) <= TRANSFORM_EPS * eps(case.dtype) * norms)
        elif case.data in EXACT_DATA and case.magnitude >= 1:
            bad = (got != expected.astype(got.dtype)) & ~(np.isnan(got) & np.isnan(expected))
        else:
            bad = ~(np.abs(got - expected) <= self._bound(case) * eps(case.dtype) * exact(case, np.abs(a), np.abs(b)))
        if not bad.any():
            return ""
        first = tuple(int(n) for n in np.argwhere(bad)[0])
        told = f"{int(bad.sum())} of {bad.size} entries are wrong"
        return f"{told}; result{list(first)} is {got[first]!s}, the definition gives {float(expected[first])!s}"

    def _bound(self, case: Case) -> float:
        if self.dialect.error_bound is not None:
            return self.dialect.error_bound(case)
        return case.terms + 2  # a rounding for each product, each sum and the result, whatever the order

    def _promises(self, case: Case, got: Array, a: Array, b: Array) -> Verdict:
        promises = self.dialect.capabilities.promises
        if "threads" in promises and case.threads > 1:
            alone = np.asarray(self.compute(replace(case, threads=1), a, b))
            if not _same(alone, got):
                told = f"{_differences(alone, got)} entries differ between 1 and {case.threads} threads"
                return Verdict("threads", told)
        if "batch" in promises and case.role != "weight_grad" and case.geometry.batch > 1:
            last = case.geometry.batch - 1
            one = replace(case, geometry=case.geometry.with_batch(1))
            alone = np.asarray(self.compute(one, a[last:], b))
            if not _same(alone, got[last:]):
                return Verdict("batch", f"{_differences(alone, got[last:])} entries of the last image differ, alone")
        return OK


def exact(case: Case, a: Array, b: Array) -> Array:
    """The definition, in longdouble where float64 numbers are rounded."""
    g = case.geometry
    wide = np.longdouble if case.dtype == "float64" and case.data not in EXACT_DATA else np.float64
    stride, before, dilation = (numbers(g, name) for name in ("stride", "before", "dilation"))
    return tap_by_tap(case.role, a, b, case.result_shape, stride, before, dilation, g.groups, wide)


def eps(dtype: str) -> float:
    return 2.0 ** (1 - PRECISION[dtype])


def misfit(case: Case, result: object) -> str:
    """What is wrong with the kind of a result; empty where nothing is."""
    if not isinstance(result, np.ndarray):
        return f"the result is a {type(result).__name__}, no array"
    dtype = "float32" if case.dtype == "bfloat16" else case.dtype
    if result.shape != case.result_shape:
        return f"the result has shape {result.shape}, not {case.result_shape}"
    return "" if result.dtype == dtype else f"the result has dtype {result.dtype}, not {dtype}"


def _same(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _differences(a: Array, b: Array) -> int:
    return int(np.sum((a != b) & ~(np.isnan(a) & np.isnan(b))))


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else ""
