"""What the entries of I, w and dE/dO are called: one letter each while letters suffice, then indices."""

from __future__ import annotations

import math

import numpy as np

from ..definition import Index
from ..geometry import Geometry, joined

INPUT_AND_GRADIENT_LETTERS = "abcdefghijkmnpqrstuv"  # without l and o, which read like 1 and 0, and without w
WEIGHT_LETTERS = "xyz"

Names = tuple[list[str], list[str], list[str]]


def names(geometry: Geometry) -> Names:
    """Names of the inputs, of the weights and of the entries of dE/dO, each name once."""
    return letters(geometry) or indices(geometry)


def letters(g: Geometry) -> Names | None:
    """Inputs from a, dE/dO from the next letter, weights from x, as on paper; None where letters run out."""
    taps, inputs, outputs = (math.prod(size) for size in (g.kernel_size, g.input_size, g.output_size))
    given = INPUT_AND_GRADIENT_LETTERS
    if g.rank > 1 or taps > len(WEIGHT_LETTERS) or inputs + outputs > len(given):
        return None
    return list(given[:inputs]), list(WEIGHT_LETTERS[:taps]), list(given[inputs : inputs + outputs])


def indices(g: Geometry) -> Names:
    """I[0,1] and w[2,0] as NumPy would index them, and G[1,1] for the entry of dE/dO."""
    return (
        [indexed("I", place) for place in np.ndindex(*g.input_size)],
        [indexed("w", place) for place in np.ndindex(*g.kernel_size)],
        [indexed("G", place) for place in np.ndindex(*g.output_size)],
    )


def indexed(name: str, place: Index) -> str:
    """`I[0,1]`: the entry of an array, as Python writes it."""
    return f"{name}[{joined(place, ',')}]"
