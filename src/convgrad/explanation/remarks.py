"""What is said beside each block of a derivation: one sentence always, and one for what is peculiar to its numbers.

Every remark is computed from the derivation beside which it stands. Where it stands is left to `layout`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..geometry import Axis, joined
from .symbols import Symbol

if TYPE_CHECKING:
    from .derive import Derivation, Sums

LISTED = 8  # names in one remark


def problem(d: Derivation) -> str:
    """Sizes and options in one line; options that change nothing are left out."""
    g = d.geometry
    options = {
        "stride": [str(axis.stride) for axis in g.axes],
        "dilation": [str(axis.dilation) for axis in g.axes],
        "padding": [f"{axis.before}+{axis.after}" for axis in g.axes],
    }
    said = [f"{name} {shortest(values)}" for name, values in options.items() if set(values) not in ({"1"}, {"0+0"})]
    sizes = [counted(g.input_size, "input"), counted(g.kernel_size, "tap"), *said]
    return f"{', '.join(sizes)}: {counted(g.output_size, 'output')}"


def relation(d: Derivation) -> list[str]:
    """The relation that decides everything, and what E is."""
    positions = per_axis(d, [f"input position = {_source(axis)}" for axis in d.geometry.axes])
    return [*positions, "E is the error, a number that depends on O alone."]


def legend(d: Derivation) -> list[str]:
    rows = (
        ("I", d.inputs, "input"),
        ("w", d.weights, "weight"),
        ("dE/dO", d.arriving, "given"),
    )
    named = [(name, f"[{_ends(symbols)}]", what) for name, symbols, what in rows]
    width = max(len(symbols) for _, symbols, _ in named)
    return [f"{name:<5} = {symbols:<{width}}   {what}" for name, symbols, what in named]


def outputs(d: Derivation) -> list[str]:
    axes = d.geometry.axes
    said = ["Each output looks at its window" + ("; 0 is padding." if d.geometry.clips else ".")]
    if any(axis.stride > 1 for axis in axes):
        stride = shortest([str(axis.stride) for axis in axes])
        said.append(f"Stride {stride}: each window starts {stride} further on.")
    if any(axis.dilation > 1 for axis in axes):
        dilation = shortest([str(axis.dilation) for axis in axes])
        said.append(f"Dilation {dilation}: neighbouring taps read inputs {dilation} apart.")
    empty = [
        name
        for name, output in zip(d.output_names(), d.outputs, strict=True)
        if all(term[0].name == "0" for term in output.terms)
    ]
    return [*said, *_noted(empty, "sees only padding.", "see only padding.")]


def by_input(d: Derivation) -> list[str]:
    axes = d.geometry.axes
    where = "through each row" if len(axes) == 1 else "along every axis"
    said = f"The kernel walks backwards {where}: the flip."
    if all(sum(str(entry) != "0" for entry in row) < 2 for row in d.by_input):
        said = "No input meets two taps, so there is no flip to see."
    unread = _zero(d.inputs, d.by_input)
    return [
        _laid_out(d) + said,
        *per_axis(d, [_sharing(axis) for axis in axes]),
        *_noted(
            unread, "is read by no window: its derivatives are 0.", "are read by no window: their derivatives are 0."
        ),
    ]


def by_weight(d: Derivation) -> list[str]:
    unused = _zero(d.weights, d.by_weight)
    return [
        _laid_out(d) + "All outputs share the weight: every tap is used at every position.",
        *_noted(unused, "meets only padding: its derivatives are 0.", "meet only padding: their derivatives are 0."),
    ]


def input_grad(d: Derivation) -> list[str]:
    return ["dE/dO times dO/dI: each input collects from the outputs that looked at it."]


def weight_grad(d: Derivation) -> list[str]:
    return ["dE/dO times dO/dw: each weight collects from every position at which it was used."]


def per_axis(d: Derivation, remarks: list[str]) -> list[str]:
    """One remark where it holds for every axis alike, else one per axis; an empty one is left out."""
    if d.geometry.rank == 1:
        said = remarks[:1]
    elif len(set(remarks)) == 1:
        said = [f"each axis: {remarks[0]}" if remarks[0] else ""]
    else:
        said = [f"axis {n}: {remark}" if remark else "" for n, remark in enumerate(remarks)]
    return [remark[0].upper() + remark[1:] for remark in said if remark]


def shortest(values: Sequence[str]) -> str:
    """`2` for 2x2, `1` for 1+1, `2x1` and `1+0` as they are."""
    plain = [v.partition("+")[0] if v.partition("+")[0] == v.partition("+")[2] else v for v in values]
    return plain[0] if len(set(plain)) == 1 else "x".join(plain)


def counted(size: tuple[int, ...], noun: str) -> str:
    """`1 input`, `5 inputs`, `4x4 inputs`."""
    return f"{joined(size)} {noun}" + ("" if math.prod(size) == 1 else "s")


def _source(axis: Axis) -> str:
    """`output position * 2 + tap - 1`: the relation without what changes nothing."""
    stride = f" * {axis.stride}" if axis.stride > 1 else ""
    dilation = f" * {axis.dilation}" if axis.dilation > 1 else ""
    return f"output position{stride} + tap{dilation}" + (f" - {axis.before}" if axis.before else "")


def _sharing(axis: Axis) -> str:
    """How many of the taps one input can meet; nothing where it can meet them all."""
    apart = axis.stride // math.gcd(axis.stride, axis.dilation)  # taps that one input meets differ by this
    if apart == 1 or axis.kernel == 1:
        return ""
    if apart >= axis.kernel:
        return f"stride {axis.stride} is so long that no input is read twice."
    return f"with stride {axis.stride} an input meets only one tap in {apart}."


def _zero(symbols: tuple[Symbol, ...], rows: tuple[Sums, ...]) -> list[str]:
    return [symbol.name for symbol, row in zip(symbols, rows, strict=True) if all(str(entry) == "0" for entry in row)]


def _noted(names: list[str], one: str, many: str) -> list[str]:
    """The remark on these names, none for none."""
    if not names:
        return []
    listed = names if len(names) <= LISTED else [*names[: LISTED - 1], f"... ({len(names)} in all)"]
    return [f"{', '.join(listed)} {one if len(names) == 1 else many}"]


def _laid_out(d: Derivation) -> str:
    return "" if d.geometry.rank == 1 else "Laid out like O. "


def _ends(symbols: tuple[Symbol, ...]) -> str:
    """Letters in full; of longer names the first and the last."""
    if len(symbols[0].name) == 1 or len(symbols) <= 2:
        return ", ".join(map(str, symbols))
    return f"{symbols[0]}, ..., {symbols[-1]}"
