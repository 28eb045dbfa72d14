"""What the data kernel is asked to do: a role as passes, each a stride-s walk over its input with a list of taps.

    forward      one pass:  y[o]  = sum over k of x[o*stride + k*dilation - before] w[k]
    input_grad   one pass for every residue r of i by the stride, because i = j*stride + r meets only the taps with
                 r + before - k*dilation = e*stride:  gx[j*stride + r] = sum over those k of gy[j + e] w[k]

Pure index arithmetic; no arrays pass through here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from ...geometry import Axis, Geometry

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pass:
    """out[m, j] = sum over taps of w[m, c, place] * in[c, j*stride + offset - before], zeros outside the input."""

    input: Triple
    output: Triple
    stride: Triple
    before: Triple
    offsets: tuple[Triple, ...]  # of each tap, from 0 upwards
    places: tuple[int, ...]  # of each tap, in the flattened kernel
    residue: Triple  # the pass fills out[..., residue::step]
    step: Triple


@dataclass(frozen=True, slots=True)
class AxisPass:
    """The same for one axis."""

    input: int
    output: int
    stride: int
    before: int
    offsets: tuple[int, ...]
    taps: tuple[int, ...]
    residue: int
    step: int


def passes(role: str, geometry: Geometry) -> tuple[Pass, ...]:
    """The passes of forward or input_grad, in the order in which they run."""
    per_axis = [forward_axis(a) if role == "forward" else input_grad_axis(a) for a in geometry.axes]
    kernel = (1,) * (3 - geometry.rank) + geometry.kernel_size
    missing = 3 - geometry.rank
    found = []
    for chosen in itertools.product(*per_axis):
        axes = [AxisPass(1, 1, 1, 0, (0,), (0,), 0, 1)] * missing + list(chosen)
        taps = list(itertools.product(*(axis.taps for axis in axes)))
        found.append(
            Pass(
                input=triple(a.input for a in axes),
                output=triple(a.output for a in axes),
                stride=triple(a.stride for a in axes),
                before=triple(a.before for a in axes),
                offsets=tuple(triple(o) for o in itertools.product(*(axis.offsets for axis in axes))),
                places=tuple((d * kernel[1] + h) * kernel[2] + w for d, h, w in taps),
                residue=triple(a.residue for a in axes),
                step=triple(a.step for a in axes),
            )
        )
    return tuple(found)


def forward_axis(a: Axis) -> list[AxisPass]:
    offsets = tuple(k * a.dilation for k in range(a.kernel))
    return [AxisPass(a.input, a.output, a.stride, a.before, offsets, tuple(range(a.kernel)), 0, 1)]


def input_grad_axis(a: Axis) -> list[AxisPass]:
    found = []
    for residue in range(min(a.stride, a.input)):
        taps = [k for k in range(a.kernel) if (residue + a.before - k * a.dilation) % a.stride == 0]
        outputs = [(residue + a.before - k * a.dilation) // a.stride for k in taps]  # at j = 0
        first = min(outputs, default=0)
        count = -(-(a.input - residue) // a.stride)
        offsets = tuple(o - first for o in outputs)
        found.append(AxisPass(a.output, count, 1, -first, offsets, tuple(taps), residue, a.stride))
    return found


def triple(numbers: Iterable[int]) -> Triple:
    d, h, w = numbers
    return (d, h, w)
