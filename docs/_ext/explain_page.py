"""Writes the page of `convgrad explain` beside the others, as `_static/explain-page.html`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import convgrad


def write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "explain-page.html"
        target.write_text(convgrad.explain().html, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
