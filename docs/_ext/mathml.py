"""Formulas as MathML: every current browser sets it, without a script and without a network.

Sphinx's own ways are MathJax (from a content network, or 2 MB of scripts to ship) and pictures (needs TeX). docutils
brings a converter from LaTeX to MathML; this hands it to Sphinx and adds what it lacks, the number of a `\tag`.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

_TAG = re.compile(r"\\tag\{([^}]*)\}")


def inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(display(node.astext()))
    raise nodes.SkipNode


def display(text: str) -> str:
    """A formula on lines of its own, with its number at the right.

    >>> display(r"a \\tag{1}").split("<math")[0], display(r"a \\tag{1}").split("</math>")[1]
    ('<div class="formula">', '<span class="number">(1)</span></div>\\n')
    """
    number = _TAG.search(text)
    formula = tex2mathml(_TAG.sub("", text).strip(), as_block=True)
    label = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<div class="formula">{formula}{label}</div>\n'


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
