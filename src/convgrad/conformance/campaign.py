"""A run of the kit: draw, judge in a child process, confirm, make small, count. Everything ends up in a `Report`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..machine import Machine
from . import dialects, measure
from .case import Case
from .dialects.record import Dialect
from .findings import Finding
from .judge import Verdict
from .processes import Limits, Process
from .sampler import Wishes, cases, corners
from .script import reproduction, version
from .shrink import shrink

CONFIRMATIONS = 3
SHRINK_SECONDS = 20.0
SUSPECTS = 6  # cases before a crash that are looked at when the crash does not come again
LEAK_CALLS = 40
MOST_FINDINGS = 25  # then a run ends: what comes after has been said
ALL, USUAL = Wishes(), Limits()

Progress = Callable[["Report"], None]


@dataclass(slots=True)
class Report:
    """What a run did and found."""

    backend: str
    versions: dict[str, str]
    cpu: str
    isa: str
    seed: int
    tried: int = 0
    failed: int = 0
    seconds: float = 0.0
    processes: int = 0  # how many were started
    by_corner: Counter[tuple[str, str]] = field(default_factory=Counter)  # (role, corner) -> cases
    failed_by_corner: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_program: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (algorithm, isa, dtype) -> cases
    findings: list[Finding] = field(default_factory=list)
    threads: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, Any] = field(default_factory=dict)
    ulps: dict[int, float] = field(default_factory=dict)  # terms -> ulp of the weight gradient

    @property
    def ok(self) -> bool:
        return not self.findings


def check(
    backend: str,
    *,
    most_cases: int | None = None,
    most_findings: int = MOST_FINDINGS,
    seconds: float | None = None,
    seed: int = 0,
    wishes: Wishes = ALL,
    limits: Limits = USUAL,
    measured: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Try a backend on cases drawn from its capabilities, until `most_cases`, `most_findings` or `seconds` are reached.

    backend: a name, or "module:object".   seed: fixes every case.   measured: also measure threads, batch and ulps.
    Returns a Report; `report.ok` says that nothing was found.
    Raises InputError for a backend that cannot be had, MissingExtraError where its library is absent.
    """
    dialect = dialects.find(backend)
    drawn = cases(dialect, wishes, seed)
    with _campaign(dialect, seed, limits) as campaign:
        campaign.run(drawn, most_cases, most_findings, seconds, progress)
        if measured:
            campaign.measure()
    return campaign.report


def replay(backend: str, saved: Iterable[Case], *, limits: Limits = USUAL, progress: Progress | None = None) -> Report:
    """Try a backend on given cases; those that its capabilities leave out are passed over."""
    dialect = dialects.find(backend)
    with _campaign(dialect, 0, limits) as campaign:
        campaign.run(filter(campaign.allowed, saved), None, MOST_FINDINGS, None, progress)
    return campaign.report


@contextmanager
def _campaign(dialect: Dialect, seed: int, limits: Limits) -> Iterator[_Campaign]:
    campaign = _Campaign(dialect, seed, limits)
    try:
        yield campaign
    finally:
        campaign.close()


class _Campaign:
    """The children, one for each instruction set, and the report that grows."""

    def __init__(self, dialect: Dialect, seed: int, limits: Limits) -> None:
        machine = Machine.here()
        versions = {name: version(name) for name in (*dialect.libraries, "numpy")}
        self.report = Report(dialect.name, versions, machine.cpu, machine.isa, seed)
        self._dialect, self._limits = dialect, limits
        self._children: dict[str, Process] = {}
        self._recent: list[Case] = []
        self._began = time.monotonic()

    def run(
        self,
        drawn: Iterable[Case],
        most_cases: int | None,
        most_findings: int,
        seconds: float | None,
        progress: Progress | None,
    ) -> None:
        report = self.report
        spent = 0.0  # making findings small is not counted
        for case in drawn:
            verdict = self._judge(case)
            self._count(case, verdict)
            if not verdict.ok:
                before = time.monotonic()
                self._record(case, verdict)
                spent += time.monotonic() - before
            report.seconds = time.monotonic() - self._began
            if progress is not None:
                progress(report)
            if len(report.findings) >= most_findings or report.tried == most_cases:
                break
            if seconds is not None and report.seconds - spent > seconds:
                break

    def measure(self) -> None:
        """Threads, batch and long sums; what dies on the way is left out."""
        dialect, report = self._dialect, self.report
        counts = [n for n in dialect.capabilities.threads if n > 1]
        for case in measure.layers(dialect):
            if counts:
                _add(report.threads, case.role, self._ask(case, "threads", counts=counts))
            if case.role != "weight_grad" and case.geometry.batch > 1:
                _add(report.batch, case.role, self._ask(case, "batch"))
        for case in measure.long_sums(dialect):
            found = self._ask(case, "ulps")
            if not isinstance(found, Verdict):
                report.ulps[case.terms] = found
        report.seconds = time.monotonic() - self._began

    def allowed(self, case: Case) -> bool:
        """Whether the backend takes this case."""
        c = self._dialect.capabilities
        return (
            c.takes(case.geometry)
            and (case.role in c.roles and case.dtype in c.dtypes and case.algorithm in ("", *c.algorithms))
            and set(case.layouts) <= set(c.layouts)
            and self._dialect.algorithm_of(case) is not None
        )

    def close(self) -> None:
        for child in self._children.values():
            child.close()
        self._children.clear()

    # ---- one case

    def _judge(self, case: Case) -> Verdict:
        """The verdict on a case, in the child of its instruction set."""
        found = self._ask(case, "judge")
        verdict = found if isinstance(found, Verdict) else Verdict(**found)
        child = self._children.get(case.isa)
        if verdict.ok and child is not None and child.grown:
            self._retire(case.isa)
            return self._leak(case)
        return verdict

    def _ask(self, case: Case, task: str, **options: Any) -> Any:
        child = self._children.get(case.isa)
        if child is None:
            child = self._children[case.isa] = Process(self._dialect, case.isa, self._limits)
            self.report.processes += 1
        found = child.ask(task, case, **options)
        if isinstance(found, Verdict):
            self._retire(case.isa)
        return found

    def _retire(self, isa: str) -> None:
        self._children.pop(isa).close()

    def _leak(self, case: Case) -> Verdict:
        """Whether the growth of a process comes from calls that never give their memory back."""
        grown = self._ask(case, "repeat", times=LEAK_CALLS)
        if isinstance(grown, Verdict) or grown / LEAK_CALLS < self._limits.leak:
            return Verdict("ok")
        return Verdict("leak", f"{grown // LEAK_CALLS >> 10} KiB more with every call")

    # ---- a failure

    def _record(self, case: Case, verdict: Verdict) -> None:
        """Count a failure with the finding that explains it, or make it a finding of its own."""
        for finding in self.report.findings:
            if finding.explains(case, verdict):
                finding.seen += 1
                return
        seconds = time.monotonic() - self._began
        culprit, rate = self._confirm(case, verdict)
        tries = 1 if rate == 1 else 2 * CONFIRMATIONS
        smallest = culprit
        if rate > 0 and verdict.kind != "leak":  # a leak does not depend on the numbers
            fails = lambda other: any(self._judge(other).kind == verdict.kind for _ in range(tries))  # noqa: E731
            smallest = shrink(culprit, fails, self.allowed, SHRINK_SECONDS)
            verdict = self._told(smallest, verdict)
        for finding in self.report.findings:
            if finding.explains(smallest, verdict):
                finding.seen += 1
                return
        diagnosis = self._ask(smallest, "diagnose") if verdict.kind == "wrong" else ""
        script = reproduction(self._dialect, smallest, verdict.message, crashes=verdict.kind != "wrong")
        self.report.findings.append(
            Finding(
                verdict=verdict,
                case=smallest,
                first=culprit,
                number=self.report.tried,
                seconds=seconds,
                reproduction=script,
                alone=rate > 0,
                rate=rate,
                diagnosis=diagnosis if isinstance(diagnosis, str) else "",
            )
        )

    def _confirm(self, case: Case, verdict: Verdict) -> tuple[Case, float]:
        """(the case to blame, how often it fails in a fresh process).

        Memory that one case has corrupted may kill the process in a later one; so those before it are tried too.
        """
        suspects = [case, *reversed(self._recent[-SUSPECTS - 1 : -1])] if verdict.kind == "crash" else [case]
        for suspect in suspects:
            failures = 0
            for _ in range(CONFIRMATIONS):
                if suspect.isa in self._children:
                    self._retire(suspect.isa)
                failures += self._judge_or_leak(suspect, verdict).kind == verdict.kind
            if failures:
                return suspect, failures / CONFIRMATIONS
        return case, 0.0

    def _judge_or_leak(self, case: Case, verdict: Verdict) -> Verdict:
        return self._leak(case) if verdict.kind == "leak" else self._judge(case)

    def _told(self, case: Case, verdict: Verdict) -> Verdict:
        """What the smallest case says, where it fails again."""
        for _ in range(CONFIRMATIONS):
            again = self._judge(case)
            if again.kind == verdict.kind:
                return again
        return verdict

    def _count(self, case: Case, verdict: Verdict) -> None:
        report = self.report
        report.tried += 1
        report.failed += not verdict.ok
        self._recent = [*self._recent[-SUSPECTS:], case]
        for corner in corners(case):
            report.by_corner[case.role, corner] += 1
            report.failed_by_corner[case.role, corner] += not verdict.ok
        program = self._dialect.algorithm_of(case) or ""
        report.by_program[program, case.isa or report.isa, case.dtype] += 1


def _add(table: dict[str, Any], role: str, found: Any) -> None:
    """Count a layer, and whether any of its bits depended on what was varied."""
    if not isinstance(found, Verdict):
        row = table.setdefault(role, {"layers": 0, "differ": 0})
        row["layers"] += 1
        row["differ"] += bool(any(found) if isinstance(found, list) else found)
