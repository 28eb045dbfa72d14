"""Which lengths are transformed, in which stages, and with which twiddle factors."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from ..record import Array

RADICES = (8, 4, 3, 2)


def stages(length: int) -> tuple[int, ...]:
    """The radices of a transform, first stage first.

    >>> stages(96)
    (8, 4, 3)
    """
    found = []
    for radix in RADICES:
        while length % radix == 0:
            found.append(radix)
            length //= radix
    return tuple(found)


def good_lengths() -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, ...: 2**a and 3 * 2**a."""
    yield 1
    for power in itertools.count(1):
        yield 2**power
        yield 3 * 2 ** (power - 1)


def levels(length: int) -> int:
    """Rounded operations on the longest path through a transform, in units of a radix-2 stage."""
    return sum({2: 1, 3: 2, 4: 2, 8: 3}[radix] for radix in stages(length))


@functools.cache
def stage_table(length: int) -> Array:
    """(radix, distance of a butterfly's legs, place of the stage's twiddle factors) for each stage."""
    rows, legs, place = [], length, 0
    for radix in stages(length):
        legs //= radix
        rows.append((radix, legs, place))
        place += 2 * (radix - 1) * legs
    return np.array(rows, np.int64).reshape(-1, 3)


@functools.cache
def twiddles(length: int, dtype: str) -> Array:
    """For each stage and each butterfly j: exp(-2 pi i j t / block) for legs t = 1, 2, ..., as (real, imaginary)."""
    parts = [np.zeros(0)]
    for radix, legs, _ in stage_table(length).tolist():
        turns = np.arange(legs)[:, None] * np.arange(1, radix) / (radix * legs)
        parts.append(np.stack([_cos(turns), -_cos(turns - 0.25)], axis=-1).ravel())
    return np.concatenate(parts).astype(dtype)


def _cos(turns: Array) -> Array:
    """The cosine of whole turns, exact at the quarters."""
    quarters = np.rint(4 * turns)
    rest = np.pi / 2 * (4 * turns - quarters)
    turned: Array = np.choose(quarters.astype(int) % 4, [np.cos(rest), -np.sin(rest), -np.cos(rest), np.sin(rest)])
    return turned
