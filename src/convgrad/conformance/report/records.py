"""A report as plain values, and the little that text and page both say of it."""

from __future__ import annotations

from typing import Any

from ...plan import ROLES
from ..campaign import Report
from ..case import RESULTS
from ..findings import Finding
from ..judge import KINDS


def record(report: Report) -> dict[str, Any]:
    """Everything in a report, for JSON."""
    return {
        "backend": report.backend,
        "versions": report.versions,
        "cpu": report.cpu,
        "isa": report.isa,
        "seed": report.seed,
        "cases": report.tried,
        "failed": report.failed,
        "seconds": round(report.seconds, 2),
        "processes": report.processes,
        "corners": [
            {"role": role, "corner": corner, "cases": count, "failed": report.failed_by_corner[role, corner]}
            for (role, corner), count in sorted(report.by_corner.items())
        ],
        "programs": [
            {"algorithm": algorithm, "isa": isa, "dtype": dtype, "cases": count}
            for (algorithm, isa, dtype), count in sorted(report.by_program.items())
        ],
        "findings": [finding.to_json() for finding in report.findings],
        "threads": report.threads,
        "batch": report.batch,
        "ulps": {str(terms): ulp for terms, ulp in report.ulps.items()},
    }


def corner_names(reports: list[Report]) -> list[str]:
    """Every corner that was tried, in the order of first sight."""
    return list(dict.fromkeys(corner for report in reports for _, corner in report.by_corner))


def roles_tried(report: Report) -> list[str]:
    return [role for role in ROLES if any(tried == role for tried, _ in report.by_corner)]


def verdict_line(report: Report) -> str:
    """The run in one sentence."""
    found = "nothing found" if report.ok else f"{report.failed} fail, {many(len(report.findings), 'finding')}"
    return f"{many(report.tried, 'case')} in {report.seconds:.1f} s: {found}"


def measured_lines(report: Report) -> list[tuple[str, str]]:
    """(what was measured, what came out)."""
    lines = []
    for what, table in (("other threads", report.threads), ("another batch", report.batch)):
        for role, row in table.items():
            told = f"{RESULTS[role]} has other bits in {row['differ']} of {many(row['layers'], 'layer')}"
            lines.append((f"with {what}", told))
    for terms, ulp in report.ulps.items():
        lines.append((f"gw of {terms} terms", f"off by {ulp:.3g} ulp"))
    return lines


def heading(finding: Finding) -> str:
    seen = many(finding.seen, "case")
    return f"{KINDS[finding.verdict.kind]} ({seen}): {finding.cause}"


def remarks(finding: Finding) -> list[str]:
    """What there is to say of a finding besides its reproduction."""
    told = [f"found at case {finding.number}, after {finding.seconds:.1f} s, as {finding.first}"]
    if finding.diagnosis:
        told.insert(0, f"looks like: {finding.diagnosis}")
    if not finding.alone:
        told.append("did not come again in a process of its own: perhaps an earlier case had damaged memory")
    elif finding.rate < 1:
        told.append(f"fails in {finding.rate:.0%} of fresh processes")
    return told


def many(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}".replace(",", " ")
