"""`convgrad derive`: the examples of the note, and every printed expression held against `definition`."""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import axes

from convgrad import definition
from convgrad.cli import derive as command
from convgrad.errors import GeometryError
from convgrad.explanation.derive import READABLE, Derivation, derive
from convgrad.explanation.layout import WIDTH
from convgrad.explanation.symbols import Sum, Symbol
from convgrad.geometry import Axis, Geometry
from convgrad.spelling import parse

PAGE = Path(__file__).parent.parent / "docs" / "derivation.md"

Array = NDArray[Any]


@st.composite
def readable(draw: st.DrawFn) -> Geometry:
    """One axis or two; the second is left out where the derivation would be too long."""
    first, second = draw(axes()), draw(st.none() | axes())
    g = Geometry(1, 1, 1, 1, (first,) if second is None else (first, second))
    return g if entries(g) <= READABLE else Geometry(1, 1, 1, 1, (first,))


def entries(g: Geometry) -> int:
    padded, taps, outputs = (int(np.prod(size)) for size in ([a.padded for a in g.axes], g.kernel_size, g.output_size))
    return outputs * (padded + taps)


def strings(items: tuple[Any, ...]) -> list[str]:
    return [str(item) for item in items]


def run(argv: str, *, as_json: bool = False) -> str:
    parser = argparse.ArgumentParser(prog="convgrad derive")
    command.add_arguments(parser)
    args = parser.parse_args(argv.split())
    args.json = as_json
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert command.run(args) == 0
    return out.getvalue()


# ---- the note's five letters


def test_the_five_letter_example_comes_out_as_in_the_note_with_its_slips_corrected() -> None:
    d = derive(parse("i5 k2 p1"))
    assert strings(d.inputs) == ["a", "b", "c", "d", "e"]
    assert strings(d.weights) == ["x", "y"]
    assert strings(d.arriving) == ["f", "g", "h", "i", "j", "k"]
    assert strings(d.outputs) == ["0x + ay", "ax + by", "bx + cy", "cx + dy", "dx + ey", "ex + 0y"]
    assert [strings(row) for row in d.by_input] == [
        ["y", "x", "0", "0", "0", "0"],
        ["0", "y", "x", "0", "0", "0"],
        ["0", "0", "y", "x", "0", "0"],
        ["0", "0", "0", "y", "x", "0"],
        ["0", "0", "0", "0", "y", "x"],
    ]
    assert [strings(row) for row in d.by_weight] == [["0", "a", "b", "c", "d", "e"], ["a", "b", "c", "d", "e", "0"]]
    assert strings(d.input_grad) == ["fy + gx", "gy + hx", "hy + ix", "iy + jx", "jy + kx"]
    assert strings(d.weight_grad) == ["ga + hb + ic + jd + ke", "fa + gb + hc + id + je"]


@pytest.mark.parametrize("n", [3, 5, 7])
def test_an_n_by_n_kernel_gives_the_last_formula_of_the_note(n: int) -> None:
    d = derive(parse(f"i{n + 1}x{n + 2} k{n}x{n}"))
    rows, columns = d.geometry.output_size
    for symbol, gradient in zip(d.inputs, d.input_grad, strict=True):
        i, j = symbol.place
        expected = {
            f"G[{a + i - n + 1},{b + j - n + 1}]*w[{n - 1 - a},{n - 1 - b}]"
            for a in range(n)
            for b in range(n)
            if 0 <= a + i - n + 1 < rows and 0 <= b + j - n + 1 < columns
        }
        terms = str(gradient).split(" + ")
        assert len(terms) == len(expected) and set(terms) == expected


# ---- numbers for the symbols


def value(expression: str, numbers: dict[str, int]) -> int:
    """`ax + by` or `I[0]*w[1] + I[1]*w[2]` with numbers for the names."""
    total = 0
    for term in expression.split(" + "):
        product = 1
        for name in term.split("*") if "*" in term or "[" in term else term:
            product *= 0 if name == "0" else numbers[name]
        total += product
    return total


def values(expressions: Any, numbers: dict[str, int]) -> Array:
    array = np.array(expressions)
    return np.array([value(e, numbers) for e in array.flat], int).reshape(array.shape)


@given(readable(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_every_expression_has_the_value_of_the_definition(g: Geometry, seed: int) -> None:
    result = derive(g).to_json()
    rng = np.random.default_rng(seed)
    x, w, gy = (rng.integers(-9, 10, shape) for shape in (g.input_shape, g.weight_shape, g.output_shape))
    numbers: dict[str, int] = {}
    for names, array in (("input", x), ("weight", w), ("output_gradient", gy)):
        assert np.shape(result[names]) == array.shape[2:]
        numbers |= zip(np.array(result[names]).flat, array.flat, strict=True)
    assert np.array_equal(values(result["output"], numbers), definition.forward(x, w, g)[0, 0])
    assert np.array_equal(values(result["input_grad"], numbers), definition.input_grad(gy, w, g)[0, 0])
    assert np.array_equal(values(result["weight_grad"], numbers), definition.weight_grad(gy, x, g)[0, 0])
    for index, name in zip(np.ndindex(x.shape), np.array(result["input"]).flat, strict=True):
        unit = np.zeros_like(x)
        unit[index] = 1
        row = values(result["output_by_input"][name], numbers)
        assert np.array_equal(row, definition.forward(unit, w, g)[0, 0])
    for index, name in zip(np.ndindex(w.shape), np.array(result["weight"]).flat, strict=True):
        unit = np.zeros_like(w)
        unit[index] = 1
        row = values(result["output_by_weight"][name], numbers)
        assert np.array_equal(row, definition.forward(x, unit, g)[0, 0])


def test_an_indexed_expression_is_numpy() -> None:
    d = derive(parse("i3x4 k2x3 p0x1"))
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(-9, 10, size) for name, size in (("I", (3, 4)), ("w", (2, 3)), ("G", (2, 4)))}
    expected = definition.input_grad(arrays["G"][None, None], arrays["w"][None, None], d.geometry)[0, 0]
    assert [eval(str(e), dict(arrays)) for e in d.input_grad] == expected.ravel().tolist()


def test_a_derivative_takes_a_factor_out_once_for_each_place_where_it_stands() -> None:
    a, b = Symbol("a", (0,)), Symbol("b", (1,))
    square = Sum(((a, a), (a, b), (b, b)))
    assert str(square.derivative(a)) == "a + a + b"
    assert str(square.derivative(Symbol("a", (1,)))) == "0"


# ---- names


@given(readable())
def test_no_name_stands_for_two_things(g: Geometry) -> None:
    d = derive(g)
    names = strings(d.inputs + d.weights + d.arriving)
    assert len(set(names)) == len(names)
    lengths = {len(name) for name in names}
    # joined without a sign only where every name is one letter, and none reads like a digit or like the array w
    assert (lengths == {1} and not set(names) & set("0low")) or all("[" in name for name in names)


@pytest.mark.parametrize(
    ("spelling", "first", "last"),
    [
        ("i9 k1 s1 p1", "a", "v"),
        ("i10 k1 p1+0", "I[0]", "G[10]"),
        ("i5 k4", "I[0]", "G[1]"),
        ("i2x2 k1", "I[0,0]", "G[1,1]"),
    ],
)
def test_letters_hold_for_one_axis_three_taps_and_twenty_names(spelling: str, first: str, last: str) -> None:
    d = derive(parse(spelling))
    assert (str(d.inputs[0]), str(d.arriving[-1])) == (first, last)


# ---- the page


def read_back(text: str) -> dict[str, list[str]]:
    """What stands in the terminal text: for each name its terms, the entries of its row, or the rows of its matrix."""
    found: dict[str, list[str]] = {}
    lines = [*text.splitlines(), ""]
    for n, line in enumerate(lines):
        if re.match(r"    (O\[|d[EO]/d\S+ *= [^\[])", line):
            name, _, body = line.partition("= ")
            while re.match(r" {7}", lines[n + 1]):
                n += 1
                body += " " + lines[n]
            found[name.strip()] = [term.strip() for term in re.split(r" \+ |, ", body)]
        elif re.match(r"    dO/d\S+ *= \[", line):
            name, _, body = line.partition("= [")
            found[name.strip()] = [cell.strip() for cell in body.removesuffix("]").split(",")]
        elif line.startswith("    dO/d"):
            starts = [match.start() for match in re.finditer(r"dO/d", line)]
            for start, end in pairwise([*starts, None]):
                rows = [row[start:end].split() for row in lines[n : lines.index("", n)]]
                found[rows[0][0]] = [" ".join(row) for row in rows[1:]]
    return found


def expected_on_page(d: Derivation) -> dict[str, list[list[str]]]:
    """For each name the forms in which it may stand: its terms, its row or matrix, or its entries that are not 0."""
    sums = {name: [str(s).split(" + ")] for name, s in zip(d.output_names(), d.outputs, strict=True)}
    for symbols, gradients in ((d.inputs, d.input_grad), (d.weights, d.weight_grad)):
        sums |= {f"dE/d{s}": [str(g).split(" + ")] for s, g in zip(symbols, gradients, strict=True)}
    rows = {}
    for symbols, jacobian in ((d.inputs, d.by_input), (d.weights, d.by_weight)):
        for symbol, row in zip(symbols, jacobian, strict=True):
            listed = [f"{e} at {o}" for e, o in zip(row, d.output_names(), strict=True) if str(e) != "0"]
            full = np.array(strings(row)).reshape(d.geometry.output_size)
            matrix = full.tolist() if full.ndim == 1 else [" ".join(line) for line in full]
            rows[f"dO/d{symbol}"] = [matrix, listed or ["0"]]
    return sums | rows


@given(readable())
@example(parse("i40 k3 s2 p1"))  # rows too wide for a line
@example(parse("i3x14 k3x3"))  # a matrix too wide for a line
@example(parse("i8x8 k7x7"))  # a row of the kernel too wide for a line
@example(parse("i2 k2 p3 s8"))  # nothing but padding
@example(parse("i40 k1 s2"))  # a row too wide for a line, with nothing in it
def test_the_terminal_text_says_what_the_derivation_holds(g: Geometry) -> None:
    d = derive(g)
    # commas inside indices are no commas between entries
    plain = re.sub(r"(\d),(?=\d)", r"\1.", str(d))
    page, expected = read_back(plain), expected_on_page(d)
    assert page.keys() == {name.replace(",", ".") for name in expected}
    for name, forms in expected.items():
        assert page[name.replace(",", ".")] in [[e.replace(",", ".") for e in form] for form in forms], name


@given(readable())
@example(parse("i4x4x1 k2x1x2 s2x2x3 d1x1x3 p0+1x2+0x1+2"))
@example(parse("i8x8 k7x7"))
@example(parse("i14 k1 s3 p1"))
@example(parse("i7 k7"))
@example(parse("i11 k1"))
def test_no_line_is_wider_than_the_terminal_or_ends_in_blanks(g: Geometry) -> None:
    for line in str(derive(g)).splitlines():
        assert len(line) <= WIDTH and line == line.rstrip()


def test_windows_and_collected_terms_step_along_in_columns() -> None:
    text = run("--input 4 --kernel 2 --stride 2 --padding 1+1")
    assert "    O[0] = 0x + ay\n    O[1] =           bx + cy\n    O[2] =                     dx + 0y\n" in text
    assert "    dE/db =      fx\n    dE/dc =      fy\n    dE/dd =           gx\n" in text


def test_two_axes_show_the_kernel_turned_around_in_both() -> None:
    text = run("--input 3x3 --kernel 2x2")
    assert "    w[1,0]  0         w[1,1]  w[1,0]    0       w[1,1]\n" in text
    assert "    w[0,0]  0         w[0,1]  w[0,0]    0       w[0,1]\n" in text
    assert "    O[1,1] = I[1,1]*w[0,0] + I[1,2]*w[0,1] + I[2,1]*w[1,0] + I[2,2]*w[1,1]\n" in text


@pytest.mark.parametrize(
    ("argv", "remarks"),
    [
        ("--input 5 --kernel 2", ["5 inputs, 2 taps: 4 outputs", "Input position = output position + tap\n"]),
        ("--input 5 --kernel 2", ["Each output looks at its window.\n", "walks backwards through each row: the flip."]),
        (
            "--input 5 --kernel 2 --padding 1+0",
            ["padding 1+0: 5 outputs", "output position + tap - 1\n", "0 is padding"],
        ),
        ("--input 6 --kernel 3 --stride 2", ["f is read by no window: its derivatives are 0.", "one tap in 2."]),
        (
            "--input 6 --kernel 3 --stride 2",
            ["Stride 2: each window starts 2 further on.", "output position * 2 + tap\n"],
        ),
        ("--input 7 --kernel 3 --dilation 2", ["Dilation 2: neighbouring taps read inputs 2 apart.", "tap * 2\n"]),
        ("--input 9 --kernel 3 --stride 2 --dilation 2", ["b, d, f, h are read by no window: their derivatives"]),
        (
            "--input 8 --kernel 2 --stride 3",
            ["No input meets two taps", "Stride 3 is so long that no input is read twice."],
        ),
        ("--input 6 --kernel 2 --stride 2", ["Stride 2 is so long that no input is read twice."]),
        ("--input 2 --kernel 3 --padding 3", ["O[0], O[5] see only padding."]),
        ("--input 1 --kernel 2 --padding 0+1 --stride 2", ["y meets only padding: its derivatives are 0."]),
        (
            "--input 30 --kernel 1 --stride 29",
            ["I[1], I[2], I[3], I[4], I[5], I[6], I[7], ... (28 in all) are read by"],
        ),
        ("--input 4x4 --kernel 3x2", ["4x4 inputs, 3x2 taps: 2x3 outputs", "Each axis: input position = output"]),
        ("--input 4x4 --kernel 3x2", ["Laid out like O. The kernel walks backwards along every axis: the flip."]),
        (
            "--input 5x4 --kernel 3x2 --stride 2x1 --padding 0x1",
            ["Axis 0: input position = output position * 2 + tap\n"],
        ),
        (
            "--input 5x4 --kernel 3x2 --stride 2x1 --padding 0x1",
            ["Axis 1: input position = output position + tap - 1\n"],
        ),
        (
            "--input 5x4 --kernel 3x2 --stride 2x1",
            ["Axis 0: with stride 2 an input meets only one tap in 2.", "stride 2x1:"],
        ),
    ],
)
def test_remarks_say_what_is_peculiar_to_these_numbers(argv: str, remarks: list[str]) -> None:
    text = run(argv)
    assert all(remark in text for remark in remarks), text


def test_three_axes_show_planes_below_each_other() -> None:
    text = run("--input 3x3x2 --kernel 2x2x1")
    assert "dO/dI[1,0,0]          dO/dI[1,0,1]\n" in text
    first, second = "    w[1,0,0]  0           0         w[1,0,0]\n", "    0         0           0         0\n"
    assert f"{first}{second}\n{first.replace('1,0,0', '0,0,0')}{second}\n" in text


@pytest.mark.parametrize(
    ("argv", "absent"),
    [
        ("--input 5 --kernel 2", ["padding", "tride", "ilation", "is read by", "derivatives are 0", " - 0", "* 1"]),
        ("--input 9 --kernel 3 --stride 2 --dilation 2", ["one tap in", "read twice"]),  # every tap, or none
        ("--input 6 --kernel 1 --stride 2", ["one tap in", "read twice"]),
    ],
)
def test_nothing_is_said_of_what_is_not_there(argv: str, absent: list[str]) -> None:
    text = run(argv)
    assert not [words for words in absent if words in text], text


# ---- the command


def test_json_is_one_document_nested_like_the_arrays() -> None:
    document = json.loads(run("--input 3x4 --kernel 2 --padding 1x0+1 --dilation 1x2", as_json=True))
    assert document["schema"] == 1 and document["command"] == "derive"
    assert document["config"] == {"input": "3x4", "kernel": "2", "stride": "1", "dilation": "1x2", "padding": "1x0+1"}
    result = document["result"]
    assert result["spelling"] == "n1 ic1 oc1 i3x4 k2x2 p1x0+1 d1x2"
    assert np.shape(result["output"]) == np.shape(result["output_by_input"]["I[0,0]"]) == (4, 3)
    assert result["output"][0][2] == "0*w[0,0] + 0*w[0,1] + I[0,2]*w[1,0] + 0*w[1,1]"
    assert result["output_by_weight"]["w[1,1]"][0] == ["I[0,2]", "I[0,3]", "0"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--input 5,5 --kernel 2", "argument --input: '5,5' is no size: a whole number, or one per axis as in 4x4"),
        ("--input 5 --kernel x", "argument --kernel: 'x' is no size"),
        ("--input 5 --kernel 2 --stride -1", "argument --stride: '-1' is no size"),
        (
            "--input 5 --kernel 2 --padding 1+",
            "argument --padding: '1+' is no padding: 1, or 1x0 per axis, or 1+0 before",
        ),
        ("--kernel 2", "the following arguments are required: --input"),
    ],
)
def test_a_malformed_option_is_named(argv: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(argv)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("i5 k2 n2", "batch = 2: symbols are written for one image with one channel; accepted: batch = 1"),
        ("i5 k2 ic3", "in_channels = 3: symbols are written for one image with one channel"),
        ("i5 k2 oc4", "out_channels = 4: symbols are written for one image with one channel"),
        (
            "i30x30 k3 p1+0",
            "input = '30x30': 29x29 outputs by 31x31 inputs (with padding) and 3x3 weights are 815770 derivatives, "
            "too many to read; accepted: at most 5000: a smaller input, or a larger stride",
        ),
        ("i1 k1 p1000000000 s2000000000", "are 4000000004 derivatives, too many to read"),
    ],
)
def test_what_nobody_could_read_is_refused_before_it_is_written(spelling: str, message: str) -> None:
    with pytest.raises(GeometryError, match=re.escape(message)):
        derive(parse(spelling))


def test_the_longest_derivation_that_is_accepted_is_within_the_limit() -> None:
    at_limit = Geometry(1, 1, 1, 1, (Axis(99, 1, stride=2),))
    assert entries(at_limit) == READABLE
    assert len(derive(at_limit).outputs) == 50
    with pytest.raises(GeometryError, match="too many to read"):
        derive(Geometry(1, 1, 1, 1, (Axis(99, 2, stride=2, after=1),)))


# ---- docs/derivation.md


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", fences("console"))
def test_the_page_quotes_what_derive_prints(block: str) -> None:
    prompt, _, quoted = block.partition("\n")
    rest = run(prompt.removeprefix("$ convgrad derive "))
    first, *others = re.split(r"^\.\.\.\n", quoted, flags=re.MULTILINE)  # three dots stand for lines left out
    assert rest.startswith(first)
    rest = rest.removeprefix(first)
    for part in others:
        assert part in rest, part
        rest = rest.partition(part)[2] if part else ""
    assert rest == ""


def test_the_page_quotes_a_whole_derivation_and_a_part_of_another() -> None:
    blocks = fences("console")
    assert f"$ convgrad derive --input 5 --kernel 2 --padding 1\n{run('--input 5 --kernel 2 --padding 1')}" in blocks
    assert len(blocks) >= 2


def test_the_numbers_on_the_page_are_what_python_prints() -> None:
    source = "\n".join(fences("python"))
    test = doctest.DocTestParser().get_doctest(source, {}, "derivation.md", str(PAGE), 0)
    assert len(test.examples) > 10
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()
