"""The table of docs/coverage.md: no hole in our column, and every cell what a run says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from coverage_peers import LIBRARIES, cell
from coverage_rows import Row, rows
from peers import peer

PAGE = (Path(__file__).parent.parent / "docs" / "coverage.md").read_text("utf-8")


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.title)
def test_our_column_has_no_hole(row: Row) -> None:
    assert cell("convgrad", row) == "yes"


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_page_says_what_runs_say(library: str) -> None:
    peer(LIBRARIES[library][0])
    column = [*LIBRARIES].index(library) + 1
    lines = [re.split(r" ?\| ?", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| ")]
    told = {line[0]: line[column] for line in lines if len(line) > column and line[0]}
    assert told == {row.title: cell(library, row) for row in rows()}
