"""A report for a terminal."""

from __future__ import annotations

from ..campaign import Report
from .records import corner_names, heading, measured_lines, remarks, roles_tried, verdict_line


def text(report: Report) -> str:
    """Verdict, cases per role and option, measurements, and every finding with its reproduction."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [f"{report.backend}: {verdict_line(report)}"]
    lines.append(f"{versions}; {report.cpu} ({report.isa}); seed {report.seed}")
    lines += ["", *_table(report)]
    if len(report.by_program) > 1:
        lines += ["", "cases by algorithm, instruction set, dtype"]
        for (algorithm, isa, dtype), count in sorted(report.by_program.items()):
            lines.append(f"  {algorithm or 'its own choice':<16} {isa:<8} {dtype:<9} {count:>8}")
    measured = measured_lines(report)
    lines += [""] * bool(measured) + [f"{what:<20} {told}" for what, told in measured]
    for number, finding in enumerate(report.findings, start=1):
        lines += ["", f"{number}. {heading(finding)}", *(f"   {remark}" for remark in remarks(finding)), ""]
        lines += [f"    {line}".rstrip() for line in finding.reproduction.splitlines()]
    return "\n".join(lines)


def _table(report: Report) -> list[str]:
    """Cases per role and option; failures in brackets."""
    roles = roles_tried(report)
    lines = [f"{'cases (failures)':<20}" + "".join(f"{role:>18}" for role in roles)]
    for corner in corner_names([report]):
        cells = []
        for role in roles:
            failed = report.failed_by_corner[role, corner]
            cells.append(f"{report.by_corner[role, corner]}" + (f" ({failed})" if failed else ""))
        lines.append(f"{corner:<20}" + "".join(f"{cell:>18}" for cell in cells))
    return lines
