"""The ways to compute a convolution: one file each, and the table in which the chooser finds them."""

from __future__ import annotations

from .fourier import FOURIER
from .matmul import IM2COL, TAPS
from .record import Algorithm as Algorithm
from .shifted import SHIFTED
from .tiles import TILES_ALGORITHM

ALGORITHMS: tuple[Algorithm, ...] = (SHIFTED, TILES_ALGORITHM, FOURIER, IM2COL, TAPS)
