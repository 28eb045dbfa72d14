"""What stands beyond the ends: each mode against NumPy's padding, and the runs that kernels' copies are made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convgrad.boundary import ELSEWHERE, MODES, entry, runs

NUMPY = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric", "circular": "wrap"}
EVERY = list(itertools.product(NUMPY, range(1, 8)))


@pytest.mark.parametrize(("mode", "size"), EVERY)
def test_each_mode_is_what_numpy_pads(mode: str, size: int) -> None:
    x = np.arange(size) + 10
    wide = 3 * size + 2
    expected = np.pad(x, wide, mode=NUMPY[mode])
    assert [x[entry(mode, position, size)] for position in range(-wide, size + wide)] == expected.tolist()


@pytest.mark.parametrize("mode", ["zeros", "constant"])
def test_a_constant_stands_beyond_the_ends_only(mode: str) -> None:
    assert [entry(mode, position, 3) for position in range(-2, 5)] == [None, None, 0, 1, 2, None, None]


@pytest.mark.parametrize(("mode", "size"), [*EVERY, *itertools.product(["zeros"], range(1, 8))])
def test_runs_are_the_map_in_order_without_gaps(mode: str, size: int) -> None:
    x = np.arange(size)
    for start, length in itertools.product(range(-2 * size - 3, size + 3), range(2 * size + 4)):
        positions = range(start, start + length)
        place, read = start, []
        for run in runs(mode, positions, size):
            assert run.start == place < run.stop
            place = run.stop
            there = run.stop - run.start
            entries = x[run.entries].tolist()
            read += [None] * there if run.step is None else entries * there if run.step == 0 else entries
        assert read == [entry(mode, position, size) for position in positions]
        assert place == max(start, positions.stop)


def test_long_stretches_are_few_runs() -> None:
    assert [len(list(runs(mode, range(-30, 130), 100))) for mode in MODES] == [3, 3, 3, 3, 3, 3]


def test_the_words_of_other_libraries_name_modes() -> None:
    assert set(ELSEWHERE.values()) < set(MODES) and not set(ELSEWHERE) & set(MODES)
