"""Text of the data kernel on tiles: out[m, q] = sum over channels c and taps t of w[m, c, t] * panel[c, q + shift(t)].

Forward and input gradient, any rank up to three: the numbers of its record say which. Items (images x group x tile of
outputs x range of rows) are drawn from an atomic counter. For each item

    pack      what the tile reads, split into bfloat16 parts: pairs of channels, so that 16 of them and 16 positions
              are a tile B; a tap is a shift along the positions
    products  32 rows of weights (`filter_kernel` has made them tiles A) x 32 positions, four accumulators: the
              weights of a few channels for all positions, so that they come from the second-level cache
    unpack    the rows of the buffer that are outputs, with their scale taken back

Where the channels of the input lie beside each other, a panel has 32 of them for each position: `by_rows`. Then 16
positions are a tile A as they lie, weights are tiles B, and nothing is turned.

An output's terms are added in one order (blocks of 32 channels, taps, products of parts) wherever its tile lies and
however the arrays do.
"""

from __future__ import annotations

from ...jit.ir import CYCLE_COUNTER, Function
from ..shifted.record import Record, tile_at
from .instructions import (
    DECLARATIONS,
    DEPTH,
    FLOATS,
    PARTS,
    SIDE,
    TILE_BYTES,
    add_products,
    clear_tile,
    configure,
    no_extremes,
    raise_flag_if_strange,
    release,
    store_tile,
)
from .layout import STEP
from .pack import STEPS, pack_pairs, pack_positions, pair_row
from .sources import DECLARATIONS as OF_ARRAYS
from .sources import Source, lanes_apart

NAME = "convgrad_tiles_data"
COLUMNS = (2, 1)  # register tiles along positions, largest first


def text(source: Source, by_rows: bool = False) -> str:
    """The whole module for arrays of a source."""
    functions = [_products(source.products, columns, by_rows) for columns in COLUMNS]
    if by_rows:
        functions += [pack_positions(source), _unpack_positions(source)]
    else:
        functions += [*(pair_row(source, kind) for kind in STEPS), pack_pairs(source), _unpack(source)]
    functions += [_driver(source, by_rows)]
    head = f"; {NAME}: {source.dtype}, {source}\n{CYCLE_COUNTER}{DECLARATIONS}{OF_ARRAYS}"
    return "\n".join([head, *(function.text() for function in functions)])


def _products(products: int, columns: int, by_rows: bool) -> Function:
    """Add `blocks` blocks of 32 channels and their taps to 32 rows x `columns` tiles of outputs.

    pitch: of the sums, from one row of a tile C to the next.
    """
    f = Function(
        f"products_{columns}",
        "ptr panel, ptr w, ptr buffer, ptr sums, ptr shifts, i64 blocks, i64 taps, i64 pair_pitch, i64 w_row, "
        "i64 pitch, i1 first",
        internal=True,
    )
    parts, out_pitch = PARTS[products], f.arg("pitch") * 4
    part_pitch = f.arg("pair_pitch") * (4 * SIDE)
    tiles = [(i, j) for i in range(columns if by_rows else 2) for j in range(2 if by_rows else columns)]
    places = [f.at(f.arg("buffer"), "float", f.arg("pitch") * (SIDE * i) + SIDE * j) for i, j in tiles]
    for i, j in tiles:
        clear_tile(f, 2 * i + j)
    with f.loop("block", 0, f.arg("blocks")) as block:
        panel = f.at(f.arg("panel"), "i8", part_pitch * parts * block.index)
        w_block = f.at(f.arg("w"), "i8", f.arg("taps") * block.index * (parts * TILE_BYTES))
        with f.loop("tap", 0, f.arg("taps")) as tap:
            shift = f.load_index(f.at(f.arg("shifts"), "i32", tap.index))
            x = f.at(panel, "i32", shift * SIDE if by_rows else shift)
            w = f.at(w_block, "i8", tap.index * (parts * TILE_BYTES))
            rows = [w, f.at(w, "i8", f.arg("w_row"))]
            if by_rows:
                runs = [f.at(x, "i8", TILE_BYTES * i) for i in range(columns)]
                add_products(f, products, runs, 64, part_pitch, rows, 64, TILE_BYTES, swapped=True)
            else:
                runs = [f.at(x, "i32", SIDE * j) for j in range(columns)]
                add_products(f, products, rows, 64, TILE_BYTES, runs, f.arg("pair_pitch") * 4, part_pitch)
    # few additions to one number each: sums of a step, and then of these, round less than one long chain
    with f.when(f.arg("first"), "begin"):
        for (i, j), place in zip(tiles, places, strict=True):
            store_tile(f, 2 * i + j, place, out_pitch)
    more = f.value(f"xor i1 {f.arg('first').name}, true", "i1")
    with f.when(more, "more"):
        for (i, j), place in zip(tiles, places, strict=True):
            store_tile(f, 2 * i + j, f.arg("sums"), 64)
            with f.loop("row", 0, SIDE) as row:
                at = f.at(place, "float", row.index * f.arg("pitch"))
                f.store(f.load(FLOATS, at) + f.load(FLOATS, f.at(f.arg("sums"), "float", row.index * SIDE)), at)
    return f


def _unpack(source: Source) -> Function:
    """Copy `rows` rows of the outputs of one tile of one image from the buffer to where they belong."""
    f = Function("unpack", "ptr record, ptr buffer, ptr y, i64 rows, i64 nd, i64 nh, i64 nw", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    element = source.element
    dense = r["y_w"].equals(1)
    apart = lanes_apart(f, r["y_w"])
    with f.loop("row", 0, f.arg("rows")) as row, f.loop("d", 0, f.arg("nd")) as d, f.loop("h", 0, f.arg("nh")) as h:
        sums = row.index * r["run"] + (d.index * r["panel_h"] + h.index) * r["panel_w"]
        sums = f.at(f.arg("buffer"), "float", sums)
        to = f.at(f.arg("y"), element, row.index * r["y_c"] + d.index * r["y_d"] + h.index * r["y_h"])
        with f.loop("w", 0, f.arg("nw"), SIDE) as w:
            present = f.first_lanes(f.arg("nw") - w.index, FLOATS)
            found = source.unscaled(f, f.load_masked(FLOATS, f.at(sums, "float", w.index), present))
            found = source.result(f, found)
            with f.when(dense, "dense"):
                f.store_masked(found, f.at(to, element, w.index), present)
            with f.when(f.value(f"xor i1 {dense.name}, true", "i1"), "apart"):
                f.scatter(found, f.at(to, element, w.index * r["y_w"]), apart, present)
    return f


def _unpack_positions(source: Source) -> Function:
    """Copy `rows` rows of the outputs of one tile of one image from the buffer, where they lie beside each other."""
    f = Function("unpack", "ptr record, ptr buffer, ptr y, i64 rows, i64 nd, i64 nh, i64 nw", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    element, together, apart = source.element, r["y_c"].equals(1), lanes_apart(f, r["y_c"])
    with f.loop("d", 0, f.arg("nd")) as d, f.loop("h", 0, f.arg("nh")) as h, f.loop("w", 0, f.arg("nw")) as w:
        position = (d.index * r["panel_h"] + h.index) * r["panel_w"] + w.index
        sums = f.at(f.arg("buffer"), "float", position * r["column_pitch"])
        to = f.at(f.arg("y"), element, d.index * r["y_d"] + h.index * r["y_h"] + w.index * r["y_w"])
        with f.loop("row", 0, f.arg("rows"), SIDE) as row:
            found = source.result(f, source.unscaled(f, f.load(FLOATS, f.at(sums, "float", row.index))))
            present = f.first_lanes(f.arg("rows") - row.index, FLOATS)
            with f.when(together, "together"):
                f.store_masked(found, f.at(to, element, row.index), present)
            with f.when(f.value(f"xor i1 {together.name}, true", "i1"), "apart"):
                f.scatter(found, f.at(to, element, row.index * r["y_c"]), apart, present)
    return f


def _driver(source: Source, by_rows: bool) -> Function:
    f = Function(NAME, "ptr record")
    r = Record(f, f.arg("record"))
    r.load_all()
    parts, element, bounds = source.parts, source.element, (source.lowest, source.highest)
    configure(f, r["tile_config"])
    pitch = r["column_pitch"] if by_rows else r["run"]
    w_block = r["taps"] * (parts * TILE_BYTES)  # bytes of 16 rows x 32 channels
    w_row = (r["channels"] + (DEPTH - 1)) // DEPTH * w_block  # of 16 rows
    extremes = f.at(r["scratch"], "i32", r["extremes_at"])
    # words of a position in a panel; from position to position, and from row to row, of the sums
    words, column, line = (SIDE, r["column_pitch"], 1) if by_rows else (1, 1, r["run"])
    with f.drain(r["counter"], r["items"]) as item:
        tiles = r["tiles_d"] * r["tiles_h"] * r["tiles_w"]
        split, rest = item % r["row_splits"], item // r["row_splits"]
        tile, rest = rest % tiles, rest // tiles
        group, n0 = rest % r["groups"], rest // r["groups"] * r["together"]
        images = f.smaller(r["images"] - n0, r["together"])
        m0 = split * r["rows_together"]
        rows = f.smaller(r["rows"] - m0, r["rows_together"])
        o, extent = tile_at(f, r, tile)
        read = {a: extent[a] + r[f"reach_{a}"] for a in "dhw"}  # panel positions that the tile reads, per phase
        length = (extent["d"] - 1) * r["panel_h"] * r["panel_w"] + (extent["h"] - 1) * r["panel_w"] + extent["w"]
        # images that follow each other are one run; else each is a run of its own
        joined = r["runs_apart"].equals(0)
        runs = f.select(joined, 1, images)
        length = f.select(joined, images * r["panel_size"], length)
        x = f.at(r["x"], element, n0 * r["x_n"] + group * r["channels"] * r["x_c"])
        y_at = n0 * r["y_n"] + (group * r["rows"] + m0) * r["y_c"]
        y = f.at(r["y"], element, y_at + o["d"] * r["y_d"] + o["h"] * r["y_h"] + o["w"] * r["y_w"])
        sums = f.at(r["scratch"], "float", r["sums_at"])
        buffers = f.at(r["scratch"], "float", r["buffer_at"])

        with f.loop("block", 0, r["channels"], r["channels_together"]) as block:
            channels = f.smaller(r["channels"] - block.index, r["channels_together"])
            last = r["channels"] <= block.index + r["channels_together"]
            with f.loop("pack_image", 0, images) as n:
                no_extremes(f, extremes)
                f.call(
                    "pack_positions" if by_rows else "pack_pairs",
                    *(f.arg("record"), f.at(x, element, n.index * r["x_n"] + block.index * r["x_c"])),
                    *(f.at(r["scratch"], "i32", n.index * r["image_panel"]), extremes),
                    *(channels, o["d"], o["h"], o["w"], read["d"], read["h"], read["w"]),
                )
                raise_flag_if_strange(f, extremes, bounds, f.at(r["flags"], "i64", n0 + n.index))
            with f.loop("row", 0, rows, STEP) as row:
                kept = f.select(r["all_channels"].equals(1), 0, row.index)
                buffer = f.at(buffers, "float", kept * line)
                group_rows = (r["rows"] + (STEP - 1)) // STEP * 2
                w_rows = group * group_rows + (m0 + row.index) // SIDE
                w = f.at(r["w"], "i8", w_rows * w_row + block.index // DEPTH * w_block)
                with f.loop("step", 0, channels, r["channel_step"]) as step:
                    depth = f.smaller(channels - step.index, r["channel_step"])
                    blocks = (depth + (DEPTH - 1)) // DEPTH
                    first = block.index.equals(0) & step.index.equals(0)
                    w_step = f.at(w, "i8", step.index // DEPTH * w_block)
                    panel_step = step.index // 2 * r["pair_pitch"] * parts
                    with f.loop("run", 0, runs) as run:
                        panel = f.at(r["scratch"], "i32", run.index * r["image_panel"] + panel_step)
                        out = f.at(buffer, "float", run.index * r["out_image"])
                        past = f.i64(0)
                        for columns in COLUMNS:
                            wide = columns * SIDE
                            stop = length - (SIDE if columns == 2 else 0)
                            with f.loop(f"products_{columns}", past, stop, wide) as q:
                                f.call(
                                    f"products_{columns}",
                                    *(
                                        f.at(panel, "i32", q.index * words),
                                        w_step,
                                        f.at(out, "float", q.index * column),
                                        sums,
                                    ),
                                    *(r["shifts"], blocks, r["taps"], r["pair_pitch"], w_row, pitch, first),
                                )
                            past = q.index
                with f.when(last, "finished"), f.loop("unpack_image", 0, images) as n:
                    f.call(
                        "unpack",
                        *(f.arg("record"), f.at(buffer, "float", n.index * r["out_image"])),
                        f.at(y, element, n.index * r["y_n"] + row.index * r["y_c"]),
                        *(f.smaller(rows - row.index, STEP), extent["d"], extent["h"], extent["w"]),
                    )
    release(f)
    return f
