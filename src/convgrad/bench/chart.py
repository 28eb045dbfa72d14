"""The ratios as a picture: one bar per role of each problem, on a logarithmic scale around 1."""

from __future__ import annotations

import math
from html import escape

from .measure import Row

COLOURS = {"forward": "#0072b2", "input_grad": "#e69f00", "weight_grad": "#009e73"}  # told apart by everyone
BAR, GAP, LEFT, WIDTH = 9, 10, 290, 900


def draw(rows: list[Row], against: list[str]) -> str:
    """An SVG document of every row that a peer answered."""
    bars = [(row, peer) for row in rows for peer in against if peer in row.theirs]
    reach = max([1.0, *(abs(math.log2(row.ratio(peer))) for row, peer in bars)])
    scale = (WIDTH - LEFT - 70) / (2 * reach)
    middle = LEFT + reach * scale
    parts, y, before = [], 40, ""
    for row, peer in bars:
        if row.spelling != before:
            y += GAP
            parts.append(f'<text x="{LEFT - 8}" y="{y + BAR}" text-anchor="end">{escape(row.spelling)}</text>')
            before = row.spelling
        length = math.log2(row.ratio(peer)) * scale
        x = middle + min(length, 0)
        title = f"{row.role}: {peer} takes {row.ratio(peer):.2f} times as long"
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(abs(length), 0.5):.1f}" height="{BAR - 1}" '
            f'fill="{COLOURS[row.role]}"><title>{escape(title)}</title></rect>'
        )
        parts.append(f'<text x="{middle + max(length, 0) + 4:.1f}" y="{y + BAR - 1}">{row.ratio(peer):.2f}</text>')
        y += BAR
    legend = "".join(
        f'<rect x="{LEFT + 110 * k}" y="14" width="10" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 110 * k + 15}" y="23">{role}</text>'
        for k, (role, colour) in enumerate(COLOURS.items())
    )
    axis = f'<line x1="{middle:.1f}" y1="34" x2="{middle:.1f}" y2="{y + 6}" stroke="#888"/>'
    note = f'<text x="{middle:.1f}" y="{y + 22}" text-anchor="middle">ours is faster to the right of the line</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 34}" role="img" '
        f'aria-label="time ratios, {escape(", ".join(against))} over convgrad" '
        f'font-family="system-ui, sans-serif" font-size="9.5">'
        f'<rect width="100%" height="100%" fill="#fff"/>{legend}{axis}{"".join(parts)}{note}</svg>\n'
    )
