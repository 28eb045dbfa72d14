"""The one spelling of a convolution, as in `n8 ic64 oc64 i56x56 k3x3 s2 p1`: parsed and printed.

It names tests, benchmark rows, plans and bug reports, and what is printed always parses back. Sizes per axis
are joined by `x`, padding that differs before and after by `+`; one number holds for every axis. A border other than
zeros is the word m, as in `mreflect` or `mzerosxcircular`, and the constant of `mconstant` the word v, as in `v0.5`.
"""

from __future__ import annotations

import re

from .errors import GeometryError
from .geometry import Axis, Geometry, joined

DEFAULTS = {"n": "1", "ic": "1", "oc": "1", "s": "1", "p": "0", "d": "1", "g": "1", "m": "zeros", "v": "0.0"}
EXAMPLE = "words such as n8 ic64 oc64 i56x56 k3x3 s2 p1 d1 g1, or p1+0x2+2 for padding before+after"

_WORD = re.compile(r"(n|ic|oc|i|k|s|p|d|g)(-?\d.*)|(m)([a-z]+)|(v)(\S+)")


def parse(text: str) -> Geometry:
    """The geometry that `text` spells; words in any order, those that equal their default may be left out.

    >>> parse("ic3 oc8 i32x32 k5 p2").output_shape
    (1, 8, 32, 32)
    """
    words = dict(DEFAULTS)
    seen: set[str] = set()
    for word in text.split():
        match = _WORD.fullmatch(word)
        if match is None:
            raise GeometryError(
                "spelling",
                text,
                f"the word {word!r} is none of n ic oc i k s p d g with a size, m with a mode, v with a number",
                EXAMPLE,
            )
        name, value = (found for found in match.groups() if found is not None)
        if name in seen:
            raise GeometryError("spelling", text, f"the word {name!r} stands twice", "each word once")
        seen.add(name)
        words[name] = value
    for name, what in (("i", "input size"), ("k", "kernel size")):
        if name not in words:
            raise GeometryError("spelling", text, f"lacks the {what}", f"a word {name}NUMBER, as in i56x56 k3x3")

    rank = words["i"].count("x") + 1
    sizes = {name: _per_axis(text, name, words[name], rank) for name in "iksd"}
    paddings = _per_axis_pairs(text, words["p"], rank)
    modes, fill = _spread(text, "m", words["m"], rank), _number(text, words["v"])
    axes = tuple(
        Axis(i, k, s, d, before, after, mode, fill if mode == "constant" else 0.0)
        for i, k, s, d, (before, after), mode in zip(*(sizes[name] for name in "iksd"), paddings, modes, strict=True)
    )
    batch, in_channels, out_channels, groups = (_one(text, name, words[name]) for name in ("n", "ic", "oc", "g"))
    return Geometry(batch, in_channels, out_channels, groups, axes)


def spell(geometry: Geometry) -> str:
    """The spelling of `geometry`, without the words that equal their default.

    >>> spell(parse("i9 k3 ic4 oc6 g2 n1 s1"))
    'n1 ic4 oc6 i9 k3 g2'
    """
    g = geometry
    padding = [f"{a.before}" if a.before == a.after else f"{a.before}+{a.after}" for a in g.axes]
    optional = {
        "s": _shortest([str(a.stride) for a in g.axes]),
        "p": _shortest(padding),
        "d": _shortest([str(a.dilation) for a in g.axes]),
        "g": str(g.groups),
        "m": _shortest([a.mode for a in g.axes]),
        "v": str(g.fill),
    }
    words = [f"n{g.batch}", f"ic{g.in_channels}", f"oc{g.out_channels}"]
    words += [f"i{joined(g.input_size)}", f"k{joined(g.kernel_size)}"]
    words += [f"{name}{value}" for name, value in optional.items() if value != DEFAULTS[name]]
    return " ".join(words)


def _shortest(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else "x".join(values)


def _per_axis(text: str, name: str, value: str, rank: int) -> list[int]:
    parts = _spread(text, name, value, rank)
    return [_one(text, name, part) for part in parts]


def _per_axis_pairs(text: str, value: str, rank: int) -> list[tuple[int, int]]:
    pairs = []
    for part in _spread(text, "p", value, rank):
        before, plus, after = part.partition("+")
        pairs.append((_signed(text, "p", before), _signed(text, "p", after if plus else before)))
    return pairs


def _spread(text: str, name: str, value: str, rank: int) -> list[str]:
    """One entry per axis: as written, or the single one for every axis."""
    parts = value.split("x")
    if len(parts) == 1:
        parts *= rank
    if len(parts) != rank:
        raise GeometryError(
            "spelling",
            text,
            f"{name}{value} has {len(parts)} sizes, but the input has {rank} axes",
            "one size, or one per axis",
        )
    return parts


def _signed(text: str, name: str, value: str) -> int:
    return -_one(text, name, value[1:]) if value.startswith("-") else _one(text, name, value)


def _number(text: str, value: str) -> complex:
    try:
        number = complex(value)
    except ValueError:
        raise GeometryError("spelling", text, f"{value!r} in the word v is not a number", EXAMPLE) from None
    return number if number.imag else number.real


def _one(text: str, name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise GeometryError("spelling", text, f"{value!r} in the word {name} is not a whole number", EXAMPLE)
    return int(value)
