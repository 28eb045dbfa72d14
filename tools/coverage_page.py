"""Write docs/coverage.md: what every library computes of the lattice of options, each cell run.

    python tools/coverage_page.py            writes the page
    python tools/coverage_page.py --check    exit code 1 where the page differs from what the runs say

Needs torch, jax, scipy, sigpy and pylops; without one of them it says which and stops with exit code 3.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coverage.md"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

HEAD = """# Who computes what

Every cell of these tables was run: a small convolution that needs the option is given to each library, and its results
are compared with `convgrad.definition`. `tests/coverage_rows.py` holds the rows, `tests/coverage_peers.py` the calls;
`python tools/coverage_page.py` writes this page, and a test fails where a run says something else.

`yes` means the output `y` and both gradients, `gx` by the input and `gw` by the weight, are right. A library that has
some of them is credited with those; `-` means that no call of it expresses the option, or that the call raises. What
one can do by hand (pad the input first, loop over channels, differentiate on paper) is not counted: everything can be
done by hand. The gradients of complex convolutions are compared as adjoints; JAX's are conjugated first, because it
differentiates without conjugates. Integers are drawn so that the sums do not fit eight bits.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    try:
        text = page()
    except ImportError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return 3
    if arguments.check:
        return int(PAGE.read_text("utf-8") != text)
    PAGE.write_text(text, "utf-8")
    return 0


def page() -> str:
    from coverage_peers import LIBRARIES, cell
    from coverage_rows import rows

    for module, _ in LIBRARIES.values():
        importlib.import_module(module)
    lines = []
    for part, some in itertools.groupby(rows(), key=lambda row: row.part):
        lines += [f"## {part}", "", f"| | {' | '.join(LIBRARIES)} |", f"|---|{'---|' * len(LIBRARIES)}"]
        lines += [f"| {row.title} | {' | '.join(cell(library, row) for library in LIBRARIES)} |" for row in some]
        lines.append("")
    modules = dict.fromkeys(module for module, _ in LIBRARIES.values() if module != "convgrad")
    versions = ", ".join(f"{module} {version(module).partition('+')[0]}" for module in modules)
    return HEAD + "\n".join(lines) + f"\nRun with {versions}.\n"


if __name__ == "__main__":
    sys.exit(main())
