"""Text of the data kernel: out[m, q] = sum over channels c and taps t of w[m, c, t] * panel[c, q + shift(t)].

It serves forward and input gradient, any rank up to three, any stride, dilation and padding: all of these are
numbers in its argument record, so a geometry compiles nothing. Items (images x group x tile of outputs) are drawn
from an atomic counter until none is left. For each item

    pack      the input that the tile reads, zero-padded and split into stride phases, into a panel
    products  register tiles of outputs over all taps of a block of channels, accumulated in a buffer
    unpack    the rows of the buffer that are outputs; positions between rows are thrown away

Where the outputs of a tile lie behind each other in memory (as with one tap), they are added up where they belong.

The order in which an output's terms are added (channels, then taps) does not depend on where its tile lies.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, DECLARE_PREFETCH, Function, Value, declare_fma, declare_masked
from ...jit.targets import Target
from .record import Record, tile_at

NAME = "convgrad_data"


def text(element: str, target: Target) -> str:
    """The whole module for "float" or "double" on one ISA."""
    size = 4 if element == "float" else 8
    lanes = target.vector_bytes // size
    vector = f"<{lanes} x {element}>"
    parts = [f"; {NAME}: {element}, {target.name}, {lanes} lanes\n", CYCLE_COUNTER]
    parts += [declare_fma(vector)] if target.fma else []
    parts += [DECLARE_PREFETCH, *([declare_masked(vector)] if target.masks else [])]
    for rows, widths in tile_shapes(target).items():
        parts += [_products(element, vector, rows, vectors, target).text() for vectors in widths]
    for taps, widths in slide_shapes(target).items():
        parts += [_slide(element, vector, taps, vectors, target.fma).text() for vectors in widths]
    parts += [copy_row(element, vector, target.masks).text(), pack(element).text(), _unpack(element).text()]
    parts.append(_driver(element, lanes, target).text())
    return "\n".join(parts)


def tile_shapes(target: Target) -> dict[int, tuple[int, ...]]:
    """Vectors of the register tiles, for each number of rows; largest first."""
    if target.registers >= 32:
        # 6 x 4 accumulators + 4 loads + 1 broadcast of 32 registers; few rows need many vectors to hide the latency
        return {6: (4, 2, 1), 4: (4, 2, 1), 2: (8, 4, 1), 1: (12, 4, 1)}
    # 6 x 2 accumulators + 2 loads + 1 broadcast of 16
    return {6: (2, 1), 4: (2, 1), 2: (5, 2, 1), 1: (8, 2, 1)}


def works_in_place(target: Target) -> bool:
    """Whether a tile touches nothing behind its last output, so that it needs no buffer of its own."""
    return target.masks and target.registers >= 32  # there, masks have registers of their own


def slide_shapes(target: Target) -> dict[int, tuple[int, ...]]:
    """Vectors that slide down an image at a time, for each number of taps along it that has such a kernel."""
    # taps x vectors accumulators + vectors loads + 1 broadcast of 32 registers
    return {3: (4, 2), 5: (4, 2), 7: (2,)} if works_in_place(target) else {}


def _slide(element: str, vector: str, taps: int, vectors: int, fused: bool) -> Function:
    """Outputs of one channel from one, `taps` rows of them at a time: each input row is loaded for all of them.

    Output row i adds the taps of its rows in order, as `_products` does; the first is finished with every input row.
    """
    f = Function(
        f"slide_{taps}x{vectors}",
        "ptr panel, ptr w, ptr y, i64 pitch, i64 y_pitch, i64 rows, i64 present, i64 width, i64 step",
        internal=True,
    )
    lanes = int(vector[1:].split(" ")[0])
    masks = [f.first_lanes(f.arg("present") - j * lanes, vector) for j in range(vectors)]
    zero = f.zero(vector)
    every = [zero] * (taps * vectors)
    with f.loop("row", 0, f.arg("rows") + (taps - 1), carried=every) as row:
        source = f.at(f.arg("panel"), element, row.index * f.arg("pitch"))
        with f.loop("tap", 0, f.arg("width"), carried=row.carried) as tap:
            at = f.at(source, element, tap.index * f.arg("step"))
            xs = [f.load(vector, f.at(at, element, j * lanes)) for j in range(vectors)]
            sums = list(tap.carried)
            for k in range(taps):
                place = f.arg("width") * k + tap.index
                weight = f.splat(f.load(element, f.at(f.arg("w"), element, place)), vector)
                for j in range(vectors):
                    i = (taps - 1 - k) * vectors + j
                    sums[i] = f.fma(weight, xs[j], sums[i], fused)
            tap.next = sums
        finished = row.index - (taps - 1)
        with f.when(finished >= 0, "finished"):
            to = f.at(f.arg("y"), element, finished * f.arg("y_pitch"))
            for j, mask in enumerate(masks):
                f.store_masked(tap.carried[j], f.at(to, element, j * lanes), mask)
        row.next = [*tap.carried[vectors:], *[zero] * vectors]
    return f


def _products(element: str, vector: str, rows: int, vectors: int, target: Target) -> Function:
    """Add `terms`, a channel and a tap each, to rows x vectors outputs; of the last vector, to its `present` lanes."""
    f = Function(
        f"products_{rows}x{vectors}",
        "ptr panel, ptr w, ptr buffer, ptr shifts, ptr places, i64 terms, i64 w_row, i64 out_row, i64 present, "
        "i1 first",
        internal=True,
    )
    lanes = int(vector[1:].split(" ")[0])
    tile = [(i, j) for i in range(rows) for j in range(vectors)]
    places = [f.at(f.arg("buffer"), element, f.arg("out_row") * i + j * lanes) for i, j in tile]
    mask = f.first_lanes(f.arg("present"), vector) if works_in_place(target) else None

    def load(place: Value, j: int) -> Value:
        return f.load_masked(vector, place, mask) if mask and j == vectors - 1 else f.load(vector, place)

    zero = f.zero(vector)
    start = [f.select(f.arg("first"), zero, load(place, j)) for place, (_, j) in zip(places, tile, strict=True)]
    w_rows = [f.at(f.arg("w"), element, f.arg("w_row") * i) for i in range(rows)]
    with f.loop("term", 0, f.arg("terms"), carried=start) as term:
        at = f.at(f.arg("panel"), element, f.load_index(f.at(f.arg("shifts"), "i32", term.index)))
        place = f.load_index(f.at(f.arg("places"), "i32", term.index))
        xs = [load(f.at(at, element, j * lanes), j) for j in range(vectors)]
        sums = list(term.carried)
        for i, row in enumerate(w_rows):
            weight = f.splat(f.load(element, f.at(row, element, place)), vector)
            for j in range(vectors):
                k = i * vectors + j
                sums[k] = f.fma(weight, xs[j], sums[k], target.fma)
        term.next = sums
    for place, total, (_, j) in zip(places, term.carried, tile, strict=True):
        if mask and j == vectors - 1:
            f.store_masked(total, place, mask)
        else:
            f.store(total, place)
    return f


def copy_row(element: str, vector: str, masks: bool) -> Function:
    """to[0 : count*step_to : step_to] = from[0 : count*step_from : step_from]; what lies `ahead` is read next."""
    f = Function("copy_row", "ptr to, ptr from, i64 count, i64 step_to, i64 step_from, i64 ahead", internal=True)
    lanes = int(vector[1:].split(" ")[0])
    count, to, source = f.arg("count"), f.arg("to"), f.arg("from")
    dense = f.arg("step_to").equals(1) & f.arg("step_from").equals(1)
    stop = f.select(dense, count - (lanes - 1), 0)
    with f.loop("whole", 0, stop, lanes) as part:
        place = f.at(source, element, part.index)
        f.prefetch(f.at(place, element, f.arg("ahead")))
        f.store(f.load(vector, place), f.at(to, element, part.index))
    done = part.index
    if masks:
        with f.when(dense, "tail"):
            rest = f.first_lanes(count - done, vector)
            f.store_masked(f.load_masked(vector, f.at(source, element, done), rest), f.at(to, element, done), rest)
        done = f.select(dense, count, done)
    # every second number, as a stride of two reads: the last of two vectors must not lie past the row
    second = f.arg("step_to").equals(1) & f.arg("step_from").equals(2)
    with f.loop("second", done, f.select(second, count - lanes, f.i64(0)), lanes) as part:
        place = f.at(source, element, part.index * 2)
        for half in range(2):
            f.prefetch(f.at(place, element, f.arg("ahead") + half * lanes))
        pair = f.load(vector, place), f.load(vector, f.at(place, element, lanes))
        f.store(f.shuffle(*pair, range(0, 2 * lanes, 2)), f.at(to, element, part.index))
    done = part.index
    with f.loop("single", done, count) as part:
        value = f.load(element, f.at(source, element, part.index * f.arg("step_from")))
        f.store(value, f.at(to, element, part.index * f.arg("step_to")))
    return f


def pack(element: str) -> Function:
    """Copy what one tile of one image reads into its panel: channels x phases x rows, padding as zeros."""
    f = Function(
        "pack", "ptr record, ptr x, ptr panel, i64 channels, i64 od, i64 oh, i64 ow, i64 nd, i64 nh, i64 nw", True
    )
    r = Record(f, f.arg("record"))
    zero = f.zero(element)
    with f.loop("phase", 0, r["phase_count"]) as phase:
        residue = f.at(r["phases"], "i64", phase.index * 3)
        at = {a: f.load("i64", f.at(residue, "i64", k)) - r[f"before_{a}"] for k, a in enumerate("dhw")}
        # columns [low, high) of the panel lie inside the input
        width = f.arg("nw")
        low = clamp(f, ceil_div(f, at["w"] * -1, r["stride_w"]) - f.arg("ow"), f.i64(0), width)
        high = clamp(f, ceil_div(f, r["in_w"] - at["w"], r["stride_w"]) - f.arg("ow"), low, width)
        column = (f.arg("ow") + low) * r["stride_w"] + at["w"]
        with f.loop("channel", 0, f.arg("channels")) as channel:
            plane = channel.index * r["panel_size"] + phase.index * r["plane"]
            with f.loop("d", 0, f.arg("nd")) as d:
                i_d = (f.arg("od") + d.index) * r["stride_d"] + at["d"]
                d_inside = (i_d >= 0) & (i_d < r["in_d"])
                with f.loop("h", 0, f.arg("nh")) as h:
                    i_h = (f.arg("oh") + h.index) * r["stride_h"] + at["h"]
                    inside = d_inside & (i_h >= 0) & (i_h < r["in_h"])
                    begin, end = f.select(inside, low, f.i64(0)), f.select(inside, high, f.i64(0))
                    to = f.at(f.arg("panel"), element, plane + (d.index * r["panel_h"] + h.index) * r["panel_w"])
                    offset = channel.index * r["x_c"] + i_d * r["x_d"] + i_h * r["x_h"] + column * r["x_w"]
                    source = f.at(f.arg("x"), element, offset)
                    with f.loop("left", 0, begin) as j:
                        f.store(zero, f.at(to, element, j.index))
                    f.call(
                        *("copy_row", f.at(to, element, begin), source),
                        *(end - begin, f.i64(1), r["stride_w"] * r["x_w"], r["x_c"]),
                    )
                    with f.loop("right", end, width) as j:
                        f.store(zero, f.at(to, element, j.index))
    return f


def _unpack(element: str) -> Function:
    """Copy the outputs of one tile of one image from the buffer to where they belong."""
    f = Function("unpack", "ptr record, ptr buffer, ptr y, i64 nd, i64 nh, i64 nw", True)
    r = Record(f, f.arg("record"))
    pitch_d = r["panel_h"] * r["panel_w"]
    with f.loop("row", 0, r["rows"]) as row, f.loop("d", 0, f.arg("nd")) as d, f.loop("h", 0, f.arg("nh")) as h:
        source = row.index * r["out_row"] + d.index * pitch_d + h.index * r["panel_w"]
        to = row.index * r["y_c"] + d.index * r["y_d"] + h.index * r["y_h"]
        f.call(
            "copy_row",
            f.at(f.arg("y"), element, to),
            f.at(f.arg("buffer"), element, source),
            f.arg("nw"),
            r["y_w"],
            f.i64(1),
            f.i64(0),
        )
    return f


def _driver(element: str, lanes: int, target: Target) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    with f.drain(r["counter"], r["items"]) as item:
        tiles = r["tiles_d"] * r["tiles_h"] * r["tiles_w"]
        tile, rest = item % tiles, item // tiles
        group, n0 = rest % r["groups"], rest // r["groups"] * r["together"]
        images = f.smaller(r["images"] - n0, r["together"])
        o, extent = tile_at(f, r, tile)
        read = {a: extent[a] + r[f"reach_{a}"] for a in "dhw"}  # panel positions that the tile reads, per phase
        length = (extent["d"] - 1) * r["panel_h"] * r["panel_w"] + (extent["h"] - 1) * r["panel_w"] + extent["w"]
        x = f.at(r["x"], element, n0 * r["x_n"] + group * r["channels"] * r["x_c"])
        w = f.at(r["w"], element, group * r["w_group"])
        y_at = n0 * r["y_n"] + group * r["rows"] * r["y_c"]
        y_at = y_at + o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"]
        y = f.at(r["y"], element, y_at)
        joined = r["runs_apart"].equals(0)
        runs, length = f.select(joined, 1, images), f.select(joined, images * r["plane"], length)
        buffered = r["in_place"].equals(0)
        buffers = f.select(buffered, f.at(r["scratch"], element, r["buffer_at"]), y)

        with f.loop("block", 0, r["channels"], r["channels_together"]) as block:
            channels = f.smaller(r["channels"] - block.index, r["channels_together"])
            first = block.index.equals(0)
            with f.loop("pack_image", 0, images) as n:
                f.call(
                    "pack",
                    f.arg("record"),
                    f.at(x, element, n.index * r["x_n"] + block.index * r["x_c"]),
                    f.at(r["scratch"], element, n.index * r["image_panel"]),
                    *(channels, o["d"], o["h"], o["w"], read["d"], read["h"], read["w"]),
                )
            w_block = f.at(w, element, block.index * r["w_channel"])
            done = f.i64(0)
            # the place of the first tap at the first of the rows, which slide down or up
            turn = r["slide_turn"]
            up = (turn - 1) // -2
            read_from = f.load_index(r["shifts"]) + up * (extent["h"] - 1) * r["panel_w"]
            write_to = up * (extent["h"] - 1) * r["y_h"]
            for taps, widths in slide_shapes(target).items():
                alone = f.select(r["slides"].equals(taps), images, f.i64(0))
                with f.loop(f"slide_{taps}", 0, alone) as n:
                    past = f.i64(0)
                    for vectors in widths:
                        wide = vectors * lanes
                        stop = extent["w"] - (wide - lanes) if vectors > widths[-1] else extent["w"]
                        with f.loop(f"slide_{taps}x{vectors}", past, stop, wide) as q:
                            f.call(
                                f"slide_{taps}x{vectors}",
                                f.at(r["scratch"], element, n.index * r["image_panel"] + read_from + q.index),
                                w_block,
                                f.at(y, element, n.index * r["y_n"] + write_to + q.index),
                                *(r["panel_w"] * turn, r["y_h"] * turn, extent["h"]),
                                *(extent["w"] - q.index, r["taps"] // taps, r["slide_step"]),
                            )
                        past = q.index
            products = f.select(r["slides"].equals(0), r["rows"], f.i64(0))
            for rows, widths in tile_shapes(target).items():
                with f.loop(f"rows_{rows}", done, products - (rows - 1), rows) as row:
                    w_rows = f.at(w_block, element, row.index * r["w_row"])
                    with f.loop("run", 0, runs) as n:
                        panel = f.at(r["scratch"], element, n.index * r["image_panel"])
                        buffer = f.at(buffers, element, n.index * r["out_image"] + row.index * r["out_row"])
                        past = f.i64(0)
                        for vectors in widths:
                            wide = vectors * lanes
                            # the last vector may reach past the tile: panel and buffer have room, or it is masked
                            stop = length - (wide - lanes) if vectors > 1 else length
                            with f.loop(f"run_{rows}x{vectors}", past, stop, wide) as q:
                                present = length - q.index - (wide - lanes)
                                f.call(
                                    f"products_{rows}x{vectors}",
                                    *(f.at(panel, element, q.index), w_rows, f.at(buffer, element, q.index)),
                                    *(r["shifts"], r["places"], channels * r["taps"]),
                                    *(r["w_row"], r["out_row"], present, first),
                                )
                            past = q.index
                done = row.index
        with f.when(buffered, "buffered"), f.loop("unpack_image", 0, images) as n:
            f.call(
                "unpack",
                *(
                    f.arg("record"),
                    f.at(buffers, element, n.index * r["out_image"]),
                    f.at(y, element, n.index * r["y_n"]),
                ),
                *(extent["d"], extent["h"], extent["w"]),
            )
    return f


def clamp(f: Function, value: Value, low: Value, high: Value) -> Value:
    return f.smaller(f.larger(value, low), high)


def ceil_div(f: Function, a: Value, b: Value) -> Value:
    """ceil(a / b) for b > 0, whatever the sign of a."""
    quotient, rest = a // b, a % b  # rounded towards zero
    return f.select(f.i64(0) < rest, quotient + 1, quotient)
