"""float32 convolution on matrix tiles (AMX): each number as three bfloat16, six products, summed in float32.

The sums are those of `shifted`; a product of 16 rows, 16 columns and 32 terms is one instruction, `instructions` says
which. `layout` cuts a pass into tiles, `filter_kernel` and `pack` bring weights and inputs into them, `data_kernel` and
`weight_kernel` print the loop nests, `runs` fills their records.

Tiles flush small numbers to zero and make NaN of infinity (its parts are infinity and NaN). Packing sees both: an
image that holds such a number is computed by `shifted`, with its bits; a weight that does sends the call there.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from ... import settings
from ...geometry import Geometry
from ...jit import compile as jit
from ...jit.targets import TILES
from ...machine import Machine
from ...plan import Plan, Proposal
from ..record import Algorithm, Array, Piecewise
from ..shifted import SHIFTED, joined_positions, plain, walked
from ..shifted.passes import Pass, passes
from . import data_kernel, filter_kernel, weight_kernel
from .cost import data_seconds, weight_seconds
from .instructions import DEPTH, MOST_TERMS
from .layout import DataLayout, WeightLayout, data_layout, weight_layout, weight_words
from .runs import (
    DataLaunch,
    WeightLaunch,
    most_ranges,
    prepare_data,
    prepare_weight,
    run_data,
    run_weight,
    weight_blocks,
)
from .sources import BFLOAT16, Source, float32

WITHIN_A_TILE = 18  # roundings inside of one instruction: 16 pairs, their sum, the addition
# of products left out, in eps = 2**-23 of |x| |w|: a part is at most 2**-8 of the one before; and what is flushed
DROPPED = {float32(6): 1.5, float32(3): 3 * 2.0**7 + 1, float32(1): 2.0**16 + 2.0**8}
REDUCED = {"high": float32(3), "medium": float32(1)}
# what the last rounding to bfloat16, and sums that are flushed, add to the bound; and float32's eps in bfloat16's
ROUNDED, EPS_IN_BFLOAT16 = 0.5 + 2.0**-4, 2.0**-16
MOST_PREPARED = 1024


@dataclass(frozen=True, slots=True)
class Tiles:
    """The parameters of a plan: the arrays, each pass with its layout, and the plan for other numbers."""

    source: Source
    walked: Geometry
    steps: tuple[tuple[Pass, DataLayout | WeightLayout], ...]
    otherwise: object  # parameters of `shifted`

    def __str__(self) -> str:
        panels = self.steps[0][1].panels
        tile = "x".join(map(str, panels.tile))
        count = f"{len(self.steps)} passes, " if len(self.steps) > 1 else ""
        return f"amx, {self.source}, {count}tile {tile}, ic {panels.channels_together}"


def propose(role: str, geometry: Geometry, dtype: str, machine: Machine, workspace_limit: int) -> Proposal | str:
    return _propose(float32(6), role, geometry, dtype, machine, workspace_limit)


def _propose(
    source: Source, role: str, geometry: Geometry, dtype: str, machine: Machine, workspace_limit: int
) -> Proposal | str:
    if dtype != source.dtype:
        return f"{dtype}: its tiles are for {source.dtype}"
    if not machine.amx:
        return "this process has no matrix tiles (AMX)"
    vector = SHIFTED.propose(role, geometry, "float32", machine, workspace_limit)
    if isinstance(vector, str):
        return vector
    g, parts, products = walked(geometry), source.parts, source.products
    taps = math.prod(g.kernel_size)
    # a plan without terms is never run
    ic, oc = max(1, g.in_channels_per_group), max(1, g.out_channels_per_group)
    steps: tuple[tuple[Pass, DataLayout | WeightLayout], ...]
    if role == "weight_grad":
        (walk,) = passes("forward", g)
        gradient = weight_layout(walk, oc, ic, parts)
        steps = ((walk, gradient),)
        blocks = weight_blocks(oc, ic, gradient)
        ranges = most_ranges(g.groups * math.prod(blocks))
        shared = 2 * gradient.entries * g.groups * math.prod(blocks) * ranges if ranges > 1 else 0
        workspace = 4 * (gradient.scratch + shared)
        seconds = weight_seconds(g, source, walk, gradient, blocks)
        chain = products * gradient.panels.together * gradient.run // DEPTH + 3
    else:
        rows, channels = (oc, ic) if role == "forward" else (ic, oc)
        if channels * taps > MOST_TERMS:
            return f"sums of {channels * taps} terms might overflow"
        data = tuple((p, data_layout(p, rows, channels, parts)) for p in passes(role, g))
        steps = data
        packed = max(g.groups * weight_words(rows, channels, len(p.places), parts) for p, _ in data)
        workspace = 4 * (packed + max(layout.scratch for _, layout in data))
        seconds = data_seconds(g, source, data, rows, channels)
        step = data[0][1].channel_step
        chain = products * step // DEPTH * taps + -(-channels // step)
    if workspace > workspace_limit:
        return f"its panels take {workspace >> 20} MiB, more than the limit of {workspace_limit >> 20} MiB"
    bound = 0.5 * (chain + WITHIN_A_TILE)
    if source == BFLOAT16:
        bound = bound * EPS_IN_BFLOAT16 + ROUNDED
    else:
        bound += DROPPED[source]
    parameters = Tiles(source, g, steps, vector.parameters)
    return Proposal(seconds, workspace, bound, parameters, whole_numbers=False)


def run(plan: Plan, a: Array, b: Array, out: Array) -> None:
    """Compute `plan.role` of arrays `a` and `b` into `out`."""
    parameters = plan.parameters
    assert isinstance(parameters, Tiles)
    first, second = plain(a, out.dtype), plain(b, out.dtype)
    target = out if out.flags.aligned else np.empty_like(out)
    if parameters.walked.rank != plan.geometry.rank:
        first, second = (array.reshape(*array.shape[:2], math.prod(array.shape[2:])) for array in (first, second))
        target = joined_positions(target)
    if plan.role != "weight_grad":
        second = np.ascontiguousarray(second)
    launch = _prepared_for(plan, parameters, first.strides, second.strides, target.strides)
    if isinstance(launch, WeightLaunch):
        kernel = _weight_kernel(parameters.source, launch.by_positions)
        kept = run_weight(launch, kernel.call, first, second, target)
        strange = np.zeros(0, np.bool) if kept else None
    else:
        by_rows = any(one.by_rows for one in launch)
        names = filter_kernel.NAME, data_kernel.NAME
        pack, multiply = (_kernel(name, parameters.source, by_rows).call for name in names)
        strange = run_data(launch, (pack, multiply), first, second, target)
    if target is not out and not np.may_share_memory(target, out):
        out[...] = target.reshape(out.shape)
    if strange is None:
        _otherwise(plan, parameters, a, b, out)
    else:
        for image in np.flatnonzero(strange):
            one = slice(image, image + 1)
            _otherwise(plan, parameters, a[one], b, out[one])


def _otherwise(plan: Plan, parameters: Tiles, a: Array, b: Array, out: Array) -> None:
    """The same by vectors, in float32."""
    g, wide = plan.geometry.with_batch(len(a)), np.dtype("float32")
    taken = replace(plan, geometry=g, dtype=wide.name, algorithm=SHIFTED.name, parameters=parameters.otherwise)
    found = out if out.dtype == wide else np.empty(out.shape, wide)
    SHIFTED.run(taken, a, b, found)
    if found is not out:
        out[...] = found


Launches = WeightLaunch | list[DataLaunch]
# launches that are ready, by the identity of their plan's parameters, which they keep alive
_prepared: dict[tuple[object, ...], tuple[Tiles, Launches]] = {}


def _prepared_for(
    plan: Plan, parameters: Tiles, a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...]
) -> Launches:
    threads = settings.num_threads() or Machine.here().cores
    key = (id(parameters), plan.geometry.batch, a, b, out, threads)
    found = _prepared.get(key)
    if found is None:
        if len(_prepared) >= MOST_PREPARED:
            _prepared.clear()
        g = parameters.walked.with_batch(plan.geometry.batch)
        found = _prepared[key] = parameters, _prepare(plan.role, g, parameters, a, b, out, threads)
    return found[1]


def _prepare(
    role: str,
    g: Geometry,
    parameters: Tiles,
    a: tuple[int, ...],
    b: tuple[int, ...],
    out: tuple[int, ...],
    threads: int,
) -> Launches:
    if role == "weight_grad":
        ((p, layout),) = parameters.steps
        assert isinstance(layout, WeightLayout)
        return prepare_weight(g, p, layout, a, b, parameters.source.itemsize, threads)
    steps = tuple((p, layout) for p, layout in parameters.steps if isinstance(layout, DataLayout))
    return prepare_data(g, steps, role == "input_grad", a, out, parameters.source.itemsize, threads)


@functools.cache
def _kernel(name: str, source: Source, by_rows: bool) -> jit.Kernel:
    return jit.compile_kernel(name, _DATA[name].text(source, by_rows), TILES)


_DATA = {module.NAME: module for module in (data_kernel, filter_kernel)}


@functools.cache
def _weight_kernel(source: Source, by_positions: tuple[bool, bool]) -> jit.Kernel:
    return jit.compile_kernel(weight_kernel.NAME, weight_kernel.text(source, by_positions), TILES)


_ANYWHERE = Piecewise(lambda plan: (1,) * (plan.geometry.rank + 1))
TILES_ALGORITHM = Algorithm(
    "tiles",
    propose,
    run,
    reduced={word: functools.partial(_propose, source) for word, source in REDUCED.items()},
    bfloat16=functools.partial(_propose, BFLOAT16),
    piecewise=_ANYWHERE,
)
