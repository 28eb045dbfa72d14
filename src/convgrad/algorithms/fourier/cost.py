"""Which transform lengths a problem gets, and how long it will take: a closed form, in cycles of one core.

Measured with AVX-512 on one core of a Xeon of 2023 at 2.6 GHz; the constants are the place to correct when the
direct kernels or these become faster.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from ...geometry import Geometry
from ...jit.targets import target_of
from .lengths import good_lengths, stages
from .split import Split
from .tiling import Tiling, three_axes

CYCLES_PER_SECOND = 2.6e9
# for one entry of a row: two vectors
PACK_CYCLES = 25
UNPACK_CYCLES = 40
STAGE_CYCLES = 4
MULTIPLY_CYCLES = 3
ACCUMULATE_CYCLES = 40
ACCUMULATE_APART_CYCLES = 20
OUTSIDE_CACHE = 2.0  # factor on stages of rows that the second-level cache does not hold
CACHE_BYTES = 1 << 20
CALL_CYCLES = 60_000  # of Python, once a call
TASK_CYCLES = 40_000  # and once a task


def choose_tiling(role: str, g: Geometry, isa: str, itemsize: int, workspace_limit: int) -> Tiling | None:
    """The cheapest tiling whose buffers fit; None where none does."""
    lanes = target_of(isa).vector_bytes // itemsize
    axes = three_axes(g)
    best: tuple[float, Tiling] | None = None
    for splits in itertools.product(*(_candidates([Split(a, role, n) for n in _lengths(a, role)]) for a in axes)):
        if math.prod(split.length for split in splits) * 2 * lanes * itemsize > workspace_limit:
            continue
        for apart in (False, True) if g.groups > 1 else (False,):
            tiling = Tiling(isa, lanes, role, g, splits, apart)
            if (tiling.scratch + tiling.shared(itemsize)) * itemsize <= workspace_limit:
                found = seconds(tiling, itemsize)
                if best is None or found < best[0]:
                    best = found, tiling
    return best[1] if best else None


def _lengths(axis, role: str) -> Iterable[int]:
    shortest = Split(axis, role, 1)
    for length in good_lengths():
        if length >= shortest.taps:
            yield length
        if length >= shortest.taps - 1 + shortest.span:
            return


def _candidates(splits: list[Split]) -> list[Split]:
    """Those that pad less than every shorter one."""
    found: list[Split] = []
    for split in splits:
        if not found or split.tiles * split.length < found[-1].tiles * found[-1].length:
            found.append(split)
    return found


def seconds(t: Tiling, itemsize: int) -> float:
    """One image on one thread."""
    tasks = t.units * t.tasks(1)
    inputs, results = t.inputs, t.results
    away = OUTSIDE_CACHE if t.row * itemsize > CACHE_BYTES else 1.0
    transform = STAGE_CYCLES * away * sum(len(stages(length)) for length in t.lengths)
    weights = t.units * t.blocks * t.weight_rows
    if t.role == "weight_grad":
        product = ACCUMULATE_APART_CYCLES if t.apart else ACCUMULATE_CYCLES
        entry = (inputs + results) * (PACK_CYCLES + transform) + product * inputs * t.rows
        once = weights * (UNPACK_CYCLES + transform)
    else:
        entry = inputs * (PACK_CYCLES + transform) + results * (UNPACK_CYCLES + transform)
        entry += MULTIPLY_CYCLES * inputs * results
        once = weights * (PACK_CYCLES + transform)
    cycles = t.entries * (tasks * entry + once) + CALL_CYCLES + TASK_CYCLES * (tasks + 1)
    return cycles / CYCLES_PER_SECOND
