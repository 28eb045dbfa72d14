"""Lays a derivation out as text for a terminal: headed blocks, aligned columns, lines of at most `WIDTH`.

What is said about the expressions stands in `remarks`; what they are was decided by `derive`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ..definition import Index
from . import remarks
from .symbols import Product, Sum, Symbol, product

if TYPE_CHECKING:
    from .derive import Derivation, Sums

WIDTH = 88
INDENT = " " * 4


def written(d: Derivation) -> str:
    """The whole derivation: what is given, the outputs, two Jacobians and two gradients."""
    blocks = [
        _block(remarks.problem(d), remarks.relation(d), remarks.legend(d)),
        _block("Outputs", remarks.outputs(d), _sums(d.output_names(), d.outputs)),
        _block("dO/dI, by each input", remarks.by_input(d), _rows(d.inputs, d.by_input, d)),
        _block("dO/dw, by each weight", remarks.by_weight(d), _rows(d.weights, d.by_weight, d)),
        _block("dE/dI", remarks.input_grad(d), _sums([f"dE/d{i}" for i in d.inputs], d.input_grad)),
        _block("dE/dw", remarks.weight_grad(d), _sums([f"dE/d{k}" for k in d.weights], d.weight_grad)),
    ]
    return "\n\n".join(blocks)


def _block(heading: str, sentences: Iterable[str], lines: Iterable[str]) -> str:
    said = [line for sentence in sentences for line in textwrap.wrap(sentence, WIDTH - 2)]
    head = [*textwrap.wrap(heading, WIDTH), *(f"  {line}" for line in said)]
    return "\n".join([*head, "", *((INDENT + line).rstrip() for line in lines)])


def _sums(names: Sequence[str], sums: Sums) -> list[str]:
    """One expression under the other, in the first of three ways that fits."""
    room = WIDTH - len(INDENT) - len(f"{max(names, key=len)} = ")
    ways = (_in_steps, _in_lines, _in_rows)
    bodies = next(body for way in ways if (body := way(sums, room)) is not None)
    return [line for name, body in zip(names, bodies, strict=True) for line in _headed(name, names, body)]


def _headed(name: str, names: Sequence[str], body: list[str]) -> Iterator[str]:
    width = max(map(len, names))
    yield f"{name:<{width}} = {body[0]}"
    for line in body[1:]:
        yield " " * (width + 1) + line


def _in_steps(sums: Sums, room: int) -> list[list[str]] | None:
    """A column for each first factor, so that the sums step along as the window does."""
    widths: dict[Index, int] = {}
    for place, term in sorted((term[0].place, product(term)) for s in sums for term in s.terms):
        widths[place] = max(widths.get(place, 0), len(term))
    if sum(widths.values()) + 3 * (len(widths) - 1) > room:
        return None
    bodies = []
    for s in sums:
        cells = {term[0].place: product(term) for term in s.terms}
        line = ""
        for place, width in widths.items():
            joint = " + " if line.strip() and place in cells else "   "
            line += joint + cells.get(place, "").ljust(width)
        bodies.append([line[3:].rstrip() or "0"])
    return bodies


def _in_lines(sums: Sums, room: int) -> list[list[str]] | None:
    """Each sum on one line, its terms aligned with those above."""
    lines = _aligned([s.terms for s in sums])
    return [[line or "0"] for line in lines] if max(map(len, lines)) <= room else None


def _in_rows(sums: Sums, room: int) -> list[list[str]]:
    """Each sum on several lines: a new one for each row of the first factor's array, and where a row is too long."""
    width = max(len(product(term)) for s in sums for term in s.terms)
    parts = [list(_parts(s, max(1, (room + 3) // (width + 3)))) for s in sums]
    lines = iter(_aligned([part for sum_parts in parts for part in sum_parts]))
    return [["+ " * (n > 0) + next(lines) for n in range(len(sum_parts))] or ["0"] for sum_parts in parts]


def _parts(s: Sum, fit: int) -> Iterator[Sequence[Product]]:
    for _, row in groupby(s.terms, key=lambda term: term[0].place[:-1]):
        terms = list(row)
        for n in range(0, len(terms), fit):
            yield terms[n : n + fit]


def _aligned(sums: Iterable[Sequence[Product]]) -> list[str]:
    table = [[product(term) for term in terms] for terms in sums]
    width = max((len(cell) for cells in table for cell in cells), default=0)
    return [" + ".join(cell.ljust(width) for cell in cells).rstrip() for cells in table]


def _rows(symbols: Sequence[Symbol], rows: tuple[Sums, ...], d: Derivation) -> list[str]:
    """One axis: each derivative is a row. Several: it is laid out like O, and several stand side by side."""
    names = [f"dO/d{symbol}" for symbol in symbols]
    table = [[str(entry) for entry in row] for row in rows]
    width = max(len(cell) for cells in table for cell in cells)
    size, one_axis = d.geometry.output_size, d.geometry.rank == 1
    head = max(map(len, names)) if one_axis else 0
    if len(f"{INDENT}{'':{head}} = [") + (width + 2) * size[-1] > WIDTH:
        return _listed(names, table, d.output_names())
    if one_axis:
        padded = [" ".join(f"{cell},".ljust(width + 1) for cell in cells).rstrip(", ") for cells in table]
        return [f"{name:<{head}} = [{row}]" for name, row in zip(names, padded, strict=True)]
    pictures = [[name, *_picture(cells, size, width)] for name, cells in zip(names, table, strict=True)]
    bands = groupby(zip(symbols, pictures, strict=True), key=lambda pair: pair[0].place[:-1])
    return [line for _, band in bands for line in _side_by_side([picture for _, picture in band])][:-1]


def _listed(names: Sequence[str], table: list[list[str]], outputs: Sequence[str]) -> list[str]:
    """Where a row is too wide: only its entries that are not 0."""
    rows = [
        [f"{cell} at {output}" for cell, output in zip(cells, outputs, strict=True) if cell != "0"] for cells in table
    ]
    width = max(len(entry) for row in rows for entry in row) + len(", ")
    fit = max(1, (WIDTH - len(f"{INDENT}{max(names, key=len)} = ")) // width)
    lines = ["(entries that are not listed are 0)"]
    for name, row in zip(names, rows, strict=True):
        padded = [f"{entry},".ljust(width) for entry in row] or ["0"]
        body = ["  " * (n > 0) + "".join(padded[n : n + fit]).rstrip() for n in range(0, len(padded), fit)]
        body[-1] = body[-1].removesuffix(",")
        lines += _headed(name, names, body)
    return lines


def _picture(cells: list[str], size: tuple[int, ...], width: int) -> Iterator[str]:
    """The cells as a matrix; planes of three axes or more below each other."""
    columns, plane = size[-1], size[-1] * size[-2]
    for n in range(0, len(cells), columns):
        if n and n % plane == 0:
            yield ""
        yield "  ".join(cell.ljust(width) for cell in cells[n : n + columns])


def _side_by_side(pictures: list[list[str]]) -> Iterator[str]:
    """As many pictures next to each other as fit, then a blank line."""
    width = max(len(line) for picture in pictures for line in picture)
    gap = 4
    fit = max(1, (WIDTH - len(INDENT) + gap) // (width + gap))
    for n in range(0, len(pictures), fit):
        for lines in zip(*pictures[n : n + fit], strict=True):
            yield (" " * gap).join(line.ljust(width) for line in lines)
        yield ""
