"""How Sphinx builds these pages: `make docs`. Needs no network, and nothing on the pages asks for one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import convgrad

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "convgrad"
author = "The convgrad authors"
project_copyright = "2026, The convgrad authors"
version = release = convgrad.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "house_docstrings",  # ours, in _ext: before numpydoc, which reads what it writes
    "numpydoc",
    "mathml",  # ours, in _ext
    "explain_page",  # ours, in _ext
]
exclude_patterns = ["_build", "_ext"]

# the adapters' pages are built where the libraries are not
autodoc_mock_imports = [name for name in ("jax", "sigpy", "torch") if importlib.util.find_spec(name) is None]

myst_enable_extensions = ["dollarmath", "colon_fence", "fieldlist"]
myst_heading_anchors = 3

# `conv` in a docstring links to what it names, and is code where it names nothing
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give shapes, which say more than ArrayLike
autosummary_generate = False
numpydoc_show_class_members = False
python_use_unqualified_type_names = True

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "convgrad"
html_static_path = ["_static"]
html_css_files = ["convgrad.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {
    # pages without siblings need no list of them
    name: []
    for name in (
        *("index", "tutorial", "explain", "derivation", "conventions", "numbers", "conformance", "commands"),
        *("performance", "glossary", "changelog", "search", "genindex"),
    )
}
html_theme_options = {
    "logo": {"text": "convgrad"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
