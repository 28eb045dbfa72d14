"""A sum of arrays that does not lose digits as it grows: Neumaier's compensated summation, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class CompensatedSum:
    """Adds arrays of one shape; the error of the sum stays two roundings however many were added.

    >>> total = CompensatedSum((1,), np.float32)
    >>> for number in (1e8, 1.0, -1e8):
    ...     total.add(np.array([number], np.float32))
    >>> total.value()
    array([1.], dtype=float32)
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any] | type[Any]) -> None:
        self._sum = np.zeros(shape, dtype)
        self._lost = np.zeros(shape, dtype)  # what rounding took from _sum so far

    def add(self, term: Array) -> None:
        """Add `term`; its contents are destroyed."""
        # Knuth's TwoSum: s + error == _sum + term, exactly
        s = self._sum + term
        arrived = s - self._sum
        term -= arrived  # what of the term did not arrive
        np.subtract(s, arrived, out=arrived)  # what remains of the old sum
        self._sum -= arrived
        self._lost += self._sum
        self._lost += term
        self._sum = s

    def value(self) -> Array:
        """The sum. Where it is infinite or NaN, the plain sum: the compensation has no meaning there."""
        return np.where(np.isfinite(self._lost), self._sum + self._lost, self._sum)

    def parts(self) -> Array:
        """(2, *shape): the plain sum, and what rounding took from it, to be added elsewhere."""
        return np.stack([self._sum, np.where(np.isfinite(self._lost), self._lost, 0)])
