"""From the docstrings of this project to those that numpydoc reads.

Ours are short to read in the source: one line per argument, then `Returns`, `Raises`, `Source`, then an example.

    x: (N, IC, *I) input.   w: (OC, IC/groups, *K) weight.
    Returns y: (N, OC, *O), each entry a sum of products.
    Raises GeometryError where the shapes describe no convolution.

A page wants the sections that readers know from NumPy and SciPy. This writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx

_NAMES = r"[a-z_]\w*(?:, [a-z_]\w*)*"
_ITEM = re.compile(rf"({_NAMES}|The other options): (.*)")
_LABELLED = re.compile(r"(Returns|Raises|Source:|Attributes:) ?(.*)")
_SHAPE = re.compile(r"(\((?:[^()]|\([^()]*\))*\))\s*(?:,\s*)?(.*)")
_TWO_ON_A_LINE = re.compile(rf"\s{{3,}}(?={_NAMES}: )")


def converted(lines: list[str], *, of_module: bool = False) -> list[str]:
    """The lines of a docstring in numpydoc's form; a module has prose and examples, but no sections."""
    summary, *rest = _paragraphs(lines) or [[]]
    prose: list[list[str]] = [_plain(summary)]
    sections: dict[str, list[str]] = {"Parameters": [], "Returns": [], "Raises": [], "Notes": [], "Examples": []}
    for paragraph in rest:
        if paragraph[0].startswith(">>>") and of_module:
            prose.append([".. code-block:: pycon", "", *(f"   {line}" for line in paragraph)])
        elif paragraph[0].startswith(">>>"):
            sections["Examples"] += [*paragraph, ""]
        elif paragraph[0].startswith("    ") or prose[-1][-1].endswith(":"):
            # a formula or a table; where all lines are indented alike, autodoc has taken the indentation away
            prose.append([".. code-block:: text", "", *(f"   {line}" for line in paragraph)])
        elif not of_module and (_ITEM.match(paragraph[0]) or _LABELLED.match(paragraph[0])):
            for label, text in _items(paragraph):
                _file(sections, label, text)
        else:
            prose.append(_plain(paragraph))
    out = [line for paragraph in prose for line in [*paragraph, ""]]
    for title, body in sections.items():
        if body:
            out += [title, "-" * len(title), *body, ""]
    return out


def _file(sections: dict[str, list[str]], label: str, text: str) -> None:
    """Put one item where numpydoc looks for it."""
    if label == "Raises":
        for error in re.split(r", (?=[A-Z]\w+Error )", text.rstrip(".")):
            name, _, when = error.partition(" ")
            sections["Raises"] += [name, f"    {_escaped(when)}"]
    elif label == "Source:":
        sections["Notes"] += [f"Source: {_escaped(text)}", ""]
    elif label == "Attributes:":
        sections["Notes"] += [f"Attributes: {_escaped(text)}", ""]
    elif label == "Returns":
        name, colon, rest = text.partition(": ")
        sections["Returns"] += _entry(name, rest) if colon and name.isidentifier() else [_escaped(text)]
    else:
        sections["Parameters"] += _entry(label.removeprefix("The "), text)


def _entry(name: str, text: str) -> list[str]:
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        return [name, f"    {_escaped(text)}"]
    return [f"{name} : {_escaped(shape[1])}", f"    {_escaped(shape[2].lstrip(';. '))}"]


def _items(paragraph: list[str]) -> Iterator[tuple[str, str]]:
    """(label, text) of every item, lines that go on joined."""
    label, text = "", ""
    for line in [part for whole in paragraph for part in _TWO_ON_A_LINE.split(whole)]:
        found = _ITEM.fullmatch(line) or _LABELLED.fullmatch(line)
        if found is None:
            text = f"{text} {line.strip()}"
            continue
        if label:
            yield label, text
        label, text = found[1], found[2]
    yield label, text


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Runs of lines without blank ones between them; indented runs that follow each other are one."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    runs = [run for run in found if run]
    joined: list[list[str]] = []
    for run in runs:
        if joined and run[0].startswith("    ") and joined[-1][0].startswith("    "):
            joined[-1] += ["", *run]
        else:
            joined.append(run)
    return joined


def _plain(paragraph: list[str]) -> list[str]:
    return [_escaped(line) for line in paragraph]


def _escaped(text: str) -> str:
    """`text` with what reStructuredText would read as markup made plain, but not inside backticks."""
    text = re.sub(r"\bdocs/(\w+)\.md", r":doc:`/\1`", text)
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = converted(lines, of_module=what == "module")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", process, priority=100)  # numpydoc's is 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
