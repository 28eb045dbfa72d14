"""Text of the outer kernel: gw[m, c, t] = sum over images and positions q of gy[m, q] * panel[c, q + shift(t)].

Each position adds an outer product, a column of gy times the inputs that the taps read there. Vectors run along the
output channels m, so no accumulator is ever summed across its lanes, and only real positions are visited;
`weight_kernel` computes the same for geometries with few output channels. Items (group x block of output channels x
block of input channels x range of tiles) are drawn from an atomic counter. For each tile of an item

    pack      the input into a panel, as for the data kernel, but not where nothing is padded; gy turned, so that its
              channels lie beside each other
    products  register tiles of (vectors of m) x (columns: a channel and a tap each) over all positions of the tile
    add       each accumulator to a compensated total: digits do not get lost as tiles add up

Whoever finishes the last range of a block adds the totals of its ranges in order and turns them into rows of gw. So
the order of every sum is fixed by the geometry, never by the threads.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, DECLARE_PREFETCH, Function, Value, declare_fma, declare_masked
from ...jit.targets import Target
from .data_kernel import copy_row, pack
from .record import Record, tile_at

NAME = "convgrad_outer"


def text(element: str, target: Target) -> str:
    """The whole module for "float" or "double" on one ISA."""
    lanes = target.vector_bytes // (4 if element == "float" else 8)
    vector = f"<{lanes} x {element}>"
    parts = [f"; {NAME}: {element}, {target.name}, {lanes} lanes\n", CYCLE_COUNTER]
    parts += [declare_fma(vector)] if target.fma else []
    parts += [DECLARE_PREFETCH, *([declare_masked(vector)] if target.masks else [])]
    for vectors, widths in tile_shapes(target).items():
        parts += [_products(element, vector, vectors, columns, target.fma).text() for columns in widths]
    parts += [copy_row(element, vector, target.masks).text(), pack(element).text()]
    parts += [turn(element, lanes).text(), _turn_gradient(element, lanes).text(), settle(element, lanes).text()]
    parts.append(_driver(element, lanes, target).text())
    return "\n".join(parts)


def tile_shapes(target: Target) -> dict[int, tuple[int, ...]]:
    """Columns of the register tiles, for each number of vectors; largest first."""
    # 4 x 6 accumulators + 4 loads + 1 broadcast of 32 registers; 2 x 6 + 2 + 1 of 16
    if target.registers >= 32:
        return {4: (6, 3, 1), 2: (8, 3, 1), 1: (8, 3, 1)}
    return {2: (6, 3, 1), 1: (8, 3, 1)}


def _products(element: str, vector: str, vectors: int, columns: int, fused: bool) -> Function:
    """Add one tile's sums to vectors x columns compensated totals."""
    f = Function(
        f"products_{vectors}x{columns}",
        "ptr gy, ptr panel, ptr totals, ptr lost, ptr shifts, ptr positions, i64 count, i64 gy_pitch, i64 total_pitch, "
        "i1 first",
        internal=True,
    )
    lanes = _lanes(vector)
    sources = [f.at(f.arg("panel"), element, f.load("i64", f.at(f.arg("shifts"), "i64", j))) for j in range(columns)]
    with f.loop("q", 0, f.arg("count"), carried=[f.zero(vector)] * (vectors * columns)) as q:
        row = f.at(f.arg("gy"), element, q.index * f.arg("gy_pitch"))
        gs = [f.load(vector, f.at(row, element, i * lanes)) for i in range(vectors)]
        offset = f.load("i64", f.at(f.arg("positions"), "i64", q.index))
        sums = list(q.carried)
        for j, source in enumerate(sources):
            x = f.splat(f.load(element, f.at(source, element, offset)), vector)
            for i in range(vectors):
                k = j * vectors + i
                sums[k] = f.fma(gs[i], x, sums[k], fused)
        q.next = sums
    for k, found in enumerate(q.carried):
        place = f.arg("total_pitch") * (k // vectors) + k % vectors * lanes
        at, lost_at = f.at(f.arg("totals"), element, place), f.at(f.arg("lost"), element, place)
        zero = f.zero(vector)
        total, lost = (f.select(f.arg("first"), zero, f.load(vector, address)) for address in (at, lost_at))
        total, lost = add_compensated(total, lost, found)
        f.store(total, at)
        f.store(lost, lost_at)
    return f


def add_compensated(total: Value, lost: Value, term: Value) -> tuple[Value, Value]:
    """total + term, with what rounding takes kept in `lost` (Knuth's TwoSum)."""
    s = total + term
    arrived = s - total
    return s, lost + ((total - (s - arrived)) + (term - arrived))


def turn(element: str, lanes: int) -> Function:
    """to[j, i] = from[i, j] for i, j < lanes; rows lie a pitch apart."""
    f = Function("turn", "ptr to, ptr from, i64 to_pitch, i64 from_pitch", internal=True)
    vector = f"<{lanes} x {element}>"
    rows = [f.load(vector, f.at(f.arg("from"), element, f.arg("from_pitch") * i)) for i in range(lanes)]
    step = 1
    while step < lanes:
        # rows i and i + step exchange the lanes that differ in the same bit
        low = [lane if not lane & step else lanes + lane - step for lane in range(lanes)]
        high = [lane + step if not lane & step else lanes + lane for lane in range(lanes)]
        for i in range(lanes):
            if not i & step:
                a, b = rows[i], rows[i + step]
                rows[i], rows[i + step] = f.shuffle(a, b, low), f.shuffle(a, b, high)
        step *= 2
    for i, row in enumerate(rows):
        f.store(row, f.at(f.arg("to"), element, f.arg("to_pitch") * i))
    return f


def _turn_gradient(element: str, lanes: int) -> Function:
    """Copy one tile of gy of one image: to[block, q, m], blocks of four vectors of rows, missing rows as zeros."""
    f = Function(
        "turn_gradient", "ptr record, ptr gy, ptr to, ptr temp, i64 rows, i64 nd, i64 nh, i64 nw", internal=True
    )
    r = Record(f, f.arg("record"))
    vector = f"<{lanes} x {element}>"
    count = f.arg("nd") * f.arg("nh") * f.arg("nw")
    # rows of the tile that lie behind each other are one row
    joined = r["y_w"].equals(1) & r["y_h"].equals(f.arg("nw"))
    joined = joined & (r["y_d"].equals(f.arg("nh") * f.arg("nw")) | f.arg("nd").equals(1))
    nd, nh = (f.select(joined, 1, f.arg(name)) for name in ("nd", "nh"))
    nw = f.select(joined, count, f.arg("nw"))
    pitch, gy_pitch, four = r["temp_pitch"], r["gy_pitch"], 4 * lanes
    with f.loop("m", 0, f.arg("rows"), lanes) as m:
        source = f.at(f.arg("gy"), element, m.index * r["y_c"])
        place = m.index // four * (r["run"] * gy_pitch) + m.index % four
        to = f.at(f.arg("to"), element, place)
        present = f.smaller(f.arg("rows") - m.index, lanes)
        whole = f.select(joined & present.equals(lanes), count // lanes * lanes, 0)
        with f.loop("in_place", 0, whole, lanes) as q:
            f.call("turn", f.at(to, element, q.index * gy_pitch), f.at(source, element, q.index), gy_pitch, r["y_c"])
        with f.loop("row", 0, present) as row, f.loop("d", 0, nd) as d, f.loop("h", 0, nh) as h:
            f.call(
                "copy_row",
                f.at(f.arg("temp"), element, row.index * pitch + (d.index * nh + h.index) * nw),
                f.at(source, element, row.index * r["y_c"] + d.index * r["y_d"] + h.index * r["y_h"] + whole),
                *(nw - whole, f.i64(1), r["y_w"], r["y_c"]),
            )
        with f.loop("missing", present, lanes) as row, f.loop("clear", 0, count, lanes) as q:
            f.store(f.zero(vector), f.at(f.arg("temp"), element, row.index * pitch + q.index))
        with f.loop("rest", whole, count, lanes) as q:
            turned, rest = f.at(to, element, q.index * gy_pitch), f.at(f.arg("temp"), element, q.index - whole)
            f.call("turn", turned, rest, gy_pitch, pitch)
    return f


def settle(element: str, lanes: int) -> Function:
    """Add the totals of all ranges in order; write them, turned, as rows of gw."""
    f = Function(
        "settle",
        "ptr record, ptr totals, ptr gw, ptr temp, i64 entries, i64 rows, i64 columns",
        internal=True,
    )
    r = Record(f, f.arg("record"))
    vector = f"<{lanes} x {element}>"
    turned = f.at(f.arg("temp"), element, lanes * lanes)
    with f.loop("m", 0, f.arg("rows"), lanes) as m, f.loop("column", 0, f.arg("columns"), lanes) as column:
        with f.loop("j", 0, lanes) as j:
            place = (column.index + j.index) * r["total_pitch"] + m.index
            zero = f.zero(vector)
            with f.loop("range", 0, r["ranges"], carried=[zero, zero]) as part:
                at = f.at(f.arg("totals"), element, part.index * f.arg("entries") * 2 + place)
                total, lost = add_compensated(part.carried[0], part.carried[1], f.load(vector, at))
                part.next = [total, lost + f.load(vector, f.at(at, element, f.arg("entries")))]
            total, lost = part.carried
            f.store(total + lost, f.at(f.arg("temp"), element, j.index * lanes))
        f.call("turn", turned, f.arg("temp"), f.i64(lanes), f.i64(lanes))
        width = f.smaller(f.arg("columns") - column.index, lanes)
        with f.loop("row", 0, f.smaller(f.arg("rows") - m.index, lanes)) as row:
            f.call(
                "copy_row",
                f.at(f.arg("gw"), element, (m.index + row.index) * r["w_row"] + column.index),
                f.at(turned, element, row.index * lanes),
                *(width, f.i64(1), f.i64(1), f.i64(0)),
            )
    return f


def _driver(element: str, lanes: int, target: Target) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    shapes = tile_shapes(target)
    with f.drain(r["counter"], r["items"]) as item:
        # item = ((group * row blocks + row block) * channel blocks + channel block) * ranges + range
        part, block = item % r["ranges"], item // r["ranges"]
        c0 = block % r["channel_blocks"] * r["channels_together"]
        m0 = block // r["channel_blocks"] % r["row_blocks"] * r["rows_together"]
        group = block // (r["channel_blocks"] * r["row_blocks"])
        channels = f.smaller(r["channels"] - c0, r["channels_together"])
        rows = f.smaller(r["rows"] - m0, r["rows_together"])
        columns = channels * r["taps"]
        x = f.at(r["x"], element, (group * r["channels"] + c0) * r["x_c"])
        gy = f.at(r["y"], element, (group * r["rows"] + m0) * r["y_c"])
        gw = f.at(r["w"], element, (group * r["rows"] + m0) * r["w_row"] + c0 * r["taps"])
        packed = r["in_place"].equals(0)

        # scratch: panels, gy, rows being turned, positions, and the totals if nobody else adds to them
        turned = f.at(r["scratch"], element, r["buffer_at"])
        temp = f.at(r["scratch"], element, r["temp_at"])
        positions = f.at(r["scratch"], element, r["positions_at"])
        own = f.at(r["scratch"], element, r["totals_at"])
        entries = r["column_pitch"] * r["total_pitch"]
        alone = r["ranges"].equals(1)
        of_block = f.select(alone, own, f.at(r["totals"], element, block * r["ranges"] * entries * 2))
        totals = f.at(of_block, element, part * entries * 2)
        lost = f.at(totals, element, entries)

        tiles = r["tiles_d"] * r["tiles_h"] * r["tiles_w"]
        pieces = (r["images"] + (r["together"] - 1)) // r["together"] * tiles
        begin, end = pieces * part // r["ranges"], pieces * (part + 1) // r["ranges"]
        with f.loop("piece", begin, end) as piece:
            tile, n0 = piece.index % tiles, piece.index // tiles * r["together"]
            images = f.smaller(r["images"] - n0, r["together"])
            o, extent = tile_at(f, r, tile)
            read = {a: (extent[a] - 1) * r[f"walk_{a}"] + 1 + r[f"reach_{a}"] for a in "dhw"}
            begins = [o[a] * r[f"walk_{a}"] for a in "dhw"]
            count = extent["d"] * extent["h"] * extent["w"]
            offset = o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"]
            there = n0 * r["x_n"] + o["d"] * r["step_d"] + o["h"] * r["step_h"] + o["w"] * r["step_w"]
            panel = f.select(packed, r["scratch"], f.at(x, element, there))
            with f.loop("pack_image", 0, images) as n:
                with f.when(packed, "packed"):
                    f.call(
                        "pack",
                        *(f.arg("record"), f.at(x, element, (n0 + n.index) * r["x_n"])),
                        f.at(r["scratch"], element, n.index * r["step_n"]),
                        *(channels, *begins, read["d"], read["h"], read["w"]),
                    )
                f.call(
                    "turn_gradient",
                    *(f.arg("record"), f.at(gy, element, (n0 + n.index) * r["y_n"] + offset)),
                    f.at(turned, element, n.index * count * r["gy_pitch"]),
                    *(temp, rows, extent["d"], extent["h"], extent["w"]),
                )
                with f.loop("d", 0, extent["d"]) as d, f.loop("h", 0, extent["h"]) as h:
                    line = (n.index * extent["d"] + d.index) * extent["h"] + h.index
                    there = n.index * r["step_n"] + d.index * r["step_d"] + h.index * r["step_h"]
                    with f.loop("w", 0, extent["w"]) as w:
                        f.store(there + w.index * r["step_w"], f.at(positions, "i64", line * extent["w"] + w.index))
            done = f.i64(0)
            for vectors, widths in shapes.items():
                wide = vectors * lanes
                # rows end with a part of a vector, where gy holds zeros
                stop = rows - (wide - lanes) if vectors > 1 else rows
                with f.loop(f"rows_{vectors}", done, stop, wide) as m:
                    four = 4 * lanes
                    place = m.index // four * (r["run"] * r["gy_pitch"]) + m.index % four
                    source = f.at(turned, element, place)
                    past = f.i64(0)
                    for width in widths:
                        with f.loop(f"columns_{vectors}x{width}", past, columns - (width - 1), width) as column:
                            entry = column.index * r["total_pitch"] + m.index
                            f.call(
                                f"products_{vectors}x{width}",
                                *(source, panel, f.at(totals, element, entry), f.at(lost, element, entry)),
                                *(f.at(r["shifts"], "i64", column.index), positions, images * count),
                                *(r["gy_pitch"], r["total_pitch"], piece.index.equals(begin)),
                            )
                        past = column.index
                done = m.index
        finished = f.add_atomically(f.at(r["done"], "i64", block), 1)
        with f.when(finished.equals(r["ranges"] - 1), "last"):
            f.call("settle", *(f.arg("record"), of_block, gw, temp, entries, rows, columns))
    return f


def _lanes(vector: str) -> int:
    return int(vector[1:].split(" ")[0])
