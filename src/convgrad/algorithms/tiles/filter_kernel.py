"""Text of the kernel that packs weights for `data_kernel`: tiles of 16 rows x 32 channels, for each tap and part.

Tiles A; `by_rows` tiles B, of 16 pairs of channels x 16 rows.

Items (group x 16 rows) are drawn from an atomic counter. Tiles of a row block lie one behind the other in the order in
which the products read them: blocks of channels, taps, parts. Missing rows and channels are zeros.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, Function
from ..shifted.record import Record
from .instructions import (
    DECLARATIONS,
    DEPTH,
    FLOATS,
    SIDE,
    TILE_BYTES,
    load_extremes,
    no_extremes,
    raise_flag_if_strange,
    see,
    split_pairs,
    split_row,
    store_extremes,
)
from .layout import STEP
from .sources import DECLARATIONS as OF_ARRAYS
from .sources import Source, lanes_apart

NAME = "convgrad_tiles_filter"


def text(source: Source, by_rows: bool = False) -> str:
    """The whole module for arrays of a source."""
    head = f"; {NAME}: {source.dtype}, {source}\n{CYCLE_COUNTER}{DECLARATIONS}{OF_ARRAYS}"
    return "\n".join([head, _driver(source, by_rows).text()])


def _driver(source: Source, by_rows: bool) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    parts, element = source.parts, source.element
    extremes = f.at(r["scratch"], "i32", r["extremes_at"])
    blocks = (r["channels"] + (DEPTH - 1)) // DEPTH
    row_blocks = (r["rows"] + (STEP - 1)) // STEP * 2
    apart = lanes_apart(f, r["w_row"] if by_rows else r["w_channel"])
    with f.drain(r["counter"], r["items"]) as item:
        group, m0 = item // row_blocks, item % row_blocks * SIDE
        rows = f.larger(f.smaller(r["rows"] - m0, SIDE), f.i64(0))
        no_extremes(f, extremes)
        with f.loop("block", 0, blocks) as block, f.loop("row", 0, SIDE) as row:
            channels = r["channels"] - block.index * DEPTH
            if by_rows:  # a row of the tile: two channels of 16 rows of the weight
                counts = [f.select(row.index * 2 + k < channels, rows, f.i64(0)) for k in range(2)]
                at, beyond = row.index * 2 * r["w_channel"], r["w_channel"]
            else:
                present = f.select(row.index < rows, channels, f.i64(0))
                counts = [present - SIDE * half for half in range(2)]
                at, beyond = row.index * r["w_row"], r["w_channel"] * SIDE
            masks = [f.first_lanes(count, FLOATS) for count in counts]
            at = at + group * r["w_group"] + m0 * r["w_row"] + block.index * DEPTH * r["w_channel"]
            first = f.at(r["w"], element, at)
            to = (item * blocks + block.index) * r["taps"] * (parts * TILE_BYTES) + row.index * 64
            with f.loop("tap", 0, r["taps"], carried=load_extremes(f, extremes)) as tap:
                place = f.load_index(f.at(r["places"], "i32", tap.index))
                seen, numbers = tap.carried, []
                for half, mask in enumerate(masks):
                    begin = f.at(first, element, beyond * half + place)
                    numbers.append(source.gather(f, begin, apart, mask))
                    seen = see(f, seen, numbers[-1])
                there = f.at(r["y"], "i8", to + tap.index * (parts * TILE_BYTES))
                for part, halves in enumerate((split_pairs if by_rows else split_row)(f, numbers, parts)):
                    f.store(halves, f.at(there, "i8", part * TILE_BYTES))
                tap.next = seen
            store_extremes(f, tap.carried, extremes)
        raise_flag_if_strange(f, extremes, (source.lowest, source.highest), r["flags"])
    return f
