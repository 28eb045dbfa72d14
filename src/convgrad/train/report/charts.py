"""The page's drawings as inline SVG: curves over epochs, bars per class, the matrix of many classes.

Colours and fonts come from the stylesheet by class name; the read-out of an epoch appears where the pointer is,
without a script. Which numbers are drawn is left to `page`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Format = Callable[[float], str]

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 362, 44, 262  # the plot's edges; direct labels stand to its right
LABEL_HEIGHT = 16
MOST_BANDS = 240  # epochs that answer to the pointer; beyond it they would be thinner than a pixel


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name, the class that colours it, and a value per epoch."""

    name: str
    style: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become heights: linear, or logarithmic."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """The height of `value` in the drawing, between BOTTOM and TOP."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)

    def shows(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.logarithmic)


def loss_scale(values: Sequence[float]) -> Scale:
    """Logarithmic where the values span more than a factor of 20, else linear from zero.

    >>> loss_scale([2.0, 0.03]).ticks
    (0.01, 0.1, 1.0, 10.0)
    >>> loss_scale([0.9, 0.4]).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    smallest, largest = min(positive), max(positive)
    if largest <= 20 * smallest:
        return _linear(0.0, largest)
    first, last = math.floor(math.log10(smallest)), math.ceil(math.log10(largest))
    step = -(-(last - first) // 6)  # at most six decades get a number
    return Scale(10.0**first, 10.0**last, True, tuple(10.0**power for power in range(first, last + 1, step)))


def share_scale(values: Sequence[float]) -> Scale:
    """Up to 1, from a round number below the smallest value.

    >>> share_scale([0.71, 0.98]).ticks
    (0.7, 0.8, 0.9, 1.0)
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    return _linear(min(0.9, *finite, 1.0), 1.0)


def _linear(low: float, high: float) -> Scale:
    """Ticks at a round step that cover low to high."""
    spread = high - low or 1.0
    rough = spread / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(float(f"{place * step:.10g}") for place in range(first, max(last, first + 1) + 1))
    return Scale(ticks[0], ticks[-1], False, ticks)


def curves(lines: Sequence[Line], scale: Scale, form: Format, description: str, tick_form: Format) -> str:
    """The lines over the epochs 1, 2, ..., each with its name and last value at its end.

    form, tick_form: how a value and a tick of the axis are written.
    description: what a reader who cannot see the drawing is told.
    """
    epochs = max(len(line.values) for line in lines)
    parts = [_frame(scale, epochs, tick_form)]
    parts += [_path(line, scale, epochs) for line in lines]
    parts.append(_end_labels(lines, scale, form))
    stride = max(1, -(-epochs // MOST_BANDS))
    parts += [_band(lines, scale, form, epoch, epochs, stride) for epoch in range(0, epochs, stride)]
    return (
        f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">'
        + "".join(parts)
        + "</svg>"
    )


def _across(epoch: int, epochs: int) -> float:
    """Where the epoch with this index stands; a single one stands in the middle."""
    return LEFT + (RIGHT - LEFT) * (epoch / (epochs - 1) if epochs > 1 else 0.5)


def _frame(scale: Scale, epochs: int, form: Format) -> str:
    parts = []
    for tick in scale.ticks:
        y = scale.place(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{form(tick)}</text>')
    for epoch in _epoch_ticks(epochs):
        x = _across(epoch - 1, epochs)
        name = f"epoch {epoch}" if epoch == 1 else epoch
        parts.append(f'<text class="tick" x="{x:.1f}" y="{BOTTOM + 19}" text-anchor="middle">{name}</text>')
    return "".join(parts)


def _epoch_ticks(epochs: int) -> list[int]:
    """The first, the last and a few round numbers between them that do not crowd either.

    >>> _epoch_ticks(30), _epoch_ticks(1), _epoch_ticks(4)
    ([1, 5, 10, 15, 20, 25, 30], [1], [1, 2, 3, 4])
    """
    if epochs <= 6:
        return list(range(1, epochs + 1))
    power = 10 ** (len(str(epochs)) - 1)
    step = next(step for step in (power // 5, power // 2, power, 2 * power) if step and epochs / step <= 6)
    inner = [epoch for epoch in range(step, epochs, step) if 1 + step / 2 <= epoch <= epochs - step / 2]
    return [1, *inner, epochs]


def _path(line: Line, scale: Scale, epochs: int) -> str:
    """The curve in as many pieces as values that can be drawn leave; a lone value is a dot."""
    pieces: list[list[str]] = [[]]
    for epoch, value in enumerate(line.values):
        if scale.shows(value):
            pieces[-1].append(f"{_across(epoch, epochs):.1f},{scale.place(value):.1f}")
        elif pieces[-1]:
            pieces.append([])
    drawn = []
    for piece in filter(None, pieces):
        if len(piece) == 1:
            x, y = piece[0].split(",")
            drawn.append(f'<circle class="dot {line.style}" cx="{x}" cy="{y}" r="3.5"/>')
        else:
            drawn.append(f'<polyline class="line {line.style}" points="{" ".join(piece)}"/>')
    return "".join(drawn)


def _end_labels(lines: Sequence[Line], scale: Scale, form: Format) -> str:
    """Each line's name and last value beside its end, pushed apart where the ends are close."""
    ends = [(scale.place(line.values[-1]) if scale.shows(line.values[-1]) else TOP, line) for line in lines]
    ends.sort(key=lambda end: end[0])
    tall = 2 * LABEL_HEIGHT + 4  # of a label: its two lines and some air
    overlap = sum(max(0.0, tall - (below - above)) for (above, _), (below, _) in itertools.pairwise(ends))
    parts = []
    free = TOP - 4.0
    for y, line in ends:
        top = max(free, y - 4 - overlap / 2)
        free = top + tall
        parts.append(
            f'<text class="end {line.style}" x="{RIGHT + 12}" y="{top:.1f}">{escape(line.name)}'
            f'<tspan class="value" x="{RIGHT + 12}" dy="{LABEL_HEIGHT}">{form(line.values[-1])}</tspan></text>'
        )
    return "".join(parts)


def _band(lines: Sequence[Line], scale: Scale, form: Format, epoch: int, epochs: int, stride: int) -> str:
    """The strip around one epoch that shows the epoch's values while the pointer is in it."""
    x = _across(epoch, epochs)
    width = (RIGHT - LEFT) / max(1, epochs - 1) * stride
    left, right = max(LEFT, x - width / 2), min(RIGHT, x + width / 2)
    dots, words = [], [f"<tspan>epoch {epoch + 1}</tspan>"]
    for line in lines:
        value = line.values[epoch]
        if scale.shows(value):
            dots.append(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{scale.place(value):.1f}" r="3.5"/>')
        words.append(f'<tspan class="{line.style}" dx="14">{escape(line.name)} {form(value)}</tspan>')
    return (
        f'<g class="band"><rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{BOTTOM}"/>{"".join(dots)}'
        f'<text class="readout" x="{LEFT}" y="18">{"".join(words)}</text></g>'
    )


def bars(values: Array, most: float, names: Sequence[str], description: str) -> str:
    """One bar per class, up or down from a middle line by values of at most `most`.

    Names stand below where they are short enough.
    """
    # the drawing has the same shape for any number of classes
    width, half = 120, 16
    step = width / len(names)
    labelled = len(names) <= 12 and max(map(len, names)) <= 2
    parts = [f'<line class="base" x1="0" x2="{width}" y1="{half}" y2="{half}"/>']
    for place, (value, name) in enumerate(zip(values, names, strict=True)):
        tall = half * abs(float(value)) / most if most > 0 else 0.0
        top = half - tall if value > 0 else half
        parts.append(
            f'<rect class="{"more" if value > 0 else "less"}" x="{step * (place + 0.15):.2f}" y="{top:.2f}" '
            f'width="{step * 0.7:.2f}" height="{tall:.2f}"/>'
        )
        if labelled:
            parts.append(
                f'<text class="tick" x="{step * (place + 0.5):.2f}" y="{2 * half + 8}" text-anchor="middle">'
                f"{escape(name)}</text>"
            )
    return (
        f'<svg class="bars" viewBox="0 0 {width} {2 * half + (10 if labelled else 0)}" role="img" '
        f'aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def matrix(counts: Array, names: Sequence[str], description: str) -> str:
    """The confusion matrix of many classes: one square per pair that occurs, its numbers under the pointer.

    Some of the rows have their name beside them; the columns come in the same order.
    """
    number, totals = len(names), counts.sum(axis=1)
    size = number / 36
    margin = 6 * size
    parts = [f'<rect class="paper" width="{number}" height="{number}"/>']
    for true, predicted in zip(*counts.nonzero(), strict=True):
        count = int(counts[true, predicted])
        style = "right" if true == predicted else "wrong"
        told = f"{count} of {int(totals[true])}: {names[true]} taken for {names[predicted]}"
        parts.append(
            f'<rect class="{style}" x="{predicted}" y="{true}" width="1" height="1" '
            f'fill-opacity="{visible(count / totals[true], style == "right"):.2f}"><title>{escape(told)}</title></rect>'
        )
    for row in range(0, number, math.ceil(number / 24)):
        name = names[row] if len(names[row]) <= 10 else names[row][:9] + "\N{HORIZONTAL ELLIPSIS}"
        parts.append(
            f'<text x="{-size / 2:.2f}" y="{row + 0.5 + size / 3:.2f}" text-anchor="end" '
            f'style="font-size:{size:.2f}px">{escape(name)}</text>'
        )
    return (
        f'<svg class="matrix" viewBox="{-margin:.2f} 0 {number + margin:.2f} {number}" role="img" '
        f'aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def visible(share: float, right: bool) -> float:
    """How strongly a share of a row is shaded; a single mistake must be seen beside hundreds that were right.

    >>> visible(0.0, False), visible(1.0, True), visible(0.01, False) > 0.25
    (0.0, 1.0, True)
    """
    if share <= 0:
        return 0.0
    return share if right else 0.35 + 0.65 * math.sqrt(share)
