"""Convolution by fast Fourier transforms of overlapping tiles: the multiplications do not grow with the kernel.

    split    a geometry as dense convolutions of stride one in tiles (overlap-save), for every stride and dilation
    tiling   how tiles fill the lanes of vectors, and how much memory that takes
    lengths  transform lengths, stages, twiddle factors
    kernels  the compiled parts; runs and moves fill their records
    cost     which lengths, and the estimate that the chooser compares
    whole    kernels as large as their input: one transform of everything, by NumPy

Rounding errors of a transform are relative to the norm of a whole tile, not to each entry. So the error bound of a
plan is in terms of norms, whole numbers do not stay exact, and one number that is not finite spoils its tile. An
image that shows such a number in its result is computed once more by a direct algorithm; so is one whose transform
overflows. Lanes never meet, so no image changes another's bits.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ... import settings
from ...geometry import Geometry
from ...jit import compile as jit
from ...machine import Machine
from ...plan import Plan, Proposal, quantity
from ..matmul import IM2COL, TAPS
from ..record import Algorithm, Array
from ..shifted import SHIFTED
from .cost import choose_tiling, seconds
from .lengths import levels
from .moves import Strides
from .runs import Ready, prepare, run_data, run_weight
from .tiling import Tiling
from .whole import Whole, choose_whole
from .whole import run as run_whole

SMALL_OPERATIONS = 1 << 21  # a call with fewer runs on the caller's thread
MOST_PREPARED = 256
WORKSPACE_LIMIT = 32 << 20  # of the rare call that goes to a direct algorithm


def propose(role: str, geometry: Geometry, dtype: str, machine: Machine, workspace_limit: int) -> Proposal | str:
    if geometry.rank > 3:
        return f"{geometry.rank} spatial axes: its kernels have loops for three"
    if geometry.in_channels == 0 or geometry.out_channels == 0:
        return "no channels: nothing to transform"
    missing = jit.available()
    if missing is not None:
        return missing
    itemsize = np.dtype(dtype).itemsize
    one = geometry.with_batch(1)
    tiling = choose_tiling(role, one, machine.isa, itemsize, workspace_limit)
    entire = choose_whole(role, one, itemsize, workspace_limit)
    if entire is not None and (tiling is None or entire.seconds(itemsize) < seconds(tiling, itemsize)):
        workspace = entire.workspace(itemsize)
        return Proposal(entire.seconds(itemsize), workspace, entire.error_bound(), entire, "norm")
    if tiling is None:
        return f"its spectra take more than the limit of {quantity(workspace_limit, 1024)}B"
    workspace = (tiling.scratch + tiling.shared(itemsize)) * itemsize
    return Proposal(seconds(tiling, itemsize), workspace, error_bound(tiling), tiling, "norm")


def error_bound(t: Tiling) -> float:
    """Eps times the product of the norms of what a result sums over.

    A path through a transform of L levels is rounded at most 4 times a level: by an addition, a product with a
    twiddle factor (sqrt 5 units: Brent, Percival, Zimmermann 2007) and the factor itself (1/sqrt 2). Three
    transforms, one product and the sum over channels, as in Percival (2003), theorem 5.1, which bounds each entry
    by the Euclidean norms.
    """
    depth = sum(levels(length) for length in t.lengths)
    transforms = 3 * depth * (1 + math.sqrt(5) + math.sqrt(0.5))
    summed = t.lanes.bit_length() + 8 if t.role == "weight_grad" else t.channels * t.phases
    # tiles overlap: a number of the input counts once for each tile of a sum, or of a pair, that reads it
    overlap = math.prod(min(split.tiles, -(-split.length // split.step)) for split in t.splits)
    if t.role != "weight_grad":
        overlap = min(2, overlap)
    return 0.5 * (transforms + math.sqrt(5) + summed + 2) * math.sqrt(overlap)


def run(plan: Plan, a: Array, b: Array, out: Array) -> None:
    """Compute `plan.role` of arrays `a` and `b` into `out`."""
    tiling = plan.parameters
    if isinstance(tiling, Whole):
        _run_whole(plan, tiling, a, b, out)
        return
    assert isinstance(tiling, Tiling)
    a, b = _plain(a, out.dtype), _plain(b, out.dtype)
    target = out if out.flags.aligned else np.empty_like(out)
    ready = _ready(tiling, plan.dtype, plan.geometry.batch, *(_in_elements(array) for array in (a, b, target)))
    workers = 1 if plan.operations < SMALL_OPERATIONS else settings.num_threads() or Machine.here().cores
    if plan.role == "weight_grad":
        if not run_weight(ready, a, b, target, workers):
            _run_directly(plan, a, b, target)
    else:
        if plan.role == "input_grad" and any(axis.stride > 1 or axis.dilation > 1 for axis in plan.geometry.axes):
            target[...] = 0  # inputs that no tap reads
        for image in run_data(ready, a, b, target, workers):
            one = slice(image, image + 1)
            _run_directly(plan, a[one], b, target[one])
    if target is not out:
        out[...] = target


def _run_whole(plan: Plan, whole: Whole, a: Array, b: Array, out: Array) -> None:
    for image in run_whole(plan, whole, a, b, out):
        if plan.role == "weight_grad":
            _run_directly(plan, _plain(a, out.dtype), _plain(b, out.dtype), out)
        else:
            one = slice(image, image + 1)
            _run_directly(plan, _plain(a[one], out.dtype), _plain(b, out.dtype), out[one])


# tables that are ready, by the identity of their tiling, which they keep alive
_prepared: dict[tuple[object, ...], Ready] = {}


def _ready(tiling: Tiling, dtype: str, batch: int, a: Strides, b: Strides, out: Strides) -> Ready:
    key = (id(tiling), batch, a, b, out)
    found = _prepared.get(key)
    if found is None:
        if len(_prepared) >= MOST_PREPARED:
            _prepared.clear()
        found = _prepared[key] = prepare(tiling, dtype, batch, a, b, out)
    return found


def _run_directly(plan: Plan, a: Array, b: Array, out: Array) -> None:
    """The same by the first direct algorithm that serves the geometry."""
    g = plan.geometry.with_batch(1)
    for direct in (SHIFTED, TAPS, IM2COL):
        offer = direct.propose(plan.role, g, plan.dtype, Machine.here(), WORKSPACE_LIMIT)
        if isinstance(offer, Proposal):
            batch = plan.geometry.batch if plan.role == "weight_grad" else 1
            taken = replace(plan, geometry=g.with_batch(batch), algorithm=direct.name, parameters=offer.parameters)
            direct.run(taken, a, b, out)
            return


def _in_elements(array: Array) -> Strides:
    return tuple(stride // array.itemsize for stride in array.strides)


def _plain(array: Array, dtype: np.dtype[np.generic]) -> Array:
    """`array` as kernels read it: native numbers at aligned addresses; a copy only where it is not."""
    if array.dtype == dtype and array.flags.aligned:
        return array
    return np.array(array, dtype=dtype)


FOURIER = Algorithm("fourier", propose, run)
