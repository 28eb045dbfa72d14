"""A geometry as dense convolutions of stride one, cut into overlapping tiles, and where each of their numbers lies.

Along one axis, let `g` divide stride and dilation, and split outputs and taps by what is left of them:

    output = dilation/g * j + residue          tap = stride/g * m + phase
    input  = dilation * (stride/g * (j + m) + phase) + residue * stride - before

For a fixed residue and phase, input number `i = j + m`: a dense convolution of stride one. Residues share nothing
but the weight, so they are tiled like positions; phases are summed over, so they stand beside the channels.

A tile of N numbers holds N - M + 1 results of a kernel of M taps that no wrapping around has touched
(overlap-save). Every role is a product of spectra without conjugates, because the array that a correlation would
conjugate is read backwards.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...geometry import Axis
from ..record import Array


@dataclass(frozen=True, slots=True)
class Split:
    """One axis of a role, in tiles of `length` numbers."""

    axis: Axis
    role: str
    residues: int  # dense convolutions that the outputs fall into
    phases: int  # and that are summed
    taps: int  # of the longest phase, the first
    begin: int  # the first result: of the input gradient, the first number that does not lie in the padding
    span: int  # results that tiles share out
    length: int

    @property
    def step(self) -> int:
        """Results of one tile."""
        return self.length - self.taps + 1

    @property
    def tiles(self) -> int:
        return -(-self.span // self.step)

    def taps_of(self, phase: int) -> int:
        return -(-(self.axis.kernel - phase) // _parts(self.axis)[0])

    # --- where number i of a tile lies, for arrays of residues and tiles

    def input(self, residue: Array, tile: Array) -> Walk:
        """The input; for its gradient the results, which begin at number M - 1."""
        shift = self.taps - 1 if self.role == "input_grad" else 0
        zero = self.begin + tile * self.step - shift  # what number 0 of the tile is in its dense convolution
        first, last = [], []
        for phase in range(self.phases):
            place = self._every * zero + self._place(residue, phase)
            first.append(np.maximum(shift, -(place // self._every)))
            inside = np.minimum(self._read(residue, phase) - zero, -((place - self.axis.input) // self._every))
            last.append(np.minimum(inside, self.length))
        start = self._every * zero + self._place(residue, 0)
        return Walk(start, self._every, self.axis.dilation, np.array(first), np.array(last))

    def output(self, residue: Array, tile: Array) -> Walk:
        """The output; backwards for the weight gradient, which correlates it with the input."""
        every, outputs = _parts(self.axis)[1], self._outputs(residue)
        if self.role == "weight_grad":
            top = tile * self.step + self.step - 1
            first = np.maximum(0, top + 1 - outputs)
            return Walk(every * top + residue, -every, 0, first[None], np.full((1, len(tile)), self.step))
        zero = self.begin + tile * self.step - (self.taps - 1)
        first = np.full_like(tile, self.taps - 1) if self.role == "forward" else np.maximum(0, -zero)
        last = np.minimum(self.length, outputs - zero)
        return Walk(every * zero + residue, every, 0, first[None], last[None])

    def weight(self, lanes: int) -> Walk:
        """The weight; backwards for forward, which correlates it with the input."""
        every = _parts(self.axis)[0]
        counts = np.array([self.taps_of(phase) for phase in range(self.phases)])[:, None] + np.zeros(lanes, int)
        none = np.zeros_like(counts)
        if self.role == "forward":
            return Walk(np.full(lanes, every * (self.taps - 1)), -every, 1, self.taps - counts, none + self.taps)
        begin = self.step - 1 if self.role == "weight_grad" else 0
        return Walk(np.full(lanes, -every * begin), every, 1, none + begin, begin + counts)

    # --- of a residue and a phase, or arrays of residues

    @property
    def _every(self) -> int:
        return self.axis.dilation * _parts(self.axis)[0]

    def _place(self, residue: Any, phase: int) -> Any:
        """Where input number 0 lies."""
        return self.axis.dilation * phase + residue * self.axis.stride - self.axis.before

    def _outputs(self, residue: Any) -> Any:
        """How many outputs there are."""
        return -((residue - self.axis.output) // _parts(self.axis)[1])

    def _read(self, residue: Any, phase: int) -> Any:
        """How many inputs they read, from number 0."""
        return self._outputs(residue) + self.taps_of(phase) - 1

    def _end(self, residue: int, phase: int) -> int:
        """The number after the last of them that does not lie in the padding."""
        inside: int = -((self._place(residue, phase) - self.axis.input) // self._every)
        return min(inside, int(self._read(residue, phase)))


def split(axis: Axis, role: str) -> Split:
    """The axis in one tile; others are `replace(split, length=...)`."""
    phases, residues = _parts(axis)
    whole = Split(axis, role, min(residues, axis.output), min(phases, axis.kernel), 1, 0, 1, 1)
    taps, outputs = whole.taps_of(0), whole._outputs(0)
    if role != "input_grad":
        return replace(whole, taps=taps, span=outputs, length=outputs + taps - 1)
    every = list(itertools.product(range(whole.residues), range(whole.phases)))
    begin = max(0, min(-(whole._place(r, p) // whole._every) for r, p in every))
    span = max(1, max(whole._end(r, p) for r, p in every) - begin)
    return replace(whole, taps=taps, begin=begin, span=span, length=span + taps - 1)


def _parts(axis: Axis) -> tuple[int, int]:
    """What is left of stride and dilation without their common divisor."""
    common = math.gcd(axis.stride, axis.dilation)
    return axis.stride // common, axis.dilation // common


@dataclass(frozen=True, slots=True)
class Walk:
    """Positions along one axis: number i of phase p, first <= i < last, lies at start + p * phase_step + i * step."""

    start: Array  # of each lane
    step: int
    phase_step: int
    first: Array  # (phases, lanes)
    last: Array
