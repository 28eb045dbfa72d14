"""Convolution as matrix products: gather what each output sees into columns, multiply with NumPy's BLAS.

The note's "vectorize the entire input and the w, and perform the dot product" (im2col), cut into blocks so
that the columns never outgrow a declared workspace. Two members of one family:

    im2col   a product covers many taps; columns that read padding hold zeros
    taps     a product covers one tap, and only outputs that it reads inside the input; no zeros are stored

Adding one tap at a time is also how NaN and infinity stay where the definition puts them: zero padding times
infinity would be NaN. So `im2col` computes such arrays one tap at a time.

Forward and input gradient treat every image in products of a fixed size, so their bits do not depend on the
batch. Which order BLAS adds in is its own affair; it is not promised to be the same at every position.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..geometry import Geometry
from ..machine import Machine
from ..plan import Plan, Proposal
from .blocks import (
    POSITIONS,
    Blocks,
    Box,
    Tap,
    at_least_one,
    boxes,
    choose_blocks,
    seen,
    spans,
    term_blocks,
    weight_grad_stacks,
    window,
    workspace_elements,
)
from .compensated import CompensatedSum
from .record import Algorithm, Array, Cell, Piecewise

# Rates of one core of a current x86 server, coarse on purpose: they only order the candidates.
OPERATIONS_PER_SECOND = {"float32": 6e10, "float64": 3e10}
BYTES_PER_SECOND = 6e9
SECONDS_PER_SLICE = 3e-6
SECONDS_PER_PRODUCT = 12e-6


def run(plan: Plan, a: Array, b: Array, out: Array) -> None:
    """Compute `plan.role` of arrays `a` and `b` into `out`."""
    blocks = plan.parameters
    assert isinstance(blocks, Blocks)
    g = plan.geometry
    with np.errstate(all="ignore"):
        # the padding zeros of a column meet the weights in forward, the gradient in weight_grad
        meets_zeros = {"forward": b, "input_grad": None, "weight_grad": a}[plan.role]
        if meets_zeros is not None and blocks.taps > 1 and g.clips and not np.isfinite(meets_zeros.sum()):
            blocks = replace(blocks, taps=1)
        if plan.role == "forward":
            _forward(g, blocks, x=_grouped(a, 1, g), w=_grouped(b, 0, g), y=_grouped(out, 1, g))
        elif plan.role == "input_grad":
            _input_grad(g, blocks, gy=_grouped(a, 1, g), w=_grouped(b, 0, g), gx=_grouped(out, 1, g))
        else:
            _weight_grad(g, blocks, gy=_grouped(a, 1, g), x=_grouped(b, 1, g), gw=_grouped(out, 0, g))


def _forward(g: Geometry, blocks: Blocks, x: Array, w: Array, y: Array) -> None:
    products = term_blocks(g, blocks)
    one_product = len(products) == 1 and not (blocks.taps == 1 and g.clips)
    if not one_product:
        y[...] = 0
    for images, groups in _stacks(g, blocks):
        for tile in boxes(g.output_size, blocks.tile):
            for ic, taps in products:
                box = seen(g.axes, taps, tile)
                columns = _columns(g, x[images, groups, ic], taps, box, y.dtype)
                for oc in spans(g.out_channels_per_group, blocks.oc):
                    target = y[(images, groups, oc, *_slices(box))]
                    product = np.matmul(_matrix(g, w[groups, oc, ic], taps, y.dtype), columns).reshape(target.shape)
                    if one_product:
                        target[...] = product
                    else:
                        target += product
                    del product  # before the next one is allocated: the workspace counts one of each
                del columns


def _input_grad(g: Geometry, blocks: Blocks, gy: Array, w: Array, gx: Array) -> None:
    gx[...] = 0
    for images, groups in _stacks(g, blocks):
        for tile in boxes(g.output_size, blocks.tile):
            for ic, taps in term_blocks(g, blocks):
                box = seen(g.axes, taps, tile)
                target = gx[images, groups, ic]
                for oc in spans(g.out_channels_per_group, blocks.oc):
                    rows = _rows(gy[(images, groups, oc, *_slices(box))], 3, gx.dtype)
                    matrix = _matrix(g, w[groups, oc, ic], taps, gx.dtype).swapaxes(-1, -2)
                    columns = np.matmul(matrix, rows).reshape(*target.shape[:3], len(taps), *map(len, box))
                    _scatter(g, columns, taps, box, target)
                    del rows, columns


def _weight_grad(g: Geometry, blocks: Blocks, gy: Array, x: Array, gw: Array) -> None:
    tiles = boxes(g.output_size, blocks.tile)
    groups_together, images_together = weight_grad_stacks(g, blocks)
    for groups in spans(g.groups, groups_together):
        for oc in spans(g.out_channels_per_group, blocks.oc):
            for ic, taps in term_blocks(g, blocks):
                target = gw[groups, oc, ic]
                total = CompensatedSum((*target.shape[:2], target.shape[2] * len(taps)), gw.dtype)
                for images in spans(g.batch, images_together):
                    for tile in tiles:
                        box = seen(g.axes, taps, tile)
                        given = gy[(images, groups, oc, *_slices(box))]
                        total.add(_weight_product(g, given, x[images, groups, ic], taps, box, gw.dtype))
                found = total.value().reshape(*target.shape[:3], len(taps))
                for position, tap in enumerate(taps):
                    target[_last(tap)] = found[..., position]


def _weight_product(g: Geometry, gy: Array, x: Array, taps: list[Tap], box: Box, dtype: np.dtype[Any]) -> Array:
    """(groups, oc, ic*taps): what a block of images and positions adds to the weight gradient."""
    n, groups, ic = x.shape[:3]
    # images join the positions, because both are summed over
    columns = np.empty((groups, ic, len(taps), n, *map(len, box)), dtype)
    _gather(g, x, taps, box, np.moveaxis(columns, 3, 0))
    summed = n * _positions(box)
    rows = _rows(np.moveaxis(gy, 0, 2), 2, dtype)
    product: Array = np.matmul(rows, columns.reshape(groups, ic * len(taps), summed).swapaxes(-1, -2))
    return product


def _columns(g: Geometry, x: Array, taps: list[Tap], box: Box, dtype: np.dtype[Any]) -> Array:
    """(n, groups, ic*taps, positions): what each tap reads for each output in `box`."""
    n, groups, ic = x.shape[:3]
    columns = np.empty((n, groups, ic, len(taps), *map(len, box)), dtype)
    _gather(g, x, taps, box, columns)
    return columns.reshape(n, groups, ic * len(taps), _positions(box))


def _rows(gy: Array, kept: int, dtype: np.dtype[Any]) -> Array:
    """`gy` with all axes after the first `kept` joined into one."""
    joined = math.prod(gy.shape[kept:])
    return gy.astype(dtype, order="C", copy=False).reshape(*gy.shape[:kept], joined)


def _gather(g: Geometry, x: Array, taps: list[Tap], box: Box, columns: Array) -> None:
    """Fill columns (n, groups, ic, taps, *box) with what each tap reads for each output; padding reads zero."""
    for position, tap in enumerate(taps):
        column = columns[:, :, :, position]
        read = window(g.axes, tap, box)
        if read is None or not read.fills_box:
            column[...] = 0
        if read is not None:
            column[_last(read.target)] = x[_last(read.source)]


def _scatter(g: Geometry, columns: Array, taps: list[Tap], box: Box, gx: Array) -> None:
    """The adjoint of `_gather`: add each column back to where it was read; what met padding is dropped."""
    for position, tap in enumerate(taps):
        read = window(g.axes, tap, box)
        if read is not None:
            gx[_last(read.source)] += columns[:, :, :, position][_last(read.target)]


def _matrix(g: Geometry, w: Array, taps: list[Tap], dtype: np.dtype[Any]) -> Array:
    """(groups, oc, ic*taps): the weights of one product."""
    groups, oc, ic = w.shape[:3]
    if len(taps) < math.prod(g.kernel_size):
        w = np.stack([w[_last(tap)] for tap in taps], axis=-1)
    return w.astype(dtype, order="C", copy=False).reshape(groups, oc, ic * len(taps))


def _grouped(array: Array, axis: int, g: Geometry) -> Array:
    """`array` with its channel axis split into (groups, channels per group): a view."""
    shape = array.shape
    return array.reshape(*shape[:axis], g.groups, shape[axis] // g.groups, *shape[axis + 1 :])


def _stacks(g: Geometry, blocks: Blocks) -> Iterator[tuple[slice, slice]]:
    """(images, groups) of each call: all groups of several images, or several groups of one."""
    groups_together = min(g.groups, blocks.stack)
    for images in spans(g.batch, at_least_one(blocks.stack // groups_together)):
        for groups in spans(g.groups, groups_together):
            yield images, groups


def _last(index: Sequence[slice] | Tap) -> Any:
    """The index of the last axes only."""
    return (..., *index)


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(part.start, part.stop) for part in box)


def _positions(box: Box) -> int:
    return math.prod(map(len, box))


def _propose(role: str, geometry: Geometry, dtype: str, workspace_limit: int, one_tap: bool) -> Proposal:
    g = geometry
    itemsize = np.dtype(dtype).itemsize
    blocks = choose_blocks(role, g, workspace_limit // itemsize, one_tap)
    tiles = math.prod(-(-size // cut) for size, cut in zip(g.output_size, blocks.tile, strict=True))
    products = tiles * len(term_blocks(g, blocks)) * -(-g.out_channels_per_group // blocks.oc)
    terms = g.in_channels_per_group * math.prod(g.kernel_size)
    positions = math.prod(g.output_size)
    # columns are written and read once; the result is read and written again by every further product
    moved = g.groups * positions * (3 * terms + 2 * g.out_channels_per_group * products // tiles) * itemsize
    seconds = (
        2 * g.products / OPERATIONS_PER_SECOND[dtype]
        + moved / BYTES_PER_SECOND
        + tiles * math.prod(g.kernel_size) * SECONDS_PER_SLICE
        + products * SECONDS_PER_PRODUCT
    )
    return Proposal(seconds, workspace_elements(role, blocks) * itemsize, error_bound(role, g, blocks), blocks)


def error_bound(role: str, geometry: Geometry, blocks: Blocks) -> float:
    """Eps times definition(|a|, |b|): half an eps per rounding, at most one rounding per term in any order."""
    g = geometry
    if role == "forward":
        return 0.5 * (g.in_channels_per_group * math.prod(g.kernel_size) + 1)
    if role == "input_grad":
        return 0.5 * (g.out_channels_per_group * math.prod(g.kernel_size) + 1)
    _, images = weight_grad_stacks(g.with_batch(POSITIONS), blocks)
    # the compensated sum over products adds two roundings, however many there are
    return 0.5 * (images * math.prod(blocks.tile) + 3)


def _im2col(role: str, geometry: Geometry, dtype: str, machine: Machine, workspace_limit: int) -> Proposal | str:
    return _propose(role, geometry, dtype, workspace_limit, one_tap=False)


def _taps(role: str, geometry: Geometry, dtype: str, machine: Machine, workspace_limit: int) -> Proposal | str:
    if math.prod(geometry.kernel_size) == 1:
        return "one tap: its product is the one that im2col computes"
    return _propose(role, geometry, dtype, workspace_limit, one_tap=True)


def _cell(plan: Plan) -> Cell:
    """The channels of a group and a tile: products of one size, which BLAS treats alike."""
    g, blocks = plan.geometry, plan.parameters
    assert isinstance(blocks, Blocks)
    return (g.in_channels_per_group if plan.role == "input_grad" else g.out_channels_per_group, *blocks.tile)


_PIECEWISE = Piecewise(_cell, lambda plan, geometry: plan.parameters)
IM2COL = Algorithm("im2col", _im2col, run, piecewise=_PIECEWISE)
TAPS = Algorithm("taps", _taps, run, piecewise=_PIECEWISE)
