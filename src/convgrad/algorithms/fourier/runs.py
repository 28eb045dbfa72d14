"""From a plan and arrays to a result: fills the kernels' records, task by task, on any number of threads."""

from __future__ import annotations

import functools
import itertools
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
from .moves import Lanes, Moves, tile_lanes, tile_moves, weight_moves
from .tiling import Tiling

CACHE_LINE = 64
ELEMENTS = {"float32": "float", "float64": "double"}


@dataclass(frozen=True, slots=True)
class Ready:
    """The tables of a plan for a batch and the strides of three arrays."""

    lanes: Lanes
    source: Moves
    other: Moves
    weight: Moves


def prepare(tiling: Tiling, batch: int, a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...]) -> Ready:
    """a, b, out: strides in elements of the arrays of the role."""
    lanes = tile_lanes(tiling, batch)
    x, w, y = {"forward": (a, b, out), "input_grad": (out, b, a), "weight_grad": (b, out, a)}[tiling.role]
    inputs, outputs = tile_moves(tiling, lanes, "input", x), tile_moves(tiling, lanes, "output", y)
    if tiling.role == "input_grad":
        return Ready(lanes, outputs, inputs, weight_moves(tiling, w))
    return Ready(lanes, inputs, outputs, weight_moves(tiling, w))


class Machinery:
    """The kernels of one call, with the constant fields of their records filled in."""

    def __init__(self, tiling: Tiling, dtype: str) -> None:
        self.tiling, self.dtype = tiling, np.dtype(dtype)
        self._call = _compiled(tiling.isa, dtype, tiling.apart)
        sizes = {f"n{axis}": length for axis, length in enumerate(tiling.lengths)}
        common = {"row_pitch": tiling.row, "pitch": tiling.pitch, **sizes}
        self._scale = np.array([1 / tiling.entries, 1, -1], dtype)
        self._tables = [(stage_table(length), twiddles(length, dtype)) for length in tiling.lengths]
        stages = {}
        for axis, (table, factors) in enumerate(self._tables):
            stages |= {f"stages{axis}": address(table), f"count{axis}": len(table)}
            stages |= {f"twiddles{axis}": address(factors)}
        scale = address(self._scale)
        self._move = _template(MOVE, common | {"scale": scale})
        self._transform = _template(TRANSFORM, common | stages)
        lines = tiling.lengths[0] * tiling.lengths[1]
        product = {"a_pitch": tiling.row, "out_pitch": tiling.row, "b_pitch": tiling.kept_row, "b_width": tiling.width}
        product |= {"outer": lines, "inner": tiling.lengths[2], "pitch": tiling.pitch}
        self._product = _template(PRODUCT, product)

    def pack(self, moves: Moves, task: int, array: Array, buffer: Array, negative: bool = False) -> None:
        """Fill the rows of `buffer` from `array`; negative: with the imaginary parts negated."""
        self._moved("pack", moves, moves.rows, task, array, buffer, turn=address(self._scale[2 if negative else 1 :]))

    def pack_row(self, moves: Moves, row: int, task: int, array: Array, buffer: Array) -> None:
        """One row of them."""
        self._moved("pack", moves, moves.rows[row : row + 1], task, array, buffer, turn=address(self._scale[1:]))

    def unpack(self, moves: Moves, task: int, array: Array, buffer: Array, flags: Array) -> None:
        """Write the rows of `buffer` to `array`; `flags` become NaN where a number is not finite."""
        self._moved("unpack", moves, moves.rows, task, array, buffer, flags=address(flags))

    def _moved(
        self, name: str, moves: Moves, rows: Array, task: int, array: Array, buffer: Array, **fields: int
    ) -> None:
        fields |= {"array": address(array), "buffer": address(buffer), "rows": address(rows)}
        fields |= {"offsets": address(moves.offsets[task]), "bounds": address(moves.bounds[task])}
        fields |= {"row_count": len(rows)} | {f"step{axis}": step for axis, step in enumerate(moves.steps)}
        self._fire(name, self._move, MOVE, fields)

    def transform(self, buffer: Array, rows: int, backward: bool = False) -> None:
        name = "backward" if backward else "forward"
        self._fire(name, self._transform, TRANSFORM, {"buffer": address(buffer), "row_count": rows})

    def multiply(self, a: Array, b: Array, out: Array, channels: int, rows: int, block: int) -> None:
        """out[m] = sum over c of a[c] * b[c, m]; block: rows of b from one run of lanes to the next."""
        fields = {"a": address(a), "b": address(b), "out": address(out)}
        fields |= {"channels": channels, "row_count": rows, "b_block": block * self.tiling.kept_row}
        self._fire("multiply", self._product, PRODUCT, fields)

    def accumulate(self, a: Array, b: Array, out: Array, lost: Array, channels: int, rows: int) -> None:
        """out[c, m] += a[m] * b[c]."""
        fields = {"a": address(a), "b": address(b), "out": address(out), "lost": address(lost)}
        self._fire("accumulate", self._product, PRODUCT, fields | {"channels": channels, "row_count": rows})

    def _fire(self, name: str, template: Array, names: tuple[str, ...], fields: dict[str, int]) -> None:
        record = template.copy()
        for field, value in fields.items():
            record[_PLACES[names][field]] = value
        self._call[name](address(record))


def run_data(m: Machinery, ready: Ready, a: Array, w: Array, out: Array, workers: int) -> Array:
    """Fill `out` with forward or input_grad; returns which images hold a number that is not finite."""
    t = m.tiling
    count = len(ready.weight.offsets)
    kept = (*t.lengths, 2, t.width)
    spectrum = aligned((count, t.weight_rows, *kept), m.dtype)

    def transform_weight(block: int, scratch: Array) -> None:
        for row in range(t.weight_rows):
            m.pack_row(ready.weight, row, block, w, scratch)
            m.transform(scratch, 1)
            lines = scratch[0].reshape(*t.lengths[:2], -1, 2, t.lanes)
            spectrum[block, row] = lines[:, :, : t.lengths[2], :, : t.width]

    flags = np.zeros((len(ready.lanes.image), 2, t.lanes), m.dtype)
    block = t.weight_rows // (t.rows if t.apart else 1)

    def compute(task: int, scratch: Array) -> None:
        unit = task // (len(flags) // t.units)
        done = scratch if t.in_place else scratch[t.inputs :]
        m.pack(ready.source, task, a, scratch)
        m.transform(scratch, t.inputs)
        for phase in range(t.results // t.rows):
            here = spectrum[unit * t.blocks, phase * t.channels :]
            m.multiply(scratch, here, done[phase * t.rows :], t.inputs, t.rows, block)
        m.transform(done, t.results, backward=True)
        m.unpack(ready.other, task, out, done, flags[task])

    share(count, transform_weight, workers, (1, t.row), m.dtype)
    share(len(flags), compute, workers, (t.scratch // t.row, t.row), m.dtype)
    return np.unique(ready.lanes.image[np.isnan(flags)])


def run_weight(m: Machinery, ready: Ready, gy: Array, x: Array, gw: Array, workers: int) -> bool:
    """Fill `gw`; returns whether it is finite."""
    t = m.tiling
    tasks = len(ready.lanes.image) // t.units
    ranges = t.ranges(tasks, m.dtype.itemsize)
    totals = aligned((t.units, ranges, 2, t.blocks * t.weight_rows, t.row), m.dtype)

    def compute(item: int, scratch: Array) -> None:
        unit, part = divmod(item, ranges)
        total, lost = totals[unit, part]
        total[...] = lost[...] = 0
        for task in range(tasks * part // ranges, tasks * (part + 1) // ranges):
            task += unit * tasks
            m.pack(ready.source, task, x, scratch)
            m.pack(ready.other, task, gy, scratch[t.inputs :], negative=True)
            m.transform(scratch, t.inputs + t.results)
            m.accumulate(scratch[t.inputs :], scratch, total, lost, t.inputs, t.results)
        total += lost

    flags = np.zeros((t.units * t.blocks, 2, t.lanes), m.dtype)

    def finish(block: int, _: Array) -> None:
        unit, place = divmod(block, t.blocks)
        rows = slice(place * t.weight_rows, (place + 1) * t.weight_rows)
        found = totals[unit, :, 0, rows]
        for part in found[1:]:
            found[0] += part
        m.transform(found[0], t.weight_rows, backward=True)
        m.unpack(ready.weight, block, gw, found[0], flags[block])

    share(t.units * ranges, compute, workers, (t.inputs + t.results, t.row), m.dtype)
    share(len(flags), finish, workers, (0, t.row), m.dtype)
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


_PLACES = {names: {name: place for place, name in enumerate(names)} for names in (MOVE, TRANSFORM, PRODUCT)}


def _template(names: tuple[str, ...], fields: dict[str, int]) -> Array:
    return np.array([fields.get(name, 0) for name in names], np.int64)


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
