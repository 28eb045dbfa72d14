"""The compensated sum: as good as twice the precision, and plain where numbers are not finite."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from convgrad.algorithms.compensated import CompensatedSum


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e12, 1e12)))
def test_the_sum_is_within_one_rounding_of_the_exact_one(numbers: np.ndarray) -> None:
    total = CompensatedSum((1,), np.float64)
    for number in numbers:
        total.add(np.array([number]))
    exact, eps = math.fsum(numbers), np.finfo(float).eps
    second_order = len(numbers) ** 2 * eps**2 * np.abs(numbers).sum()
    assert abs(total.value()[0] - exact) <= eps * abs(exact) + second_order


def test_infinity_and_nan_are_summed_plainly() -> None:
    total = CompensatedSum((4,), np.float32)
    with np.errstate(all="ignore"):
        for row in ([1, np.inf, np.inf, np.nan], [2, 1, -np.inf, 0], [3, -1, 5, 1]):
            total.add(np.array(row, np.float32))
        assert np.array_equal(total.value(), np.array([6, np.inf, np.nan, np.nan], np.float32), equal_nan=True)
