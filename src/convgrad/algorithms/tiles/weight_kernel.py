"""Text of the weight kernel on tiles: gw[m, c, t] = sum over positions q of gy[m, q] * panel[c, q + shift(t)].

A tile A is 16 rows of gy x 32 positions; a tile B the same positions of 16 channels, turned, so that pairs of positions
lie beside each other: a tap is a shift along the pairs, and for odd shifts there is a copy of pairs that begin at odd
positions. So every load is aligned. Items (group x block of rows x block of channels x range of tiles) are drawn from
an atomic counter. For each tile of an item

    pack      gy as rows of halves, zeros between its rows, and the input turned, both split into parts
    products  32 rows x 32 channels, for every tap, over a few positions, so that these come from the first-level cache
    add       these sums to compensated totals: digits do not get lost as tiles add up

Whoever finishes the last range of a block adds the totals of its ranges in order. So the order of every sum is
fixed by the geometry, never by the threads.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, Function
from ..shifted.outer_kernel import add_compensated, turn
from ..shifted.record import Record, tile_at
from .instructions import (
    DECLARATIONS,
    DEPTH,
    FLOATS,
    SIDE,
    TILE_BYTES,
    add_products,
    clear_tile,
    configure,
    load_tile,
    no_extremes,
    raise_flag_if_strange,
    release,
    store_tile,
)
from .layout import STEP
from .pack import (
    STEPS,
    gradient_of_positions,
    gradient_rows,
    half_plane,
    half_row,
    panel_of_positions,
    turn_panel,
)
from .sources import DECLARATIONS as OF_ARRAYS
from .sources import Source, lanes_apart

NAME = "convgrad_tiles_weight"
CHUNK = 128


def text(source: Source, by_positions: tuple[bool, bool] = (False, False)) -> str:
    """The whole module for arrays of a source.

    by_positions: whether the channels of gy, and of x, lie beside each other.
    """
    gy_by_positions, x_by_positions = by_positions
    functions = [_products(source.products), _add_sums(source), _settle(source), turn("float", SIDE)]
    if not all(by_positions):
        functions += [*(half_row(source, kind) for kind in STEPS), half_plane(source)]
    functions += [panel_of_positions(source) if x_by_positions else turn_panel(source)]
    functions += [gradient_of_positions(source) if gy_by_positions else gradient_rows(source)]
    functions += [_driver(source, by_positions)]
    head = f"; {NAME}: {source.dtype}, {source}\n{CYCLE_COUNTER}{DECLARATIONS}{OF_ARRAYS}"
    return "\n".join([head, *(function.text() for function in functions)])


def _products(products: int) -> Function:
    """Add `steps` steps of 32 positions to the sums of 32 rows x 32 channels."""
    f = Function(
        "products",
        "ptr gy, ptr panel, ptr sums, i64 steps, i64 gy_pitch, i64 gy_part, i64 block_panel, i64 panel_part, "
        "i64 columns, i1 first",
        internal=True,
    )
    pitch, out_pitch = f.arg("gy_pitch") * 2, f.arg("columns") * 4
    tiles = [(i, j) for i in range(2) for j in range(2)]
    places = [f.at(f.arg("sums"), "float", f.arg("columns") * (SIDE * i) + SIDE * j) for i, j in tiles]
    with f.when(f.arg("first"), "clear"):
        for i, j in tiles:
            clear_tile(f, 2 * i + j)
    again = f.value(f"xor i1 {f.arg('first').name}, true", "i1")
    with f.when(again, "again"):
        for (i, j), place in zip(tiles, places, strict=True):
            load_tile(f, 2 * i + j, place, out_pitch)
    with f.loop("step", 0, f.arg("steps")) as step:
        gy = f.at(f.arg("gy"), "i16", step.index * DEPTH)
        x = f.at(f.arg("panel"), "i8", step.index * TILE_BYTES)
        rows = [gy, f.at(gy, "i8", pitch * SIDE)]
        channels = [x, f.at(x, "i32", f.arg("block_panel"))]
        add_products(f, products, rows, pitch, f.arg("gy_part") * 4, channels, 64, f.arg("panel_part") * 4)
    for (i, j), place in zip(tiles, places, strict=True):
        store_tile(f, 2 * i + j, place, out_pitch)
    return f


def _add_sums(source: Source) -> Function:
    """Add sums to their compensated totals, their scale taken back; `first` finds these empty."""
    f = Function("add_sums", "ptr sums, ptr totals, ptr lost, i64 entries, i1 first", internal=True)
    zero = f.zero(FLOATS)
    with f.loop("vector", 0, f.arg("entries"), SIDE) as vector:
        found = source.unscaled(f, f.load(FLOATS, f.at(f.arg("sums"), "float", vector.index)))
        at, lost_at = (f.at(f.arg(name), "float", vector.index) for name in ("totals", "lost"))
        total, lost = (f.select(f.arg("first"), zero, f.load(FLOATS, address)) for address in (at, lost_at))
        total, lost = add_compensated(total, lost, found)
        f.store(total, at)
        f.store(lost, lost_at)
    return f


def _settle(source: Source) -> Function:
    """Add the totals of all ranges in order; write them to rows of gw, where the taps of a channel lie together."""
    f = Function("settle", "ptr record, ptr totals, ptr gw, i64 entries, i64 rows, i64 channels", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    apart = lanes_apart(f, r["taps"])
    columns = r["channels_together"] * r["taps"]
    with f.loop("row", 0, f.arg("rows")) as row, f.loop("tap", 0, r["taps"]) as tap:  # noqa: SIM117
        with f.loop("channel", 0, f.arg("channels"), SIDE) as channel:
            place = row.index * columns + tap.index * r["channels_together"] + channel.index
            with f.loop("range", 0, r["ranges"], carried=[f.zero(FLOATS)] * 2) as part:
                at = f.at(f.arg("totals"), "float", part.index * f.arg("entries") * 2 + place)
                total, lost = add_compensated(part.carried[0], part.carried[1], f.load(FLOATS, at))
                part.next = [total, lost + f.load(FLOATS, f.at(at, "float", f.arg("entries")))]
            total, lost = part.carried
            to = f.at(f.arg("gw"), source.element, row.index * r["w_row"] + channel.index * r["taps"] + tap.index)
            present = f.first_lanes(f.arg("channels") - channel.index, FLOATS)
            f.scatter(source.result(f, total + lost), to, apart, present)
    return f


def _driver(source: Source, by_positions: tuple[bool, bool]) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    configure(f, r["tile_config"])
    element = source.element
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
        x = f.at(r["x"], element, (group * r["channels"] + c0) * r["x_c"])
        gy = f.at(r["y"], element, (group * r["rows"] + m0) * r["y_c"])
        gw = f.at(r["w"], element, (group * r["rows"] + m0) * r["w_row"] + c0 * r["taps"])

        packed_gy = f.at(r["scratch"], "i32", r["gy_at"])
        temp = f.at(r["scratch"], "float", r["temp_at"])
        sums = f.at(r["scratch"], "float", r["sums_at"])
        columns = r["channels_together"] * r["taps"]
        entries = columns * r["rows_together"]
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
            o, extent = tile_at(f, r, tile)
            offset = o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"]
            with f.loop("pack_image", 0, images) as n:
                f.call(
                    "panel_of_positions" if by_positions[1] else "turn_panel",
                    *(f.arg("record"), f.at(x, element, (n0 + n.index) * r["x_n"])),
                    *(f.at(r["scratch"], "i32", n.index * r["image_panel"]), temp, extremes, channels),
                    # whole panels, also for tiles at the edge: a stale NaN would survive its product with zero
                    *(o["d"], o["h"], o["w"], r["panel_d"], r["panel_h"], r["panel_w"]),
                )
                f.call(
                    "gradient_of_positions" if by_positions[0] else "gradient_rows",
                    *(f.arg("record"), f.at(gy, element, (n0 + n.index) * r["y_n"] + offset)),
                    *(f.at(packed_gy, "i32", n.index * r["gy_image"]), *([temp] if by_positions[0] else []), extremes),
                    *(rows, extent["d"], extent["h"], extent["w"]),
                )
            with f.loop("row", 0, rows, STEP) as row:
                with f.loop("image", 0, images) as n, f.loop("chunk", 0, r["run"], CHUNK) as chunk:
                    steps = f.smaller(r["run"] - chunk.index, CHUNK) // DEPTH
                    first = n.index.equals(0) & chunk.index.equals(0)
                    a = f.at(packed_gy, "i32", n.index * r["gy_image"])
                    a = f.at(a, "i16", row.index * r["gy_pitch"] + chunk.index)
                    with f.loop("channel", 0, channels, STEP) as channel, f.loop("tap", 0, r["taps"]) as tap:
                        pairs = f.load("i64", f.at(r["shifts"], "i64", tap.index)) + chunk.index // 2
                        b = n.index * r["image_panel"] + channel.index // SIDE * r["block_panel"] + pairs * SIDE
                        f.call(
                            "products",
                            *(a, f.at(r["scratch"], "i32", b)),
                            f.at(sums, "float", tap.index * r["channels_together"] + channel.index),
                            *(steps, r["gy_pitch"], r["gy_part"], r["block_panel"], r["panel_part"], columns, first),
                        )
                place = row.index * columns
                f.call(
                    "add_sums",
                    *(sums, f.at(totals, "float", place), f.at(lost, "float", place)),
                    *(columns * STEP, piece.index.equals(begin)),
                )
        finished = f.add_atomically(f.at(r["done"], "i64", block), 1)
        with f.when(finished.equals(r["ranges"] - 1), "last"):
            f.call("settle", *(f.arg("record"), of_block, gw, entries, rows, channels))
    raise_flag_if_strange(f, extremes, (source.lowest, source.highest), r["flags"])
    release(f)
    return f
