"""Text of the weight kernel on tiles: gw[m, c, t] = sum over positions q of gy[m, q] * panel[c, q + shift(t)].

A tile A is 16 channels x 32 positions of the panel, where a tap is a shift along the row; a tile B the same positions
of 16 rows of gy, turned. Items (group x block of rows x block of channels x range of tiles) are drawn from an atomic
counter. For each tile of an item

    pack      the input as rows of halves, and gy as tiles B, zeros between its rows, both split into parts
    products  32 channels x 32 rows, for every tap, over a few positions, so that gy comes from the first-level cache
    add       these sums to compensated totals: digits do not get lost as tiles add up

Whoever finishes the last range of a block adds the totals of its ranges in order and turns them into rows of gw. So
the order of every sum is fixed by the geometry, never by the threads.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, Function, Value
from ...jit.targets import TILES
from ..shifted.data_kernel import copy_row
from ..shifted.outer_kernel import add_compensated, settle, turn
from ..shifted.record import Record
from .instructions import (
    DECLARATIONS,
    DEPTH,
    FLOATS,
    PARTS,
    SCALE,
    SIDE,
    TILE_BYTES,
    UNSCALE,
    add_products,
    clear_tile,
    configure,
    load_extremes,
    load_tile,
    no_extremes,
    raise_flag_if_strange,
    release,
    see,
    split_row,
    store_extremes,
    store_tile,
)
from .layout import STEP
from .pack import half_row, pack_halves

NAME = "convgrad_tiles_weight"
CHUNK = 96


def text(products: int) -> str:
    """The whole module for so many products of parts."""
    parts = PARTS[products]
    functions = [_products(products), _add_sums()]
    functions += [half_row(parts, True), half_row(parts, False), pack_halves(parts), _pack_gradient(parts)]
    functions += [copy_row("float", FLOATS, TILES.masks), turn("float", SIDE), settle("float", SIDE), _driver(parts)]
    head = f"; {NAME}: {products} products\n{CYCLE_COUNTER}{DECLARATIONS}"
    return "\n".join([head, *(function.text() for function in functions)])


def _products(products: int) -> Function:
    """Add `steps` steps of 32 positions to the sums of 32 channels x 32 rows."""
    f = Function(
        "products",
        "ptr panel, ptr gy, ptr sums, i64 steps, i64 panel_pitch, i64 panel_part, i64 gy_row, i64 gy_part, i64 taps, "
        "i1 first",
        internal=True,
    )
    pitch, out_pitch = f.arg("panel_pitch") * 2, f.arg("taps") * (STEP * 4)
    tiles = [(i, j) for i in range(2) for j in range(2)]
    places = [f.at(f.arg("sums"), "float", f.arg("taps") * (STEP * SIDE * i) + SIDE * j) for i, j in tiles]
    with f.when(f.arg("first"), "clear"):
        for i, j in tiles:
            clear_tile(f, 2 * i + j)
    again = f.value(f"xor i1 {f.arg('first').name}, true", "i1")
    with f.when(again, "again"):
        for (i, j), place in zip(tiles, places, strict=True):
            load_tile(f, 2 * i + j, place, out_pitch)
    with f.loop("step", 0, f.arg("steps")) as step:
        x = f.at(f.arg("panel"), "i16", step.index * DEPTH)
        gy = f.at(f.arg("gy"), "i8", step.index * TILE_BYTES)
        channels = [x, f.at(x, "i8", pitch * SIDE)]
        rows = [gy, f.at(gy, "i8", f.arg("gy_row"))]
        parts = f.arg("panel_part") * 2, f.arg("gy_part") * 4
        add_products(f, products, channels, pitch, parts[0], rows, 64, parts[1], fewer_loads_of_a=True)
    for (i, j), place in zip(tiles, places, strict=True):
        store_tile(f, 2 * i + j, place, out_pitch)
    return f


def _add_sums() -> Function:
    """Add the sums of 32 rows to their compensated totals, their scale taken back; `first` finds these empty."""
    f = Function("add_sums", "ptr sums, ptr totals, ptr lost, i64 columns, i64 total_pitch, i1 first", internal=True)
    unscale, zero = f.splat(f.constant(UNSCALE, "float"), FLOATS), f.zero(FLOATS)
    with f.loop("column", 0, f.arg("columns")) as column:
        for half in range(2):
            found = f.load(FLOATS, f.at(f.arg("sums"), "float", column.index * STEP + SIDE * half)) * unscale
            place = column.index * f.arg("total_pitch") + SIDE * half
            at, lost_at = f.at(f.arg("totals"), "float", place), f.at(f.arg("lost"), "float", place)
            total, lost = (f.select(f.arg("first"), zero, f.load(FLOATS, address)) for address in (at, lost_at))
            total, lost = add_compensated(total, lost, found)
            f.store(total, at)
            f.store(lost, lost_at)
    return f


def _pack_gradient(parts: int) -> Function:
    """One tile of one image of gy: tiles of 16 rows x 32 positions, zeros wherever no output stands."""
    f = Function(
        "pack_gradient",
        "ptr record, ptr gy, ptr to, ptr temp, ptr extremes, i64 rows, i64 nd, i64 nh, i64 nw",
        internal=True,
    )
    r = Record(f, f.arg("record"))
    r.load_all()
    pitch, count = r["temp_pitch"], f.arg("nd") * f.arg("nh") * f.arg("nw")
    zero, scale = f.zero(FLOATS), f.splat(f.constant(SCALE, "float"), FLOATS)
    words = f.at(f.arg("temp"), "float", pitch * SIDE)
    # positions that lie behind each other as in the panel are read where they are
    flat = r["y_w"].equals(1) & (
        f.arg("nh").equals(1) | (r["panel_w"].equals(f.arg("nw")) & r["y_h"].equals(f.arg("nw")))
    )
    plane = f.arg("nh") * f.arg("nw")
    flat = flat & (f.arg("nd").equals(1) | ((r["panel_h"] * r["panel_w"]).equals(plane) & r["y_d"].equals(plane)))

    def turn_tiles(label: str, source: Value, apart: Value, begin: Value | int, end: Value, skip: Value | int) -> None:
        """Split and turn 16 rows of `source`, which begins at position `skip`."""
        with f.loop(label, begin, end, DEPTH) as q:
            with f.loop("split", 0, SIDE, carried=load_extremes(f, f.arg("extremes"))) as row:
                line = f.at(source, "float", row.index * apart + q.index - skip)
                numbers, extremes = (
                    [f.load(FLOATS, f.at(line, "float", SIDE * k)) * scale for k in range(2)],
                    row.carried,
                )
                for vector in numbers:
                    extremes = see(f, extremes, vector)
                row.next = extremes
                for part, halves in enumerate(split_row(f, numbers, parts)):
                    f.store(halves, f.at(words, "i32", row.index * SIDE + part * SIDE * SIDE))
            store_extremes(f, row.carried, f.arg("extremes"))
            for part in range(parts):
                tile = f.at(to, "i32", q.index // 2 * SIDE)
                tile = f.at(tile, "i32", r["gy_part"] * part) if part else tile
                f.call("turn", tile, f.at(words, "i32", part * SIDE * SIDE), f.i64(SIDE), f.i64(SIDE))

    with f.loop("m", 0, r["rows_together"], SIDE) as m:
        source = f.at(f.arg("gy"), "float", m.index * r["y_c"])
        to = f.at(f.arg("to"), "i32", m.index * (r["run"] // 2))
        present = f.larger(f.smaller(f.arg("rows") - m.index, SIDE), f.i64(0))
        whole = f.select(flat & present.equals(SIDE), count // DEPTH * DEPTH, 0)
        turn_tiles("in_place", source, r["y_c"], 0, whole, 0)
        rest = r["run"] - whole
        # either whole rows from position 0 on, or one row of what is left
        some = f.compare("sgt", whole, 0)
        nd, nh = (f.select(some, 1, f.arg(name)) for name in ("nd", "nh"))
        nw = f.select(some, count - whole, f.arg("nw"))
        with f.loop("row", 0, f.select(f.compare("sgt", rest, 0), SIDE, 0)) as row:
            line = f.at(f.arg("temp"), "float", row.index * pitch)
            with f.loop("clear", 0, rest, SIDE) as q:
                f.store(zero, f.at(line, "float", q.index))
            with f.loop("d", 0, f.select(row.index < present, nd, f.i64(0))) as d, f.loop("h", 0, nh) as h:
                f.call(
                    "copy_row",
                    f.at(line, "float", (d.index * r["panel_h"] + h.index) * r["panel_w"]),
                    f.at(source, "float", row.index * r["y_c"] + d.index * r["y_d"] + h.index * r["y_h"] + whole),
                    *(nw, f.i64(1), r["y_w"]),
                )
        turn_tiles("rest", f.arg("temp"), pitch, whole, r["run"], whole)
    return f


def _driver(parts: int) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    configure(f, r["tile_config"])
    extremes = f.at(r["scratch"], "i32", r["extremes_at"])
    no_extremes(f, extremes)
    with f.drain(r["counter"], r["items"]) as item:
        # item = ((group * row blocks + row block) * channel blocks + channel block) * ranges + range
        part, block = item % r["ranges"], item // r["ranges"]
        c0 = block % r["channel_blocks"] * r["channels_together"]
        m0 = block // r["channel_blocks"] % r["row_blocks"] * r["rows_together"]
        group = block // (r["channel_blocks"] * r["row_blocks"])
        channels = f.smaller(r["channels"] - c0, r["channels_together"])
        rows = f.smaller(r["rows"] - m0, r["rows_together"])
        x = f.at(r["x"], "float", (group * r["channels"] + c0) * r["x_c"])
        gy = f.at(r["y"], "float", (group * r["rows"] + m0) * r["y_c"])
        gw = f.at(r["w"], "float", (group * r["rows"] + m0) * r["w_row"] + c0 * r["taps"])

        packed_gy = f.at(r["scratch"], "i32", r["gy_at"])
        temp = f.at(r["scratch"], "float", r["temp_at"])
        sums = f.at(r["scratch"], "float", r["sums_at"])
        entries = r["column_pitch"] * r["total_pitch"]
        alone = r["ranges"].equals(1)
        own = f.at(r["scratch"], "float", r["totals_at"])
        of_block = f.select(alone, own, f.at(r["totals"], "float", block * r["ranges"] * entries * 2))
        totals = f.at(of_block, "float", part * entries * 2)
        lost = f.at(totals, "float", entries)

        tiles = r["tiles_d"] * r["tiles_h"] * r["tiles_w"]
        pieces = (r["images"] + (r["together"] - 1)) // r["together"] * tiles
        begin, end = pieces * part // r["ranges"], pieces * (part + 1) // r["ranges"]
        with f.loop("piece", begin, end) as piece:
            tile, n0 = piece.index % tiles, piece.index // tiles * r["together"]
            images = f.smaller(r["images"] - n0, r["together"])
            o = {
                "w": tile % r["tiles_w"] * r["tile_w"],
                "h": tile // r["tiles_w"] % r["tiles_h"] * r["tile_h"],
                "d": tile // (r["tiles_w"] * r["tiles_h"]) * r["tile_d"],
            }
            extent = {a: f.smaller(r[f"out_{a}"] - o[a], r[f"tile_{a}"]) for a in "dhw"}
            offset = o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"]
            with f.loop("pack_image", 0, images) as n:
                f.call(
                    "pack_halves",
                    *(f.arg("record"), f.at(x, "float", (n0 + n.index) * r["x_n"])),
                    *(f.at(r["scratch"], "i32", n.index * r["image_panel"]), extremes, channels),
                    # whole panels, also for tiles at the edge: a stale NaN would survive its product with zero
                    *(o["d"], o["h"], o["w"], r["panel_d"], r["panel_h"], r["panel_w"]),
                )
                f.call(
                    "pack_gradient",
                    *(f.arg("record"), f.at(gy, "float", (n0 + n.index) * r["y_n"] + offset)),
                    *(f.at(packed_gy, "i32", n.index * r["gy_image"]), temp, extremes),
                    *(rows, extent["d"], extent["h"], extent["w"]),
                )
            with f.loop("row", 0, rows, STEP) as row:
                with f.loop("image", 0, images) as n, f.loop("chunk", 0, r["run"], CHUNK) as chunk:
                    steps = f.smaller(r["run"] - chunk.index, CHUNK) // DEPTH
                    first = n.index.equals(0) & chunk.index.equals(0)
                    b = n.index * r["gy_image"] + row.index * (r["run"] // 2) + chunk.index // 2 * SIDE
                    with f.loop("channel", 0, channels, STEP) as channel, f.loop("tap", 0, r["taps"]) as tap:
                        shift = f.load("i64", f.at(r["shifts"], "i64", tap.index))
                        panel = f.at(r["scratch"], "i32", n.index * r["image_panel"])
                        a = f.at(panel, "i16", channel.index * r["panel_pitch"] + chunk.index + shift)
                        f.call(
                            "products",
                            *(a, f.at(packed_gy, "i32", b)),
                            f.at(sums, "float", (channel.index * r["taps"] + tap.index) * STEP),
                            *(steps, r["panel_pitch"], r["panel_part"], r["run"] * 32, r["gy_part"], r["taps"], first),
                        )
                f.call(
                    "add_sums",
                    *(sums, f.at(totals, "float", row.index), f.at(lost, "float", row.index)),
                    *(channels * r["taps"], r["total_pitch"], piece.index.equals(begin)),
                )
        finished = f.add_atomically(f.at(r["done"], "i64", block), 1)
        with f.when(finished.equals(r["ranges"] - 1), "last"):
            f.call("settle", *(f.arg("record"), of_block, gw, temp, entries, rows, channels * r["taps"]))
    raise_flag_if_strange(f, extremes, r["flags"])
    release(f)
    return f
