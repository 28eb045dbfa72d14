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

import math
from dataclasses import dataclass

import numpy as np

from ...geometry import Axis
from ..record import Array


@dataclass(frozen=True, slots=True)
class Split:
    """One axis of a role, in tiles of `length` numbers."""

    axis: Axis
    role: str
    length: int

    @property
    def common(self) -> int:
        return math.gcd(self.axis.stride, self.axis.dilation)

    @property
    def residues(self) -> int:
        """How many dense convolutions the outputs fall into."""
        return min(self.axis.dilation // self.common, self.axis.output)

    @property
    def phases(self) -> int:
        """How many of them are summed."""
        return min(self.axis.stride // self.common, self.axis.kernel)

    @property
    def taps(self) -> int:
        """Taps of the longest phase, the first."""
        return self.taps_of(0)

    def taps_of(self, phase: int) -> int:
        return -(-(self.axis.kernel - phase) // (self.axis.stride // self.common))

    @property
    def span(self) -> int:
        """Numbers that tiles share out: outputs, or for the input gradient the inputs that they read."""
        outputs = -(-self.axis.output // (self.axis.dilation // self.common))
        return outputs + self.taps - 1 if self.role == "input_grad" else outputs

    @property
    def step(self) -> int:
        """Results of one tile."""
        return self.length - self.taps + 1

    @property
    def tiles(self) -> int:
        return -(-self.span // self.step)

    # --- where number i of a tile lies, for arrays of residues and tiles

    def input(self, residue: Array, tile: Array) -> Walk:
        """The input; for its gradient the results, which begin at number M - 1."""
        a, every = self.axis, self.axis.dilation * (self.axis.stride // self.common)
        shift = self.taps - 1 if self.role == "input_grad" else 0
        begin = tile * self.step - shift  # what number 0 would be in its dense convolution
        start = every * begin + residue * a.stride - a.before
        first, last = [], []
        for phase in range(self.phases):
            place = start + a.dilation * phase
            first.append(np.maximum(shift, -(place // every)))
            read = self._outputs(residue) + self.taps_of(phase) - 1 - begin
            last.append(np.minimum(np.minimum(read, self.length), -((place - a.input) // every)))
        return Walk(start, every, a.dilation, np.array(first), np.array(last))

    def output(self, residue: Array, tile: Array) -> Walk:
        """The output; backwards for the weight gradient, which correlates it with the input."""
        every, outputs = self.axis.dilation // self.common, self._outputs(residue)
        if self.role == "weight_grad":
            top = tile * self.step + self.step - 1
            first = np.maximum(0, top + 1 - outputs)
            return Walk(every * top + residue, -every, 0, first[None], np.full((1, len(tile)), self.step))
        begin = tile * self.step - (self.taps - 1)
        first = np.full_like(tile, self.taps - 1) if self.role == "forward" else np.maximum(0, -begin)
        last = np.minimum(self.length, outputs - begin)
        return Walk(every * begin + residue, every, 0, first[None], last[None])

    def weight(self, lanes: int) -> Walk:
        """The weight; backwards for forward, which correlates it with the input."""
        every = self.axis.stride // self.common
        counts = np.array([self.taps_of(phase) for phase in range(self.phases)])[:, None] + np.zeros(lanes, int)
        none = np.zeros_like(counts)
        if self.role == "forward":
            return Walk(np.full(lanes, every * (self.taps - 1)), -every, 1, self.taps - counts, none + self.taps)
        begin = self.step - 1 if self.role == "weight_grad" else 0
        return Walk(np.full(lanes, -every * begin), every, 1, none + begin, begin + counts)

    def _outputs(self, residue: Array) -> Array:
        return -((residue - self.axis.output) // (self.axis.dilation // self.common))


@dataclass(frozen=True, slots=True)
class Walk:
    """Positions along one axis: number i of phase p lies at start + p * phase_step + i * step, for first <= i < last."""

    start: Array  # of each lane
    step: int
    phase_step: int
    first: Array  # (phases, lanes)
    last: Array
