"""The ratios as a picture: one bar per role of each problem, on a logarithmic scale around 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .measure import Row

COLOURS = {"forward": "#0072b2", "input_grad": "#e69f00", "weight_grad": "#009e73", "step": "#0072b2"}
BAR, GAP, LEFT, WIDTH = 9, 10, 290, 900


@dataclass(frozen=True, slots=True)
class Bar:
    """How many times as long somebody else takes; bars of one label stand together."""

    label: str
    kind: str  # a key of `COLOURS`, which everyone can tell apart
    ratio: float
    title: str


def bars(rows: list[Row], against: list[str]) -> list[Bar]:
    """Every row that a peer answered."""
    return [
        Bar(
            f"{row.spelling}  threads {row.threads}",
            row.role,
            row.ratio(peer),
            f"{row.role}: {peer} takes {row.ratio(peer):.2f} times as long",
        )
        for row in rows
        for peer in against
        if peer in row.theirs
    ]


def draw(found: list[Bar], against: list[str]) -> str:
    """An SVG document."""
    reach = max([1.0, *(abs(math.log2(bar.ratio)) for bar in found)])
    scale = (WIDTH - LEFT - 70) / (2 * reach)
    middle = LEFT + reach * scale
    parts, y, before = [], 40, ""
    for bar in found:
        if bar.label != before:
            y += GAP
            parts.append(f'<text x="{LEFT - 8}" y="{y + BAR}" text-anchor="end">{escape(bar.label)}</text>')
            before = bar.label
        length = math.log2(bar.ratio) * scale
        x = middle + min(length, 0)
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(abs(length), 0.5):.1f}" height="{BAR - 1}" '
            f'fill="{COLOURS[bar.kind]}"><title>{escape(bar.title)}</title></rect>'
        )
        parts.append(f'<text x="{middle + max(length, 0) + 4:.1f}" y="{y + BAR - 1}">{bar.ratio:.2f}</text>')
        y += BAR
    kinds = list(dict.fromkeys(bar.kind for bar in found))
    legend = "".join(
        f'<rect x="{LEFT + 110 * k}" y="14" width="10" height="10" fill="{COLOURS[kind]}"/>'
        f'<text x="{LEFT + 110 * k + 15}" y="23">{kind}</text>'
        for k, kind in enumerate(kinds)
    )
    axis = f'<line x1="{middle:.1f}" y1="34" x2="{middle:.1f}" y2="{y + 6}" stroke="#888"/>'
    note = f'<text x="{middle:.1f}" y="{y + 22}" text-anchor="middle">ours is faster to the right of the line</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 34}" role="img" '
        f'aria-label="time ratios, {escape(", ".join(against))} over convgrad" '
        f'font-family="system-ui, sans-serif" font-size="9.5">'
        f'<rect width="100%" height="100%" fill="#fff"/>{legend}{axis}{"".join(parts)}{note}</svg>\n'
    )
