"""What the kernels on vectors are expected to take; coarse, it only orders the candidates.

Measured on one core of a server with AVX-512 in float32; narrower vectors take as much longer as they are narrower.
"""

from __future__ import annotations

import math

from ...geometry import Geometry
from ...jit.targets import Target
from .layout import DenseLayout, Layout, OuterLayout

# additions and multiplications a second
ALONG_POSITIONS = 1.3e11
ALONG_ROWS = 1.6e11
OUTER = 1.4e11
ONE_ROW = 0.55  # of that rate where a product has one row: loads are its limit then
# seconds a number
TURNED = 0.35e-9  # outputs of the dense kernel
APART = 0.45e-9  # outputs of an input gradient with a stride
WEIGHT_PACKED = 0.07e-9  # for each of some images, as the two that follow
WEIGHT_SETTLED, WEIGHT_SETTLED_OF_ONE_TAP = 0.25e-9, 0.08e-9
SECONDS_PER_PASS = 5e-6


def seconds(role: str, g: Geometry, layout: Layout | DenseLayout | OuterLayout, target: Target, itemsize: int) -> float:
    """Of a role whose passes have such a layout."""
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    rate = ALONG_POSITIONS
    if isinstance(layout, DenseLayout):
        rate = ALONG_ROWS
    elif isinstance(layout, OuterLayout):
        rate = OUTER
    if (ic if role == "input_grad" else oc) == 1:
        rate *= ONE_ROW
    width = target.vector_bytes / 64 * (1 if target.fma else 0.5)
    weights = math.prod(g.weight_shape)
    outputs = math.prod(g.input_shape if role == "input_grad" else g.output_shape)
    moved = 0.0
    if isinstance(layout, DenseLayout):
        moved += outputs * TURNED + g.batch * weights * WEIGHT_PACKED
    elif isinstance(layout, OuterLayout):
        each = WEIGHT_SETTLED if math.prod(g.kernel_size) > 1 else WEIGHT_SETTLED_OF_ONE_TAP
        moved += g.batch * weights * each
    strides = math.prod(axis.stride for axis in g.axes)
    if role == "input_grad" and strides > 1:
        moved += outputs * APART
    passes = strides if role == "input_grad" else 1
    return (2 * g.products / rate / width + moved) * itemsize / 4 + passes * SECONDS_PER_PASS
