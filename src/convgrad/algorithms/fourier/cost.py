"""Which transform lengths a problem gets, and how long it will take: a closed form, in cycles of one core.

Measured with AVX-512 on one core of a Xeon of 2023 at 2.6 GHz; the constants are the place to correct when the
direct kernels or these become faster.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from ...geometry import Geometry
from ...jit.targets import target_of
from .lengths import good_lengths, stages
from .split import Split, split
from .tiling import Tiling, three_axes

CYCLES_PER_SECOND = 2.6e9
# for one entry of a row, which is two vectors
PACK_CYCLES = 30
UNPACK_CYCLES = 45
STAGE_CYCLES = 5
PRODUCT_CYCLES = 6  # to read a channel and write a result
MULTIPLY_CYCLES = 6  # for each pair of them
ACCUMULATE_CYCLES = 38
OUTSIDE_CACHE = 1.7  # factor on the stages of rows that the second-level cache does not hold
CACHE_BYTES = 1 << 20
FRESH_CYCLES = 0.3  # for a byte of memory that the system clears first
WORTHWHILE = 0.98  # a longer transform is looked at where it pads so much less
# of Python: once a call, once a task, and for each row of a weight that is kept without its empty lanes
CALL_CYCLES = 200_000
TASK_CYCLES = 40_000
KEPT_ROW_CYCLES = 30_000


def choose_tiling(role: str, g: Geometry, isa: str, itemsize: int, workspace_limit: int) -> Tiling | None:
    """The cheapest tiling whose buffers fit; None where none does."""
    lanes = target_of(isa).vector_bytes // itemsize
    best: tuple[float, Tiling] | None = None
    first, second, third = (_candidates(split(axis, role)) for axis in three_axes(g))
    for splits in itertools.product(first, second, third):
        for apart in (False, True) if g.groups > 1 else (False,):
            tiling = Tiling(isa, lanes, role, g, splits, apart)
            if (tiling.scratch + tiling.shared(itemsize)) * itemsize <= workspace_limit:
                found = seconds(tiling, itemsize)
                if best is None or found < best[0]:
                    best = found, tiling
    return best[1] if best else None


def _candidates(whole: Split) -> list[Split]:
    """Good lengths, up to one tile for all, each of which pads clearly less than every shorter one."""
    found: list[Split] = []
    least = math.inf
    for length in good_lengths():
        if length < whole.taps:
            continue
        one = replace(whole, length=length)
        if one.tiles * length < WORTHWHILE * least:
            least = one.tiles * length
            found.append(one)
        if length >= whole.length:
            return found
    return found


def seconds(t: Tiling, itemsize: int) -> float:
    """One image on one thread."""
    tasks = t.units * t.tasks(1)
    inputs, results = t.inputs, t.results
    away = OUTSIDE_CACHE if t.row * itemsize > CACHE_BYTES else 1.0
    transform = STAGE_CYCLES * away * sum(len(stages(length)) for length in t.lengths)
    weights = t.units * t.blocks * t.weight_rows
    python: float = CALL_CYCLES + TASK_CYCLES * tasks
    entry = inputs * (PACK_CYCLES + transform) + results * transform
    if t.role == "weight_grad":
        entry += results * PACK_CYCLES + ACCUMULATE_CYCLES * inputs * t.rows
        once = weights * (UNPACK_CYCLES + transform)
    else:
        entry += results * UNPACK_CYCLES + PRODUCT_CYCLES * (inputs + results)
        entry += MULTIPLY_CYCLES * inputs * results
        once = weights * (PACK_CYCLES + transform)
        python += KEPT_ROW_CYCLES * weights * (t.width < t.lanes)
    fresh = FRESH_CYCLES * (t.scratch + t.shared(itemsize, t.tasks(1))) * itemsize
    return (t.entries * (tasks * entry + once) + fresh + python) / CYCLES_PER_SECOND
