"""The HTML page: one file without links to anything outside, a column for every backend that was checked.

Its stylesheet is that of a training report, with a few rules of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib import resources

from ... import __version__
from ..campaign import Report
from ..case import RESULTS
from .records import corner_names, heading, many, remarks, roles_tried

TITLES = {
    "findings": "Findings",
    "options": "Options",
    "bits": "Same bits",
    "digits": "Digits",
    "repeat": "Repeat it",
}
COLOURS = ("var(--blue)", "var(--orange)", "var(--quiet)", "var(--ink)")
LEFT, RIGHT, TOP, BOTTOM = 46, 420, 20, 190  # of the drawing of digits
LEAST_ULP = 0.1
DOT = "\N{MIDDLE DOT}"


def render(reports: Sequence[Report]) -> str:
    """Reports of one or several backends as one HTML document."""
    found = list(reports)
    sections = [_findings(found), _corners(found), _bits(found), _digits(found), _repeat(found)]
    names = ", ".join(report.backend for report in found)
    style = "".join(
        resources.files("convgrad").joinpath(path).read_text("utf-8")
        for path in ("train/report/style.css", "conformance/report/check.css")
    )
    links = "".join(
        f'<a href="#{name}">{title}</a>' for name, title in TITLES.items() if f'id="{name}"' in "".join(sections)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(names)} {DOT} convgrad check</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'{_header(found)}\n<nav aria-label="Sections">{links}</nav>\n<main>\n'
        + "\n".join(filter(None, sections))
        + f"\n</main>\n<footer>Written by convgrad {escape(__version__)}: convolution and its gradients, NumPy in, "
        "NumPy out.</footer>\n</body>\n</html>\n"
    )


def _header(reports: list[Report]) -> str:
    findings = sum(len(report.findings) for report in reports)
    tried = many(sum(report.tried for report in reports), "case")
    names = " and ".join(escape(report.backend) for report in reports)
    told = f"{'finding' if findings == 1 else 'findings'} in {tried} of {names}"
    return (
        f'<header><p class="kicker">convgrad {DOT} who is right?</p><h1><b>{findings}</b> <span>{told}</span></h1>'
        "<p>Convolutions and their gradients from the corners of the option lattice, computed in processes of their "
        "own and compared with the definition: whole numbers with <code>==</code>, real ones within a computed bound. "
        "Such shapes are rare in practice; a shape that is wrong is wrong silently.</p></header>"
    )


def _findings(reports: list[Report]) -> str:
    parts = []
    for report in reports:
        if report.ok:
            told = f"Nothing found in {many(report.tried, 'case')} with seed {report.seed}."
            parts.append(f'<h3>{escape(report.backend)}</h3><p><b class="blue">{told}</b></p>')
            continue
        parts.append(f"<h3>{escape(report.backend)}: {many(len(report.findings), 'finding')}</h3>")
        for finding in report.findings:
            told = "".join(f"<li>{escape(remark)}</li>" for remark in remarks(finding))
            parts.append(
                f'<article class="finding"><h4>{escape(heading(finding))}</h4><p>{escape(finding.verdict.message)}</p>'
                f"<ul>{told}</ul><details><summary>A script that shows it</summary>"
                f"<pre>{escape(finding.reproduction)}</pre></details></article>"
            )
    return _section("findings", "What was found", "".join(parts))


def _corners(reports: list[Report]) -> str:
    columns = [(report, role) for report in reports for role in roles_tried(report)]
    top = "".join(f'<th scope="colgroup" colspan="{len(roles_tried(r))}">{escape(r.backend)}</th>' for r in reports)
    head = "".join(f'<th scope="col">{RESULTS[role]}</th>' for _, role in columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(corner)}</th>{"".join(_cell(*column, corner) for column in columns)}</tr>'
        for corner in corner_names(reports)
    )
    return _section(
        "options",
        "Cases per option",
        "<p>How many cases had an option, for the output and the two gradients; failures in orange.</p>"
        f'<div class="wide"><table class="options"><thead><tr><td></td>{top}</tr><tr><td></td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    )


def _cell(report: Report, role: str, corner: str) -> str:
    tried, failed = report.by_corner[role, corner], report.failed_by_corner[role, corner]
    if failed:
        return f'<td><b class="orange">{failed}</b> of {tried}</td>'
    return f"<td>{tried or DOT}</td>"


def _bits(reports: list[Report]) -> str:
    rows = []
    for what, name in (("other threads", "threads"), ("another batch", "batch")):
        for role in RESULTS:
            cells = [getattr(report, name).get(role) for report in reports]
            if any(cells):
                told = "".join(f"<td>{c['differ']} of {c['layers']}</td>" if c else f"<td>{DOT}</td>" for c in cells)
                rows.append(f'<tr><th scope="row">{RESULTS[role]} with {what}</th>{told}</tr>')
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(report.backend)}</th>' for report in reports)
    return _section(
        "bits",
        "The same bits?",
        "<p>Layers as networks have them, in real numbers: how many give other bits when threads, or the rest of the "
        "batch, change. That is no error unless it was promised.</p>"
        f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    )


def _digits(reports: list[Report]) -> str:
    drawn = [report for report in reports if len(report.ulps) > 1]
    if not drawn:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(report.backend)}</th>'
        + "".join(f"<td>{ulp:.3g}</td>" for ulp in report.ulps.values())
        + "</tr>"
        for report in drawn
    )
    head = "".join(f'<th scope="col">{terms:,} terms</th>'.replace(",", " ") for terms in drawn[0].ulps)
    return _section(
        "digits",
        "Digits of the weight gradient",
        "<p>One entry of a weight gradient sums over all images and positions. The largest error in ulp, the distance "
        "between neighbouring numbers, for ever more positive terms.</p>"
        f"<figure>{_drawing(drawn)}</figure><table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>",
    )


def _drawing(reports: list[Report]) -> str:
    """Ulps over terms, both logarithmic."""
    terms = sorted({n for report in reports for n in report.ulps})
    top = max(1.0, *(math.log10(max(ulp, LEAST_ULP)) for report in reports for ulp in report.ulps.values()))

    def across(n: int) -> float:
        return LEFT + (RIGHT - LEFT) * math.log(n / terms[0]) / math.log(terms[-1] / terms[0])

    def down(ulp: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * math.log10(max(ulp, LEAST_ULP) / LEAST_ULP) / (top + 1)

    parts = []
    for ulp in (10.0**power for power in range(-1, math.floor(top) + 1)):
        y = down(ulp)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{ulp:g}</text>')
    parts += [
        f'<text class="tick" x="{across(n):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{n}</text>' for n in terms
    ]
    for report, colour in zip(reports, COLOURS * len(reports), strict=False):
        points = " ".join(f"{across(n):.1f},{down(ulp):.1f}" for n, ulp in report.ulps.items())
        n, ulp = list(report.ulps.items())[-1]
        told = f"{escape(report.backend)} {ulp:.3g}"
        parts.append(
            f'<g style="color:{colour}"><polyline class="line" points="{points}"/>'
            f'<text class="end" x="{across(n) + 8:.1f}" y="{down(ulp) + 4:.1f}">{told}</text></g>'
        )
    told = "; ".join(f"{report.backend} ends at {list(report.ulps.values())[-1]:.3g} ulp" for report in reports)
    return f'<svg viewBox="0 0 560 215" role="img" aria-label="{escape(told)}">{"".join(parts)}</svg>'


def _repeat(reports: list[Report]) -> str:
    facts = []
    for report in reports:
        rows = {
            **report.versions,
            "cpu": report.cpu,
            "vector unit": report.isa,
            "seed": str(report.seed),
            "cases": str(report.tried),
            "seconds": f"{report.seconds:.1f}",
            "processes": str(report.processes),
        }
        rows |= {
            " ".join(filter(None, program)): many(count, "case") for program, count in sorted(report.by_program.items())
        }
        items = "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in rows.items())
        facts.append(f"<section><h3>{escape(report.backend)}</h3><dl>{items}</dl></section>")
    return _section("repeat", "What is needed to repeat it", f'<div class="facts">{"".join(facts)}</div>')


def _section(name: str, title: str, body: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{body}</section>'
