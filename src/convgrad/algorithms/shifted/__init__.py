"""Convolution as a sum of shifted products on vectors: compiled kernels, no copy of the input but a tile at a time.

For stride 1, tap k reads the input at a constant offset from the output position; a stride splits the input into
phases in which that is true again. So all three roles are sums over taps of products of shifted views:

    y[:, q]  = sum over taps t of  w[t] @ x[:, q + shift(t)]
    gx[:, q] = sum over taps t of  w[t].T @ gy[:, q - shift(t)]
    gw[t]    = sum over q of       gy[:, q] @ x[:, q + shift(t)].T

`passes` turns a geometry into taps and phases, `layout` cuts it into tiles, the kernels print the loop nests
(`data_kernel` and `weight_kernel` with vectors along positions, `dense_kernel` and `outer_kernel` with vectors along
channels of the result), `data_runs` and `weight_runs` fill their records. Everything about a geometry is a number in a
record: four compiled kernels per dtype and ISA, and one that packs weights, serve them all.

Zeros stand for padding in the panels, and zero times infinity is NaN. So a weight (or, for the weight gradient, a
result) that is not finite sends the call to `taps`, which stores no zeros.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ... import settings
from ...geometry import Axis, Geometry
from ...jit import builtin
from ...jit import compile as jit
from ...jit.targets import Target, target_of
from ...machine import Machine
from ...plan import Plan, Proposal
from ..matmul import IM2COL, TAPS
from ..record import Algorithm, Array, Native, Piecewise, Ready
from . import data_kernel, dense_kernel, outer_kernel, small, weight_kernel
from .cost import seconds
from .data_runs import DataLaunch, prepare_data, run_data
from .layout import DenseLayout, Layout, OuterLayout, data_layout, dense_layout, outer_layout, weight_layout
from .passes import Pass, passes
from .weight_runs import (
    OuterLaunch,
    WeightLaunch,
    outer_totals_bytes,
    prepare_outer,
    prepare_weight,
    run_outer,
    run_weight,
    totals_bytes,
)

ELEMENTS = {"float32": "float", "float64": "double"}
SMALL_OPERATIONS = 1 << 21  # a call with fewer runs on the caller's thread
DENSE_FILLED = 0.75  # of vectors along rows; below, the dense kernel loses
DENSE_TERMS, DENSE_TERMS_OF_ONE_TAP = 128, 512
LEAST_FILLED = 0.6  # of vectors along output channels; below, vectors along positions are faster
MOST_PREPARED = 4096
WORKSPACE_LIMIT = 32 << 20  # of the rare call that goes to `taps`


@dataclass(frozen=True, slots=True)
class Steps:
    """The parameters of a plan: each pass with its layout, and the ISA of the kernel."""

    isa: str
    walked: Geometry  # the geometry that the passes walk: one axis where all positions are alike
    steps: tuple[tuple[Pass, Layout | DenseLayout | OuterLayout], ...]
    small: tuple[tuple[Pass, Layout], ...] | None = None  # of small calls, where `steps` take vectors along rows

    def __str__(self) -> str:
        _, layout = self.steps[0]
        panels = layout if isinstance(layout, Layout) else layout.panels
        parts = [self.isa]
        parts += ["vectors along channels"] if isinstance(layout, DenseLayout) else []
        parts += [f"{len(self.steps)} passes"] if len(self.steps) > 1 else []
        parts += [f"tile {'x'.join(map(str, panels.tile))}"]
        parts += [f"oc {layout.rows_together}"] if isinstance(layout, OuterLayout) else []
        return ", ".join([*parts, f"ic {panels.channels_together}", f"{panels.together} images an item"])


def propose(role: str, geometry: Geometry, dtype: str, machine: Machine, workspace_limit: int) -> Proposal | str:
    g, itemsize = walked(geometry), np.dtype(dtype).itemsize
    if g.rank > 3:
        return f"{g.rank} spatial axes: its kernels have loops for three"
    missing = jit.available()
    if missing is not None:
        return missing
    target = target_of(machine.isa)
    lanes = target.vector_bytes // itemsize
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    steps: tuple[tuple[Pass, Layout | DenseLayout | OuterLayout], ...]
    small: tuple[tuple[Pass, Layout], ...] | None = None
    if role == "weight_grad":
        (walk,) = passes("forward", g)
        if _fills_vectors(oc, lanes):
            outer = outer_layout(walk, oc, ic, lanes, itemsize)
            steps = ((walk, outer),)
            workspace = outer.scratch * itemsize + outer_totals_bytes(g, outer, itemsize)
            chain = outer.panels.together * math.prod(outer.panels.tile) + 3.0
        else:
            layout = weight_layout(walk, oc, ic, lanes, itemsize)
            steps = ((walk, layout),)
            workspace = layout.scratch * itemsize + totals_bytes(g, layout, itemsize)
            chain = layout.together * layout.run // lanes + math.log2(lanes) + 3
    else:
        rows, channels = (oc, ic) if role == "forward" else (ic, oc)
        walks = passes(role, g)
        sliding = data_kernel.slide_shapes(target)
        data = tuple((p, data_layout(p, rows, channels, lanes, itemsize, sliding)) for p in walks)
        steps, small, workspace = data, None, max(layout.scratch for _, layout in data) * itemsize
        if _is_dense(g, role, rows, channels, lanes):
            widest = dense_kernel.most_rows(target, lanes)
            dense = tuple((p, dense_layout(p, rows, channels, lanes, itemsize, widest)) for p in walks)
            needed = max(g.groups * layout.packed + layout.scratch for _, layout in dense) * itemsize
            if needed <= workspace_limit:
                steps, small, workspace = dense, data, max(needed, workspace)
        chain = channels * math.prod(g.kernel_size)
    if workspace > workspace_limit:
        return f"its panels take {workspace >> 20} MiB, more than the limit of {workspace_limit >> 20} MiB"
    took = seconds(role, g, steps[0][1], target, itemsize)
    return Proposal(took, workspace, 0.5 * (chain + 1), Steps(target.name, g, steps, small))


def _is_dense(g: Geometry, role: str, rows: int, channels: int, lanes: int) -> bool:
    """Whether vectors along the rows of the output are faster than along its positions.

    Both give the same bits. Rows must fill the vectors, and there must be enough terms to pay for turning the output;
    more of them for one tap, which wastes no positions between rows either way.
    """
    if rows < 2 * lanes or rows / (-(-rows // lanes) * lanes) < DENSE_FILLED:
        return False
    terms = channels * math.prod(g.kernel_size)
    if terms > channels:
        return terms >= DENSE_TERMS
    return terms >= (DENSE_TERMS_OF_ONE_TAP if role == "forward" else DENSE_TERMS_OF_ONE_TAP // 2)


def _fills_vectors(rows: int, lanes: int) -> bool:
    """Whether vectors along the output channels are mostly full."""
    return rows > 0 and rows / (-(-rows // lanes) * lanes) >= LEAST_FILLED


def run(plan: Plan, a: Array, b: Array, out: Array) -> None:
    """Compute `plan.role` of arrays `a` and `b` into `out`."""
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    a, b = plain(a, out.dtype), plain(b, out.dtype)
    target = out if out.flags.aligned else np.empty_like(out)
    if parameters.walked.rank != plan.geometry.rank:
        a, b = (array.reshape(*array.shape[:2], math.prod(array.shape[2:])) for array in (a, b))
        target = joined_positions(target)
    if plan.role != "weight_grad":
        b = np.ascontiguousarray(b)
    kernels = tuple(_kernel(name, plan.dtype, parameters.isa).call for name in _names(plan))
    launch, stores_zeros = _prepared_for(plan, parameters, a.strides, b.strides, target.strides)
    if isinstance(launch, OuterLaunch):
        run_outer(launch, kernels[0], a, b, target)
    elif isinstance(launch, WeightLaunch):
        run_weight(launch, kernels[0], a, b, target)
    else:
        run_data(launch, kernels, a, b, target)
    if stores_zeros and _zeros_met_infinity([target] if plan.role == "weight_grad" else [b, target]):
        _run_without_zeros(plan, a, b, target)
    if target is not out and not np.may_share_memory(target, out):
        out[...] = target.reshape(out.shape)


def ready(plan: Plan) -> Ready | None:
    """The small call of `plan` as one function of contiguous arrays; None where it is not small."""
    state = _small_state(plan)
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    return None if state is None else small.function(state, ELEMENTS[plan.dtype], target_of(parameters.isa))


def native(plan: Plan) -> Native | None:
    """The same for callers without Python's lock."""
    state = _small_state(plan, _native_scratch())
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    return None if state is None else Native(small.entry(ELEMENTS[plan.dtype], target_of(parameters.isa)), state)


@functools.cache
def _native_scratch() -> Array:
    return small.new_scratch()


def _small_state(plan: Plan, scratch: Array | None = None) -> Array | None:
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    if plan.operations >= SMALL_OPERATIONS or not builtin.available():
        return None
    g = parameters.walked.with_batch(plan.geometry.batch)
    shapes = {
        "forward": (g.input_shape, g.weight_shape, g.output_shape),
        "input_grad": (g.output_shape, g.weight_shape, g.input_shape),
        "weight_grad": (g.output_shape, g.input_shape, g.weight_shape),
    }[plan.role]
    a, b, out = (_contiguous(shape, np.dtype(plan.dtype).itemsize) for shape in shapes)
    prepared = _prepare(plan, parameters, a, b, out, threads=1)
    names = _names(plan)
    kernel = _kernel(names[0], plan.dtype, parameters.isa)
    element, target = ELEMENTS[plan.dtype], target_of(parameters.isa)
    searched = (2 if plan.role == "weight_grad" else 1) if _stores_zeros(plan) else None
    if isinstance(prepared, OuterLaunch):
        return small.prepare(kernel, element, target, [(prepared.launch, 0)], shapes, searched, None, prepared, scratch)
    if isinstance(prepared, WeightLaunch):
        groups, blocks, ranges, kinds, rows, pitch = prepared.totals
        if blocks * ranges > 1:
            return None
        columns = math.prod(g.weight_shape[1:])
        totals = small.Totals(groups, rows, columns, pitch, kinds * rows * pitch)
        return small.prepare(kernel, element, target, [(prepared.launch, 0)], shapes, searched, totals, None, scratch)
    launches = []
    for one in prepared:
        if one.products is None:
            return None
        begins = [part.start or 0 for part in one.every]
        launches.append((one.products, sum(start * stride for start, stride in zip(begins, out, strict=True))))
    return small.prepare(kernel, element, target, launches, shapes, searched, scratch=scratch)


def stacked(plan: Plan, images: int) -> Plan | None:
    """Images as groups of one, where an image is one tile: then each is summed as if it were alone."""
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    ((walk, layout),) = parameters.steps
    panels = layout if isinstance(layout, Layout) else layout.panels
    if panels.tile != walk.output:
        return None
    many = _many_groups(parameters, images)
    return replace(
        plan, geometry=_as_groups(plan.geometry, images), parameters=many, operations=plan.operations * images
    )


@functools.lru_cache(maxsize=MOST_PREPARED)
def _many_groups(parameters: Steps, images: int) -> Steps:
    return replace(parameters, walked=_as_groups(parameters.walked, images))


def _as_groups(g: Geometry, images: int) -> Geometry:
    ic, oc, groups = (images * number for number in (g.in_channels, g.out_channels, g.groups))
    return replace(g, in_channels=ic, out_channels=oc, groups=groups)


def _contiguous(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of a contiguous array."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


Launches = OuterLaunch | WeightLaunch | list[DataLaunch]
Prepared = tuple[Launches, bool]  # and whether any panel stores zeros
# launches that are ready, by the identity of their plan's parameters, which they keep alive
_prepared: dict[tuple[object, ...], tuple[Steps, Prepared]] = {}


def _prepared_for(
    plan: Plan, parameters: Steps, a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...]
) -> Prepared:
    threads = settings.num_threads() or Machine.here().cores
    key = (id(parameters), plan.geometry.batch, a, b, out, threads)
    found = _prepared.get(key)
    if found is None:
        if len(_prepared) >= MOST_PREPARED:
            _prepared.clear()
        prepared = _prepare(plan, parameters, a, b, out, threads), _stores_zeros(plan)
        found = _prepared[key] = parameters, prepared
    return found[1]


def _prepare(
    plan: Plan, parameters: Steps, a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...], threads: int
) -> Launches:
    g = parameters.walked.with_batch(plan.geometry.batch)
    itemsize = np.dtype(plan.dtype).itemsize
    threads = 1 if plan.operations < SMALL_OPERATIONS else threads
    if plan.role == "weight_grad":
        ((p, layout),) = _steps(plan)
        if isinstance(layout, OuterLayout):
            return prepare_outer(g, p, layout, a, b, itemsize, threads)
        assert isinstance(layout, Layout)
        return prepare_weight(g, p, layout, a, b, itemsize, threads)
    in_place = data_kernel.works_in_place(target_of(parameters.isa))
    walks = tuple((p, layout) for p, layout in _steps(plan) if not isinstance(layout, OuterLayout))
    return prepare_data(g, walks, plan.role == "input_grad", in_place, a, out, itemsize, threads)


def _zeros_met_infinity(suspects: list[Array]) -> bool:
    """Whether a zero of the panels may have met a number that is not finite, and made a NaN that should not be.

    suspects: such a NaN shows in the result, and only a weight that is not finite can have caused it.
    """
    with np.errstate(all="ignore"):
        return not any(math.isfinite(array.sum()) for array in sorted(suspects, key=lambda array: array.size))


def _stores_zeros(plan: Plan) -> bool:
    """Whether any panel holds zeros that a weight, or the weight gradient, may meet."""
    g = plan.geometry
    one_tap = math.prod(g.kernel_size) == 1
    return g.clips or not (plan.role == "forward" or (plan.role == "input_grad" and one_tap))


def _run_without_zeros(plan: Plan, a: Array, b: Array, out: Array) -> None:
    """The same by a product per tap, which stores no zeros; for one tap im2col stores none either."""
    assert isinstance(plan.parameters, Steps)
    walked = plan.parameters.walked
    exact = IM2COL if math.prod(walked.kernel_size) == 1 else TAPS
    offer = exact.propose(plan.role, walked.with_batch(1), plan.dtype, Machine.here(), WORKSPACE_LIMIT)
    assert isinstance(offer, Proposal)
    g = walked.with_batch(plan.geometry.batch)
    exact.run(replace(plan, geometry=g, algorithm=exact.name, parameters=offer.parameters), a, b, out)


def walked(g: Geometry) -> Geometry:
    """A kernel of one tap at every position sees no rows: all positions on one axis, for longer runs."""
    if any((a.kernel, a.stride, a.padded) != (1, 1, a.input) for a in g.axes):
        return g
    return replace(g, axes=(Axis(math.prod(g.input_size), 1),))


def joined_positions(out: Array) -> Array:
    """`out` with one spatial axis: a view, or an array of its own where memory does not allow one."""
    try:
        return out.reshape(*out.shape[:2], math.prod(out.shape[2:]), copy=False)
    except ValueError:
        return np.empty((*out.shape[:2], math.prod(out.shape[2:])), out.dtype)


def kernel_text(plan: Plan) -> str:
    """The LLVM IR of the kernel that runs `plan`."""
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    name, *_ = _names(plan)
    return _TEXTS[name](ELEMENTS[plan.dtype], target_of(parameters.isa))


def _steps(plan: Plan) -> tuple[tuple[Pass, Layout | DenseLayout | OuterLayout], ...]:
    """The passes that a plan takes at its batch; small calls run one kernel, on the caller's thread."""
    parameters = plan.parameters
    assert isinstance(parameters, Steps)
    small = parameters.small if plan.operations < SMALL_OPERATIONS else None
    return parameters.steps if small is None else small


def _names(plan: Plan) -> tuple[str, ...]:
    """The kernel of a plan, and the one that packs its weights."""
    layout = _steps(plan)[0][1]
    if isinstance(layout, DenseLayout):
        return dense_kernel.NAME, dense_kernel.FILTER
    if plan.role != "weight_grad":
        return (data_kernel.NAME,)
    return (outer_kernel.NAME if isinstance(layout, OuterLayout) else weight_kernel.NAME,)


_TEXTS: dict[str, Callable[[str, Target], str]] = {
    data_kernel.NAME: data_kernel.text,
    dense_kernel.NAME: dense_kernel.text,
    dense_kernel.FILTER: dense_kernel.filter_text,
    outer_kernel.NAME: outer_kernel.text,
    weight_kernel.NAME: weight_kernel.text,
}


@functools.cache
def _kernel(name: str, dtype: str, isa: str) -> jit.Kernel:
    target = target_of(isa)
    return jit.compile_kernel(name, _TEXTS[name](ELEMENTS[dtype], target), target)


def plain(array: Array, dtype: np.dtype[np.generic]) -> Array:
    """`array` as kernels read it: native numbers at aligned addresses; a copy only where it is not."""
    if array.dtype == dtype and array.flags.aligned:
        return array
    return np.array(array, dtype=dtype)


# an output's terms are added in one order wherever it lies, so that it may be computed alone
_ANYWHERE = Piecewise(lambda plan: (1,) * (plan.geometry.rank + 1))
SHIFTED = Algorithm("shifted", propose, run, {}, ready, stacked, _ANYWHERE, native)
