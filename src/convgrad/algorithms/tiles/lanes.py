"""Rows of a panel from a plane whose numbers lie behind each other: which lanes of its vectors are there.

Rows of seven numbers with padding between them fill no vector, one after the other. Where a plane has no gaps, sixteen
positions of the panel are one load all the same, which leaves lanes out: a table says which ones.
"""

from __future__ import annotations

import math

import numpy as np

from ..record import Array
from ..shifted.passes import Triple
from .instructions import DEPTH, SIDE


def lanes_of(panel: Triple, before: Triple, extent: Triple, strides: Triple, length: int) -> Array | None:
    """For each 16 positions of a row: the lanes that are there, as bits, and the place of the first in the plane.

    Position `before` of a panel is the first of `extent` numbers, `strides` apart; the others are zeros, up to `length`
    positions. So many groups without any lane follow, for planes that are missing. int32, (2, groups, 2); None where
    the numbers of one group do not lie behind each other, and where rows fill vectors or are one without gaps.
    """
    if extent[2] >= DEPTH or extent[2] == panel[2]:
        return None
    d, h, w = np.ix_(*(np.arange(size) - first for size, first in zip(panel, before, strict=True)))
    inside = [(axis >= 0) & (axis < size) for axis, size in zip((d, h, w), extent, strict=True)]
    present, places = np.zeros((length // SIDE, SIDE), np.bool), np.zeros((length // SIDE, SIDE), np.int64)
    every = slice(min(length, math.prod(panel)))
    present.reshape(-1)[every] = (inside[0] & inside[1] & inside[2]).ravel()[:length]
    places.reshape(-1)[every] = (d * strides[0] + h * strides[1] + w * strides[2]).ravel()[:length]
    first = places[np.arange(len(places)), present.argmax(axis=1)]
    in_order = first[:, None] + np.cumsum(present, axis=1) - 1
    if np.any(present & (places != in_order)) or np.abs(places).max() > np.iinfo(np.int32).max:
        return None
    table = np.zeros((2, len(places), 2), np.int32)
    table[0, :, 0] = present @ (1 << np.arange(SIDE))
    table[0, :, 1] = np.where(present.any(axis=1), first, 0)
    return table
