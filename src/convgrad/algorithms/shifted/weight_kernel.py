"""Text of the weight kernel: gw[m, c, t] = sum over images and positions q of gy[m, q] * panel[c, q + shift(t)].

Vectors run along positions: each accumulator holds partial sums of one entry of gw, lane by lane. Items (group x
block of input channels x range of tiles) are drawn from an atomic counter. For each tile of an item

    pack      the input into a panel, as for the data kernel, and gy into rows of the same pitch, zeros between them
    products  register tiles of (rows of gy) x (columns: a channel and a tap each) over all positions of the tile
    add       the lanes of each accumulator, and that sum to a compensated total: digits do not get lost as tiles add up

An item writes totals of its own; the caller adds the few ranges of tiles in order. So the order of every sum is fixed
by the geometry, never by the threads.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, DECLARE_PREFETCH, Function, Value, declare_fma, declare_lane_sum, declare_masked
from ...jit.targets import Target
from .data_kernel import copy_row, pack
from .record import Record, tile_at

NAME = "convgrad_weight"


def text(element: str, target: Target) -> str:
    """The whole module for "float" or "double" on one ISA."""
    lanes = target.vector_bytes // (4 if element == "float" else 8)
    vector = f"<{lanes} x {element}>"
    parts = [f"; {NAME}: {element}, {target.name}, {lanes} lanes\n", CYCLE_COUNTER, declare_lane_sum(vector)]
    parts += [declare_fma(vector)] if target.fma else []
    parts += [DECLARE_PREFETCH, *([declare_masked(vector)] if target.masks else [])]
    for rows, widths in tile_shapes(target).items():
        parts += [_products(element, vector, rows, columns, target.fma).text() for columns in widths]
    parts += [copy_row(element, vector, target.masks).text(), pack(element).text(), _pack_rows(element).text()]
    parts.append(_driver(element, vector, lanes, target).text())
    return "\n".join(parts)


def tile_shapes(target: Target) -> dict[int, tuple[int, ...]]:
    """Columns of the register tiles, for each number of rows; largest first."""
    # 4 x 6 accumulators + 6 + 1 loads of 32 registers; 2 x 4 + 4 + 1 of 16
    if target.registers >= 32:
        return {4: (6, 3, 1), 2: (8, 3, 1), 1: (12, 4, 1)}
    return {2: (5, 3, 1), 1: (8, 3, 1)}


def _products(element: str, vector: str, rows: int, columns: int, fused: bool) -> Function:
    """Add one tile's sums to rows x columns compensated totals."""
    f = Function(
        f"products_{rows}x{columns}",
        "ptr gy, ptr panel, ptr totals, ptr lost, ptr shifts, i64 images, i64 length, i64 pitch, "
        "i64 gy_image, i64 panel_image, i64 total_pitch, i1 first",
        internal=True,
    )
    lanes = int(vector[1:].split(" ")[0])
    shifts = [f.load("i64", f.at(f.arg("shifts"), "i64", j)) for j in range(columns)]
    with f.loop("image", 0, f.arg("images"), carried=[f.zero(vector)] * (rows * columns)) as image:
        gy_rows = [
            f.at(f.arg("gy"), element, image.index * f.arg("gy_image") + f.arg("pitch") * i) for i in range(rows)
        ]
        source = f.at(f.arg("panel"), element, image.index * f.arg("panel_image"))
        sources = [f.at(source, element, shift) for shift in shifts]
        with f.loop("q", 0, f.arg("length"), lanes, carried=image.carried) as q:
            xs = [f.load(vector, f.at(place, element, q.index)) for place in sources]
            sums = list(q.carried)
            for i, row in enumerate(gy_rows):
                g = f.load(vector, f.at(row, element, q.index))
                for j in range(columns):
                    sums[i * columns + j] = f.fma(g, xs[j], sums[i * columns + j], fused)
            q.next = sums
        image.next = q.carried
    for k, lanes_sum in enumerate(image.carried):
        place = f.arg("total_pitch") * (k // columns) + k % columns
        _add_compensated(f, element, f.lane_sum(lanes_sum), place)
    return f


def _add_compensated(f: Function, element: str, term: Value, place: Value) -> None:
    """total + term, with what rounding takes kept in `lost` (Knuth's TwoSum); `first` finds both empty."""
    at, lost_at = f.at(f.arg("totals"), element, place), f.at(f.arg("lost"), element, place)
    zero = f.zero(element)
    total, lost = (f.select(f.arg("first"), zero, f.load(element, address)) for address in (at, lost_at))
    s = total + term
    arrived = s - total
    error = (total - (s - arrived)) + (term - arrived)
    f.store(s, at)
    f.store(lost + error, lost_at)


def _pack_rows(element: str) -> Function:
    """Copy one tile of gy of one image: rows of the panel's pitch, zeros wherever no output stands."""
    f = Function("pack_rows", "ptr record, ptr gy, ptr to, i64 nd, i64 nh, i64 nw", internal=True)
    r = Record(f, f.arg("record"))
    zero = f.zero(element)
    with f.loop("row", 0, r["rows"]) as row:
        to = f.at(f.arg("to"), element, row.index * r["run"])
        source = f.at(f.arg("gy"), element, row.index * r["y_c"])
        with f.loop("clear", 0, r["run"]) as j:
            f.store(zero, f.at(to, element, j.index))
        with f.loop("d", 0, f.arg("nd")) as d, f.loop("h", 0, f.arg("nh")) as h:
            f.call(
                "copy_row",
                f.at(to, element, (d.index * r["panel_h"] + h.index) * r["panel_w"]),
                f.at(source, element, d.index * r["y_d"] + h.index * r["y_h"]),
                *(f.arg("nw"), f.i64(1), r["y_w"]),
            )
    return f


def _driver(element: str, vector: str, lanes: int, target: Target) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    shapes = tile_shapes(target)
    with f.drain(r["counter"], r["items"]) as item:
        # item = ((group * channel blocks) + channel block) * ranges + range
        part, rest = item % r["ranges"], item // r["ranges"]
        block, group = rest % r["channel_blocks"], rest // r["channel_blocks"]
        c0 = block * r["channels_together"]
        channels = f.smaller(r["channels"] - c0, r["channels_together"])
        columns = channels * r["taps"]
        entries = r["rows"] * r["column_pitch"]
        totals = f.at(r["totals"], element, item * entries * 2)
        lost = f.at(totals, element, entries)
        x = f.at(r["x"], element, (group * r["channels"] + c0) * r["x_c"])
        gy = f.at(r["y"], element, group * r["rows"] * r["y_c"])
        image_panel = r["channels_together"] * r["panel_size"]
        image_rows = r["rows"] * r["run"]
        gy_rows = f.at(r["scratch"], element, r["buffer_at"])

        tiles = r["tiles_d"] * r["tiles_h"] * r["tiles_w"]
        pieces = (r["images"] + (r["together"] - 1)) // r["together"] * tiles
        begin, end = pieces * part // r["ranges"], pieces * (part + 1) // r["ranges"]
        with f.loop("piece", begin, end) as piece:
            tile, n0 = piece.index % tiles, piece.index // tiles * r["together"]
            images = f.smaller(r["images"] - n0, r["together"])
            o, extent = tile_at(f, r, tile)
            length = (extent["d"] - 1) * r["panel_h"] * r["panel_w"] + (extent["h"] - 1) * r["panel_w"] + extent["w"]
            offset = o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"]
            with f.loop("pack_image", 0, images) as n:
                f.call(
                    "pack",
                    *(f.arg("record"), f.at(x, element, (n0 + n.index) * r["x_n"])),
                    f.at(r["scratch"], element, n.index * image_panel),
                    # whole panels, also for tiles at the edge: a stale NaN would survive its product with zero
                    *(channels, o["d"], o["h"], o["w"], r["panel_d"], r["panel_h"], r["panel_w"]),
                )
                # vectors read a little past the panel, where gy holds zeros: no stale NaN may stand there
                past = f.at(r["scratch"], element, n.index * image_panel + channels * r["panel_size"])
                with f.loop("slack", 0, r["slack"]) as k:
                    f.store(f.zero(element), f.at(past, element, k.index))
                f.call(
                    "pack_rows",
                    *(f.arg("record"), f.at(gy, element, (n0 + n.index) * r["y_n"] + offset)),
                    f.at(gy_rows, element, n.index * image_rows),
                    *(extent["d"], extent["h"], extent["w"]),
                )
            done = f.i64(0)
            for rows, widths in shapes.items():
                with f.loop(f"rows_{rows}", done, r["rows"] - (rows - 1), rows) as row:
                    past = f.i64(0)
                    for width in widths:
                        with f.loop(f"columns_{rows}x{width}", past, columns - (width - 1), width) as column:
                            place = row.index * r["column_pitch"] + column.index
                            f.call(
                                f"products_{rows}x{width}",
                                *(f.at(gy_rows, element, row.index * r["run"]), r["scratch"]),
                                *(f.at(totals, element, place), f.at(lost, element, place)),
                                *(f.at(r["shifts"], "i64", column.index), images, length, r["run"]),
                                *(image_rows, image_panel, r["column_pitch"], piece.index.equals(begin)),
                            )
                        past = column.index
                done = row.index
        with f.loop("settle", 0, entries, lanes) as k:
            at = f.at(totals, element, k.index)
            f.store(f.load(vector, at) + f.load(vector, f.at(lost, element, k.index)), at)
    return f
