"""The ways to compute a convolution: one file each, and the table in which the chooser finds them."""

from __future__ import annotations

from .fourier import FOURIER
from .matmul import IM2COL, TAPS
from .record import Algorithm as Algorithm
from .shifted import SHIFTED

ALGORITHMS: tuple[Algorithm, ...] = (SHIFTED, FOURIER, IM2COL, TAPS)
