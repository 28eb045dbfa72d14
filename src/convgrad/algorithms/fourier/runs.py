"""From a plan and arrays to a result: fills the kernels' records, task by task, on any number of threads."""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ... import threads
from ...jit import compile as jit
from ...jit.targets import target_of
from ..record import Array
from . import kernels
from .kernels import MOVE, PRODUCT, TRANSFORM
from .lengths import stage_table, twiddles
from .moves import Moves, Strides, tile_lanes, tile_moves, weight_moves
from .tiling import Tiling

CACHE_LINE = 64
ELEMENTS = {"float32": "float", "float64": "double"}


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel and its record, filled except for what changes from task to task."""

    kernel: Callable[[int], None]
    template: array[int]
    places: dict[str, int]
    kept: object  # the tables whose addresses the template holds

    def __call__(self, **fields: int) -> None:
        record = self.template[:]
        for name, value in fields.items():
            record[self.places[name]] = value
        self.kernel(record.buffer_info()[0])


@dataclass(frozen=True, slots=True)
class Mover:
    """`pack` or `unpack` for one array."""

    call: Call
    moves: Moves

    def __call__(self, task: int, array: int, buffer: int, **fields: int) -> None:
        offsets, bounds = self.moves.offsets, self.moves.bounds
        self.call(
            array=array,
            buffer=buffer,
            offsets=address(offsets) + task * offsets.strides[0],
            bounds=address(bounds) + task * bounds.strides[0],
            **fields,
        )

    def row(self, row: int, task: int, array: int, buffer: int) -> None:
        """One row alone."""
        rows = self.moves.rows
        self(task, array, buffer, rows=address(rows) + row * rows.strides[0], row_count=1)


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything about a plan, a batch and the strides of three arrays but the arrays themselves."""

    tiling: Tiling
    dtype: np.dtype[np.generic]
    image: Array  # (tasks, 2, lanes): whose tile each lane holds
    source: Mover
    other: Mover  # the result; of the weight gradient gy
    weight: Mover
    forward: Call
    backward: Call
    product: Call


def prepare(tiling: Tiling, dtype: str, batch: int, a: Strides, b: Strides, out: Strides) -> Ready:
    """a, b, out: strides in elements of the arrays of the role."""
    lanes, role = tile_lanes(tiling, batch), tiling.role
    x, w, y = {"forward": (a, b, out), "input_grad": (out, b, a), "weight_grad": (b, out, a)}[role]
    inputs, outputs = tile_moves(tiling, lanes, "input", x), tile_moves(tiling, lanes, "output", y)
    source, other = (outputs, inputs) if role == "input_grad" else (inputs, outputs)
    kernel = _compiled(tiling.isa, dtype, tiling.apart)
    sizes = {f"n{axis}": length for axis, length in enumerate(tiling.lengths)}
    common = {"row_pitch": tiling.row, "pitch": tiling.pitch, **sizes}
    numbers = np.array([1 / tiling.entries, 1, -1], dtype)
    scale, plus, minus = (address(numbers[k:]) for k in range(3))

    def mover(name: str, moves: Moves, turn: int = plus) -> Mover:
        fields = common | {"rows": address(moves.rows), "row_count": len(moves.rows), "scale": scale, "turn": turn}
        fields |= {f"step{axis}": step for axis, step in enumerate(moves.steps)}
        return Mover(_call(kernel[name], MOVE, fields, numbers), moves)

    tables = [(stage_table(length), twiddles(length, dtype)) for length in tiling.lengths]
    stages = dict(common)
    for axis, (table, factors) in enumerate(tables):
        stages |= {f"stages{axis}": address(table), f"count{axis}": len(table), f"twiddles{axis}": address(factors)}
    forward, backward = (_call(kernel[name], TRANSFORM, stages, tables) for name in ("forward", "backward"))
    gradient = role == "weight_grad"
    product = {"channels": tiling.inputs, "row_count": tiling.rows, "a_pitch": tiling.row, "out_pitch": tiling.row}
    product |= {"b_pitch": tiling.kept_row, "b_line": tiling.kept_line, "b_width": tiling.width}
    product |= {"b_block": tiling.kept_row * tiling.weight_rows // (tiling.rows if tiling.apart else 1)}
    product |= {"outer": sizes["n0"] * sizes["n1"], "inner": sizes["n2"], "pitch": tiling.pitch}
    return Ready(
        tiling=tiling,
        dtype=np.dtype(dtype),
        image=lanes.image,
        source=mover("pack", source),
        # a lane's halves a and b multiply as complex numbers: the real part is a a' - b b', but they shall be added
        other=mover("pack", other, minus) if gradient else mover("unpack", other),
        weight=mover("unpack" if gradient else "pack", weight_moves(tiling, w)),
        forward=forward,
        backward=backward,
        product=_call(kernel["accumulate" if gradient else "multiply"], PRODUCT, product, None),
    )


def run_data(ready: Ready, a: Array, w: Array, out: Array, workers: int) -> Array:
    """Fill `out` with forward or input_grad; returns which images hold a number that is not finite."""
    t, dtype = ready.tiling, ready.dtype
    row, (a_at, w_at, out_at) = t.row * dtype.itemsize, map(address, (a, w, out))
    blocks, tasks = len(ready.weight.moves.offsets), len(ready.image)
    spectrum = aligned((blocks, t.weight_rows, t.kept_row), dtype)
    flags = np.zeros((tasks, 2, t.lanes), dtype)

    def transform_weight(block: int, scratch: Array) -> None:
        if t.width == t.lanes:
            ready.weight(block, w_at, address(spectrum[block]))
            ready.forward(buffer=address(spectrum[block]), row_count=t.weight_rows)
            return
        lines = scratch[0].reshape(*t.lengths[:2], -1, 2, t.lanes)
        for place in range(t.weight_rows):
            ready.weight.row(place, block, w_at, address(scratch))
            ready.forward(buffer=address(scratch), row_count=1)
            kept = spectrum[block, place].reshape(*t.lengths, 2, t.width)
            kept[...] = lines[:, :, : t.lengths[2], :, : t.width]

    def compute(task: int, scratch: Array) -> None:
        buffer, unit = address(scratch), task // (tasks // t.units)
        done = buffer if t.in_place else buffer + t.inputs * row
        ready.source(task, a_at, buffer)
        ready.forward(buffer=buffer, row_count=t.inputs)
        for phase in range(t.results // t.rows):
            b = address(spectrum[unit * t.blocks, phase * t.channels :])
            ready.product(a=buffer, b=b, out=done + phase * t.rows * row)
        ready.backward(buffer=done, row_count=t.results)
        ready.other(task, out_at, done, flags=address(flags[task]))

    share(blocks, transform_weight, workers, (int(t.width < t.lanes), t.row), dtype)
    share(tasks, compute, workers, (t.scratch // t.row, t.row), dtype)
    return np.unique(ready.image[np.isnan(flags)])


def run_weight(ready: Ready, gy: Array, x: Array, gw: Array, workers: int) -> bool:
    """Fill `gw`; returns whether it is finite."""
    t, dtype = ready.tiling, ready.dtype
    row, (gy_at, x_at, gw_at) = t.row * dtype.itemsize, map(address, (gy, x, gw))
    blocks, tasks = len(ready.weight.moves.offsets), len(ready.image) // t.units
    ranges = t.ranges(tasks, dtype.itemsize)
    totals = aligned((t.units, ranges, 2, t.blocks * t.weight_rows, t.row), dtype)
    flags = np.zeros((blocks, 2, t.lanes), dtype)

    def compute(item: int, scratch: Array) -> None:
        unit, part = divmod(item, ranges)
        total, lost = totals[unit, part]
        total[...] = lost[...] = 0
        buffer = address(scratch)
        gradient = buffer + t.inputs * row
        for task in range(tasks * part // ranges, tasks * (part + 1) // ranges):
            ready.source(unit * tasks + task, x_at, buffer)
            ready.other(unit * tasks + task, gy_at, gradient)
            ready.forward(buffer=buffer, row_count=t.inputs + t.results)
            ready.product(a=gradient, b=buffer, out=address(total), lost=address(lost))
        total += lost

    def finish(block: int, _: Array) -> None:
        unit, place = divmod(block, t.blocks)
        found = totals[unit, :, 0, place * t.weight_rows : (place + 1) * t.weight_rows]
        for part in found[1:]:
            found[0] += part
        ready.backward(buffer=address(found[0]), row_count=t.weight_rows)
        ready.weight(block, gw_at, address(found[0]), flags=address(flags[block]))

    share(t.units * ranges, compute, workers, (t.inputs + t.results, t.row), dtype)
    share(blocks, finish, workers, (0, t.row), dtype)
    return not np.isnan(flags).any()


def share(
    count: int, task: Callable[[int, Array], None], workers: int, scratch: tuple[int, int], dtype: np.dtype[np.generic]
) -> None:
    """Call `task` with every number below `count` and scratch memory of its thread's own."""
    workers = min(workers, count)
    numbers = itertools.count()
    memory = [aligned(scratch, dtype) for _ in range(workers)]
    raised: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            with np.errstate(all="ignore"):
                while not raised and (number := next(numbers)) < count:
                    task(number, memory[worker])
        except BaseException as error:  # a worker lives on; the caller raises
            raised.append(error)

    threads.run(work, range(workers), lambda: False, lambda: raised.append(KeyboardInterrupt()))
    if raised:
        raise raised[0]


def aligned(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """An empty array that begins with a cache line."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    begin = -address(memory) % CACHE_LINE
    return memory[begin : begin + size].view(dtype).reshape(shape)


def address(array: Array) -> int:
    start: int = array.__array_interface__["data"][0]
    return start


def _call(kernel: Callable[[int], None], names: tuple[str, ...], fields: dict[str, int], kept: object) -> Call:
    template = array("q", [fields.get(name, 0) for name in names])
    return Call(kernel, template, {name: place for place, name in enumerate(names)}, kept)


@functools.cache
def _compiled(isa: str, dtype: str, apart: bool) -> dict[str, Callable[[int], None]]:
    element, target = ELEMENTS[dtype], target_of(isa)
    texts = {
        "pack": kernels.pack(element, target),
        "unpack": kernels.unpack(element, target),
        "forward": kernels.transform(element, target, backward=False),
        "backward": kernels.transform(element, target, backward=True),
        "multiply": kernels.multiply(element, target, apart),
        "accumulate": kernels.accumulate(element, target, apart),
    }
    return {name: jit.compile_kernel(name, text, target).call for name, text in texts.items()}
