"""Text of the dense kernel: the sums of `data_kernel`, with vectors along the rows m of the output.

out[m, q] = sum over channels c and taps t of w[c, t, m] * panel[c, position(q) + shift(t)]. A register tile is vectors
of rows times positions: weights are loaded as vectors, inputs one number at a time. So positions may lie anywhere, at a
stride and across rows and images, and no lane is spent on what lies between rows. It costs what `data_kernel` does not
pay: weights packed with rows beside each other, and outputs turned where they are stored.

Items (images x group x tile of outputs x range of rows) are drawn from an atomic counter. For each item

    pack      the input that the tile reads, all channels of it, as for the data kernel
    products  for each block of rows and step of channels, over all positions, accumulated in a buffer
    spread    the buffer of a block of rows, turned, to where the outputs belong

The order in which an output's terms are added (channels, then taps) is that of `data_kernel`: the bits are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...jit.ir import CYCLE_COUNTER, DECLARE_PREFETCH, Function, Value, declare_fma, declare_gather, declare_masked
from ...jit.targets import Target
from .data_kernel import copy_row, pack
from .outer_kernel import turn
from .record import Record, tile_at

NAME, FILTER = "convgrad_dense", "convgrad_dense_filter"


def text(element: str, target: Target) -> str:
    """The whole module for "float" or "double" on one ISA."""
    lanes = target.vector_bytes // (4 if element == "float" else 8)
    vector = f"<{lanes} x {element}>"
    parts = [_head(NAME, element, target, vector)]
    for vectors, widths in tile_shapes(target).items():
        parts += [_products(element, vector, vectors, positions, target.fma).text() for positions in widths]
    parts += [copy_row(element, vector, target.masks).text(), pack(element).text()]
    parts += [turn(element, lanes).text(), _pack_weights(element, lanes, target.masks).text()]
    parts += [_spread(element, lanes).text(), _driver(element, lanes, target).text()]
    return "\n".join(parts)


def filter_text(element: str, target: Target) -> str:
    """The module that packs the weights."""
    lanes = target.vector_bytes // (4 if element == "float" else 8)
    vector = f"<{lanes} x {element}>"
    parts = [_head(FILTER, element, target, vector)]
    parts += [turn(element, lanes).text(), _pack_weights(element, lanes, target.masks).text()]
    return "\n".join([*parts, _filter_driver(element).text()])


def _head(name: str, element: str, target: Target, vector: str) -> str:
    lanes = int(vector[1:].split(" ")[0])
    parts = [f"; {name}: {element}, {target.name}, {lanes} lanes\n", CYCLE_COUNTER]
    parts += [declare_fma(vector)] if target.fma else []
    parts += [DECLARE_PREFETCH, *([declare_masked(vector), declare_gather(vector)] if target.masks else [])]
    return "\n".join(parts)


def tile_shapes(target: Target) -> dict[int, tuple[int, ...]]:
    """Positions of the register tiles, for each number of vectors; largest first."""
    # 4 x 6 accumulators + 4 loads + 1 broadcast of 32 registers; 2 x 6 + 2 + 1 of 16
    if target.registers >= 32:
        return {4: (6, 3, 1), 2: (8, 1), 1: (8, 1)}
    return {2: (6, 3, 1), 1: (8, 1)}


def most_rows(target: Target, lanes: int) -> int:
    """Rows of the widest register tile."""
    return max(tile_shapes(target)) * lanes


def _products(element: str, vector: str, vectors: int, positions: int, fused: bool) -> Function:
    """Add `terms`, a channel and a tap each, to vectors x positions outputs."""
    f = Function(
        f"products_{vectors}x{positions}",
        "ptr panel, ptr w, ptr buffer, ptr shifts, ptr positions, i64 terms, i64 pitch, i1 first",
        internal=True,
    )
    lanes = int(vector[1:].split(" ")[0])
    tile = [(i, j) for j in range(positions) for i in range(vectors)]
    places = [f.at(f.arg("buffer"), element, f.arg("pitch") * j + i * lanes) for i, j in tile]
    zero = f.zero(vector)
    start = [f.select(f.arg("first"), zero, f.load(vector, place)) for place in places]
    sources = [
        f.at(f.arg("panel"), element, f.load("i64", f.at(f.arg("positions"), "i64", j))) for j in range(positions)
    ]
    with f.loop("term", 0, f.arg("terms"), carried=start) as term:
        shift = f.load_index(f.at(f.arg("shifts"), "i32", term.index))
        row = f.at(f.arg("w"), element, term.index * f.arg("pitch"))
        ws = [f.load(vector, f.at(row, element, i * lanes)) for i in range(vectors)]
        sums = list(term.carried)
        for j, source in enumerate(sources):
            x = f.splat(f.load(element, f.at(source, element, shift)), vector)
            for i in range(vectors):
                k = j * vectors + i
                sums[k] = f.fma(ws[i], x, sums[k], fused)
        term.next = sums
    for place, total in zip(places, term.carried, strict=True):
        f.store(total, place)
    return f


def _spread(element: str, lanes: int) -> Function:
    """Copy the rows of a buffer, turned, to the outputs of the tiles of some images."""
    f = Function(
        "spread", "ptr record, ptr buffer, ptr y, ptr temp, i64 rows, i64 images, i64 nd, i64 nh, i64 nw", internal=True
    )
    r = Record(f, f.arg("record"))
    pitch = r["row_pitch"]
    count = f.arg("nd") * f.arg("nh") * f.arg("nw")
    # rows of the tile that lie behind each other are one row
    joined = r["y_w"].equals(1) & r["y_h"].equals(f.arg("nw"))
    joined = joined & (r["y_d"].equals(f.arg("nh") * f.arg("nw")) | f.arg("nd").equals(1))
    nd, nh = (f.select(joined, 1, f.arg(name)) for name in ("nd", "nh"))
    nw = f.select(joined, count, f.arg("nw"))
    with f.loop("m", 0, f.arg("rows"), lanes) as m:
        present = f.smaller(f.arg("rows") - m.index, lanes)
        direct = r["y_w"].equals(1) & present.equals(lanes) & (nw >= lanes)
        with f.loop("image", 0, f.arg("images")) as n, f.loop("d", 0, nd) as d, f.loop("h", 0, nh) as h:
            line = n.index * count + (d.index * nh + h.index) * nw
            source = f.at(f.arg("buffer"), element, line * pitch + m.index)
            there = n.index * r["y_n"] + m.index * r["y_c"] + d.index * r["y_d"] + h.index * r["y_h"]
            to = f.at(f.arg("y"), element, there)
            # vectors that begin at cache lines, and one at either end that overlaps its neighbour
            size = lanes * (4 if element == "float" else 8)
            lead = f.value(f"ptrtoint ptr {to.name} to i64", "i64") % size // (size // lanes)
            with f.loop("whole", 0, f.select(direct, nw + lead, f.i64(0)), lanes) as q:
                at = f.larger(f.smaller(q.index - lead, nw - lanes), f.i64(0))
                f.call("turn", f.at(to, element, at), f.at(source, element, at * pitch), r["y_c"], pitch)
            with f.loop("part", 0, f.select(direct, f.i64(0), nw), lanes) as q:
                f.call("turn", f.arg("temp"), f.at(source, element, q.index * pitch), f.i64(lanes), pitch)
                width = f.smaller(nw - q.index, lanes)
                with f.loop("row", 0, present) as row:
                    f.call(
                        "copy_row",
                        f.at(to, element, row.index * r["y_c"] + q.index * r["y_w"]),
                        f.at(f.arg("temp"), element, row.index * lanes),
                        *(width, r["y_w"], f.i64(1), f.i64(0)),
                    )
    return f


def _driver(element: str, lanes: int, target: Target) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    pitch, taps = r["row_pitch"], r["taps"]
    with f.drain(r["counter"], r["items"]) as item:
        split, rest = item % r["row_splits"], item // r["row_splits"]
        tiles = r["tiles_d"] * r["tiles_h"] * r["tiles_w"]
        tile, rest = rest % tiles, rest // tiles
        group, n0 = rest % r["groups"], rest // r["groups"] * r["together"]
        images = f.smaller(r["images"] - n0, r["together"])
        o, extent = tile_at(f, r, tile)
        read = {a: (extent[a] - 1) * r[f"walk_{a}"] + 1 + r[f"reach_{a}"] for a in "dhw"}
        begins = [o[a] * r[f"walk_{a}"] for a in "dhw"]
        count = extent["d"] * extent["h"] * extent["w"]
        begin = split * r["rows_together"]
        end = f.smaller(begin + r["rows_together"], r["rows"])
        x = f.at(r["x"], element, n0 * r["x_n"] + group * r["channels"] * r["x_c"])
        y_at = n0 * r["y_n"] + group * r["rows"] * r["y_c"]
        y = f.at(r["y"], element, y_at + o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"])
        buffer = f.at(r["scratch"], element, r["buffer_at"])
        temp = f.at(r["scratch"], element, r["temp_at"])
        positions = f.at(r["scratch"], element, r["positions_at"])
        # packed weights, or a place in scratch memory for those of one step
        block_words = r["channels"] * taps * pitch
        blocks = (r["rows"] + (pitch - 1)) // pitch
        packed = r["own_weights"].equals(0)
        w = f.at(r["w"], element, f.select(packed, group * blocks * block_words, group * r["w_group"]))
        own = f.at(r["scratch"], element, r["weights_at"])

        with f.loop("pack_image", 0, images) as n:
            f.call(
                "pack",
                *(f.arg("record"), f.at(x, element, n.index * r["x_n"])),
                f.at(r["scratch"], element, n.index * r["image_panel"]),
                *(r["channels"], *begins, read["d"], read["h"], read["w"]),
            )
            with f.loop("d", 0, extent["d"]) as d, f.loop("h", 0, extent["h"]) as h:
                row = (n.index * extent["d"] + d.index) * extent["h"] + h.index
                plane_row = d.index * r["walk_d"] * r["panel_h"] + h.index * r["walk_h"]
                there = n.index * r["image_panel"] + plane_row * r["panel_w"]
                with f.loop("w", 0, extent["w"]) as column:
                    place = f.at(positions, "i64", row * extent["w"] + column.index)
                    f.store(there + column.index * r["walk_w"], place)
        done = begin
        for vectors, widths in tile_shapes(target).items():
            wide = vectors * lanes
            # rows end with a part of a vector, where the weights are zeros
            stop = end - (wide - lanes) if vectors > 1 else end
            with f.loop(f"rows_{vectors}", done, stop, wide) as m:
                present = f.smaller(end - m.index, wide)
                of_rows = f.select(packed, m.index // pitch * block_words + m.index % pitch, m.index * r["w_row"])
                w_rows = f.at(w, element, of_rows)
                with f.loop("step", 0, r["channels"], r["channel_step"]) as step:
                    channels = f.smaller(r["channels"] - step.index, r["channel_step"])
                    terms = channels * taps
                    panel = f.at(r["scratch"], element, step.index * r["panel_size"])
                    of_step = f.at(w_rows, element, step.index * f.select(packed, taps * pitch, r["w_channel"]))
                    w_step = f.select(packed, of_step, own)
                    with f.when(r["own_weights"].equals(1), "unpacked"):
                        f.call("pack_weights", f.arg("record"), of_step, own, present, channels)
                    follows = _strips_of_next_step(f, r, element, lanes, packed, of_step, present, channels)
                    of_item = (panel, w_step, buffer, positions, images * count, terms, step.index.equals(0))
                    _over_positions(f, r, element, lanes, vectors, widths, of_item, follows)
                f.call(
                    "spread",
                    *(f.arg("record"), buffer, f.at(y, element, m.index * r["y_c"]), temp),
                    *(present, images, extent["d"], extent["h"], extent["w"]),
                )
            done = m.index
    return f


@dataclass(frozen=True, slots=True)
class _Strips:
    """Runs of numbers that lie apart from each other."""

    begin: Value
    count: Value
    apart: Value
    length: Value


def _strips_of_next_step(
    f: Function, r: Record, element: str, lanes: int, packed: Value, w: Value, rows: Value, channels: Value
) -> _Strips:
    """What follows the weights `w` of a step: packed vectors, or rows of terms, or channels of rows of all taps."""
    terms, in_order = channels * r["taps"], r["terms_in_order"].equals(1)
    of_channels = f.select(r["w_row"].equals(r["taps"]), channels, f.i64(0))
    return _Strips(
        f.at(w, element, f.select(packed, terms * r["row_pitch"], channels * r["w_channel"])),
        f.select(packed, terms * r["row_pitch"] // lanes, f.select(in_order, rows, of_channels)),
        f.select(packed, f.i64(lanes), f.select(in_order, r["w_row"], r["w_channel"])),
        f.select(packed, f.i64(1), f.select(in_order, terms, rows * r["taps"])),
    )


def _over_positions(
    f: Function,
    r: Record,
    element: str,
    lanes: int,
    vectors: int,
    widths: tuple[int, ...],
    place: tuple[Value, ...],
    follows: _Strips,
) -> None:
    """The products of a step for all positions; meanwhile the weights of the next step come nearer."""
    panel, w, buffer, positions, count, terms, first = place
    past = asked = f.i64(0)
    for width in widths:
        share = (follows.count * width + (count - 1)) // count
        with f.loop(f"run_{vectors}x{width}", past, count - (width - 1), width, carried=[asked]) as q:
            ahead = f.smaller(q.carried[0] + share, follows.count)
            with f.loop("strip", q.carried[0], ahead) as strip:
                begin = f.at(follows.begin, element, strip.index * follows.apart)
                with f.loop("line", 0, follows.length, lanes) as line:
                    f.prefetch(f.at(begin, element, line.index))
            q.next = [ahead]
            f.call(
                f"products_{vectors}x{width}",
                *(panel, w, f.at(buffer, element, q.index * r["row_pitch"]), r["shifts"]),
                *(f.at(positions, "i64", q.index), terms, r["row_pitch"], first),
            )
        past, asked = q.index, q.carried[0]


def _pack_weights(element: str, lanes: int, gathers: bool) -> Function:
    """Pack a block of rows as [channel, tap, row], a pitch of rows; missing ones as zeros up to whole vectors."""
    f = Function("pack_weights", "ptr record, ptr w, ptr to, i64 rows, i64 channels", internal=True)
    r = Record(f, f.arg("record"))
    vector = f"<{lanes} x {element}>"
    w, to, rows, pitch, taps = f.arg("w"), f.arg("to"), f.arg("rows"), r["row_pitch"], r["taps"]
    terms, order = f.arg("channels") * taps, _in_order(f, lanes, r["w_row"])
    # all terms of a row behind each other: whole vectors of rows turned, the last terms overlapping those before
    flat = r["terms_in_order"].equals(1) & (terms >= lanes)
    whole = f.select(flat, rows // lanes * lanes, 0)
    with f.loop("flat", 0, whole, lanes) as m, f.loop("terms", 0, terms, lanes) as k:
        at = f.smaller(k.index, terms - lanes)
        source = f.at(w, element, m.index * r["w_row"] + at)
        f.call("turn", f.at(to, element, at * pitch + m.index), source, pitch, r["w_row"])
    left = f.select(whole < rows, f.arg("channels"), f.i64(0))
    with f.loop("channel", 0, left) as channel, f.loop("tap", 0, taps) as tap:
        place = f.load_index(f.at(r["places"], "i32", tap.index)) + channel.index * r["w_channel"]
        there = f.at(to, element, (channel.index * taps + tap.index) * pitch)
        with f.loop("row", whole, rows, lanes) as m:
            first = f.at(w, element, place + m.index * r["w_row"])
            if gathers:
                row = f.gather(vector, first, order, f.first_lanes(rows - m.index, vector))
                f.store(row, f.at(there, element, m.index))
            else:
                f.store(f.zero(vector), f.at(there, element, m.index))
                with f.loop("single", 0, f.smaller(rows - m.index, lanes)) as single:
                    value = f.load(element, f.at(first, element, single.index * r["w_row"]))
                    f.store(value, f.at(there, element, m.index + single.index))
    return f


def _filter_driver(element: str) -> Function:
    """Pack all weights as [group, block of rows, channel, tap, row of the block]."""
    f = Function(FILTER, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    blocks = (r["rows"] + (r["row_pitch"] - 1)) // r["row_pitch"]
    with f.drain(r["counter"], r["items"]) as item:
        group, m0 = item // blocks, item % blocks * r["row_pitch"]
        w = f.at(r["w"], element, group * r["w_group"] + m0 * r["w_row"])
        to = f.at(r["y"], element, item * r["channels"] * r["taps"] * r["row_pitch"])
        f.call("pack_weights", f.arg("record"), w, to, f.smaller(r["rows"] - m0, r["row_pitch"]), r["channels"])
    return f


def _in_order(f: Function, lanes: int, step: Value) -> Value:
    """0, step, 2 step, ... in the lanes of a vector."""
    kind = f"<{lanes} x i64>"
    numbers = Value("<" + ", ".join(f"i64 {lane}" for lane in range(lanes)) + ">", kind, f)
    return f.splat(step, kind) * numbers
