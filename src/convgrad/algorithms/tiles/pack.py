"""Text of the functions that bring arrays into tiles: what a tile of outputs reads, split into bfloat16 parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...jit.ir import Function, Value
from ..shifted.data_kernel import ceil_div, clamp
from ..shifted.record import Record
from .instructions import DEPTH, FLOATS, HALVES, SIDE, load_extremes, see, split_pairs, split_row, store_extremes
from .sources import Source

STEPS = {"dense": 1, "second": 2, "apart": None}  # how far apart numbers may lie: a function for each


def _row(name: str, sources: str, kind: str) -> tuple[Function, Value | int]:
    step = STEPS[kind]
    last = ", i64 step" if step is None else ""
    arguments = f"ptr to, {sources}, ptr extremes, i64 part_pitch, i64 ahead, i64 width, i64 begin, i64 end{last}"
    f = Function(f"{name}_{kind}", arguments, internal=True)
    return f, f.arg("step") if step is None else step


def _clear(f: Function, label: str, begin: Value | int, end: Value, step: int, element: str, parts: int) -> None:
    """Zeros from `begin` up to `end` and to the end of a vector, in every part."""
    with f.loop(label, begin, end, step) as j:
        to = f.at(f.arg("to"), element, j.index)
        for part in range(parts):
            f.store(f.zero(HALVES), f.at(to, element, f.arg("part_pitch") * part if part else 0))


def pair_row(source: Source, kind: str) -> Function:
    """One row of a panel: `width` words, each a pair of channels at a position, in every part.

    Lanes [begin, end) come from `even` and `odd`, read `step` apart, [begin, both) from both of them; the others are
    zeros. It writes whole vectors: what stands behind the row is written later.
    """
    f, step = _row("pair_row", "ptr even, ptr odd, i64 both", kind)
    begin, end, both, parts = f.arg("begin"), f.arg("end"), f.arg("both"), source.parts
    _clear(f, "before", 0, begin, SIDE, "i32", parts)

    def split(j: Value, masked: bool, extremes: list[Value]) -> list[Value]:
        numbers = []
        for name, last in (("even", end), ("odd", both)):
            present = last - j if masked else None
            at = f.at(f.arg(name), source.element, (j - begin) * step)
            f.prefetch(f.at(at, source.element, f.arg("ahead")))
            numbers.append(source.load(f, at, step, present))
            extremes = see(f, extremes, numbers[-1])
        to = f.at(f.arg("to"), "i32", j)
        for part, pairs in enumerate(split_pairs(f, numbers, parts)):
            f.store(pairs, f.at(to, "i32", f.arg("part_pitch") * part if part else 0))
        return extremes

    extremes, done = load_extremes(f, f.arg("extremes")), begin
    if isinstance(step, int):
        with f.loop("whole", begin, both - (SIDE + step - 2), SIDE, carried=extremes) as j:
            j.next = split(j.index, False, j.carried)
        extremes, done = j.carried, j.index
    with f.loop("rest", done, end, SIDE, carried=extremes) as j:
        j.next = split(j.index, True, j.carried)
    store_extremes(f, j.carried, f.arg("extremes"))
    _clear(f, "behind", j.index, f.arg("width"), SIDE, "i32", parts)
    return f


def half_plane(source: Source) -> Function:
    """One row of a panel of halves from a plane without gaps: `groups` times 16 lanes, as a table of `lanes` says."""
    f = Function(
        "half_plane", "ptr to, ptr from, ptr lanes, ptr extremes, i64 part_pitch, i64 ahead, i64 groups", internal=True
    )
    with f.loop("group", 0, f.arg("groups"), 2, carried=load_extremes(f, f.arg("extremes"))) as group:
        numbers, extremes = [], group.carried
        for half in range(2):
            entry = f.at(f.arg("lanes"), "i32", (group.index + half) * 2)
            bits = f.value(f"trunc i32 {f.load('i32', entry).name} to i16", "i16")
            mask = f.value(f"bitcast i16 {bits.name} to <{SIDE} x i1>", f"<{SIDE} x i1>")
            at = f.at(f.arg("from"), source.element, f.load_index(f.at(entry, "i32", 1)))
            f.prefetch(f.at(at, source.element, f.arg("ahead")))
            numbers.append(source.expand(f, at, mask))
            extremes = see(f, extremes, numbers[-1])
        to = f.at(f.arg("to"), "i16", group.index * SIDE)
        for part, halves in enumerate(split_row(f, numbers, source.parts)):
            f.store(halves, f.at(to, "i16", f.arg("part_pitch") * part if part else 0))
        group.next = extremes
    store_extremes(f, group.carried, f.arg("extremes"))
    return f


def _lanes(f: Function, r: Record, array: str, present: Value) -> Value:
    """The table for planes of an array, or for a plane that is missing."""
    return f.at(r[f"{array}_lanes"], "i32", f.select(present, f.i64(0), r[f"{array}_groups"] * 2))


@dataclass(frozen=True, slots=True)
class Line:
    """Where one row of a panel lies, and which of its columns [low, high) are read from inside the input."""

    place: Value  # in the panel, from its first position
    source: Value  # in the input, of column `low`, from the first channel
    inside: Value
    low: Value
    high: Value


@contextmanager
def lines(f: Function, r: Record) -> Iterator[Line]:
    """The block runs for every row of a panel that a tile at (od, oh, ow) of nd x nh x nw positions reads."""
    width = f.arg("nw")
    with f.loop("phase", 0, r["phase_count"]) as phase:
        residue = f.at(r["phases"], "i64", phase.index * 3)
        at = {a: f.load("i64", f.at(residue, "i64", k)) - r[f"before_{a}"] for k, a in enumerate("dhw")}
        low = clamp(f, ceil_div(f, at["w"] * -1, r["stride_w"]) - f.arg("ow"), f.i64(0), width)
        high = clamp(f, ceil_div(f, r["in_w"] - at["w"], r["stride_w"]) - f.arg("ow"), low, width)
        column = (f.arg("ow") + low) * r["stride_w"] + at["w"]
        with f.loop("d", 0, f.arg("nd")) as d:
            i_d = (f.arg("od") + d.index) * r["stride_d"] + at["d"]
            d_inside = (i_d >= 0) & (i_d < r["in_d"])
            with f.loop("h", 0, f.arg("nh")) as h:
                i_h = (f.arg("oh") + h.index) * r["stride_h"] + at["h"]
                inside = d_inside & (i_h >= 0) & (i_h < r["in_h"])
                place = phase.index * r["plane"] + (d.index * r["panel_h"] + h.index) * r["panel_w"]
                yield Line(place, i_d * r["x_d"] + i_h * r["x_h"] + column * r["x_w"], inside, low, high)


_TILE = "i64 od, i64 oh, i64 ow, i64 nd, i64 nh, i64 nw"


def _call_row(f: Function, name: str, step: Value, *arguments: Value) -> None:
    """The row function for numbers so far apart."""
    others = step.equals(step)
    for kind, known in STEPS.items():
        this = others if known is None else step.equals(known)
        with f.when(this, kind):
            f.call(f"{name}_{kind}", *arguments, *(() if known is not None else (step,)))
        others = others & f.value(f"xor i1 {this.name}, true", "i1")


def pack_pairs(source: Source) -> Function:
    """What one tile of one image reads: blocks of 32 channels x parts x 16 pairs x phases x rows, padding as zeros."""
    f = Function("pack_pairs", f"ptr record, ptr x, ptr panel, ptr extremes, i64 channels, {_TILE}", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    part_pitch, parts, element = r["pair_pitch"] * SIDE, source.parts, source.element
    pairs = (f.arg("channels") + (DEPTH - 1)) // DEPTH * SIDE
    with f.loop("pair", 0, pairs) as pair, lines(f, r) as line:
        even = pair.index * 2
        end, both = (f.select(line.inside & (c < f.arg("channels")), line.high, line.low) for c in (even, even + 1))
        row = pair.index // SIDE * (part_pitch * parts) + pair.index % SIDE * r["pair_pitch"]
        from_even = f.at(f.arg("x"), element, even * r["x_c"] + line.source)
        _call_row(
            *(f, "pair_row", r["stride_w"] * r["x_w"], f.at(f.arg("panel"), "i32", row + line.place)),
            *(from_even, f.at(from_even, element, r["x_c"]), both),
            *(f.arg("extremes"), part_pitch, r["x_c"] * 2, f.arg("nw"), line.low, end),
        )
    return f


def pack_positions(source: Source) -> Function:
    """What one tile of one image reads: blocks of 32 channels x parts x phases x rows x positions x these channels.

    For inputs whose channels lie beside each other.
    """
    f = Function("pack_positions", f"ptr record, ptr x, ptr panel, ptr extremes, i64 channels, {_TILE}", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    part_pitch, parts, element = r["pair_pitch"] * SIDE, source.parts, source.element
    step = r["stride_w"] * r["x_w"]

    def store(panel: Value, position: Value, halves: list[Value]) -> None:
        to = f.at(panel, "i32", position * SIDE)
        for part, vector in enumerate(halves):
            f.store(vector, f.at(to, "i32", part_pitch * part if part else 0))

    with f.loop("block", 0, f.arg("channels"), DEPTH) as block, lines(f, r) as line:
        place = block.index // DEPTH * (part_pitch * parts) + line.place * SIDE
        panel = f.at(f.arg("panel"), "i32", place)
        high = f.select(line.inside, line.high, line.low)
        for name, begin, end in (("before", f.i64(0), line.low), ("behind", high, f.arg("nw"))):
            with f.loop(name, begin, end) as j:
                store(panel, j.index, [f.zero(HALVES)] * parts)
        from_block = f.at(f.arg("x"), element, block.index + line.source)
        counts = [f.arg("channels") - block.index - SIDE * half for half in range(2)]
        with f.loop("position", line.low, high, carried=load_extremes(f, f.arg("extremes"))) as j:
            seen, numbers = j.carried, []
            at = f.at(from_block, element, (j.index - line.low) * step)
            for half, count in enumerate(counts):
                numbers.append(source.load(f, f.at(at, element, SIDE * half), 1, count))
                seen = see(f, seen, numbers[-1])
            store(panel, j.index, split_row(f, numbers, parts))
            j.next = seen
        store_extremes(f, j.carried, f.arg("extremes"))
    return f


def half_row(source: Source, kind: str) -> Function:
    """One row of a panel of halves: `width` numbers of one channel in every part, lanes outside [begin, end) zeros."""
    f, step = _row("half_row", "ptr from", kind)
    begin, end, parts = f.arg("begin"), f.arg("end"), source.parts
    _clear(f, "before", 0, begin, DEPTH, "i16", parts)

    def split(j: Value, masked: bool, extremes: list[Value]) -> list[Value]:
        numbers = []
        for first in (j, j + SIDE):
            present = end - first if masked else None
            at = f.at(f.arg("from"), source.element, (first - begin) * step)
            f.prefetch(f.at(at, source.element, f.arg("ahead")))
            numbers.append(source.load(f, at, step, present))
            extremes = see(f, extremes, numbers[-1])
        to = f.at(f.arg("to"), "i16", j)
        for part, halves in enumerate(split_row(f, numbers, parts)):
            f.store(halves, f.at(to, "i16", f.arg("part_pitch") * part if part else 0))
        return extremes

    extremes, done = load_extremes(f, f.arg("extremes")), begin
    if isinstance(step, int):
        with f.loop("whole", begin, end - (DEPTH + step - 2), DEPTH, carried=extremes) as j:
            j.next = split(j.index, False, j.carried)
        extremes, done = j.carried, j.index
    with f.loop("rest", done, end, DEPTH, carried=extremes) as j:
        j.next = split(j.index, True, j.carried)
    store_extremes(f, j.carried, f.arg("extremes"))
    _clear(f, "behind", j.index, f.arg("width"), DEPTH, "i16", parts)
    return f


def turn_panel(source: Source) -> Function:
    """What one tile of one image reads: parts x parities x blocks of 16 channels x pairs of positions x channels.

    16 channels at a time become rows of halves, with padding and what stands behind them as zeros, and these are
    turned, 16 pairs of positions at a time.
    """
    f = Function(
        "turn_panel", f"ptr record, ptr x, ptr panel, ptr temp, ptr extremes, i64 channels, {_TILE}", internal=True
    )
    r = Record(f, f.arg("record"))
    r.load_all()
    temp_part, parts = r["temp_pitch"] * SIDE, source.parts
    with f.loop("block", 0, r["channels_together"], SIDE) as block:
        with f.loop("channel", 0, SIDE) as channel:
            row = f.at(f.arg("temp"), "i16", channel.index * r["temp_pitch"])
            at = block.index + channel.index
            plane, present = f.at(f.arg("x"), source.element, at * r["x_c"]), at < f.arg("channels")
            with f.when(f.i64(0) < r["x_groups"], "plane"):
                f.call(
                    *("half_plane", row, plane, _lanes(f, r, "x", present)),
                    *(f.arg("extremes"), temp_part, r["x_c"], r["x_groups"]),
                )
            with f.when(r["x_groups"].equals(0), "lines"):
                with f.loop("behind", r["panel_size"], r["temp_pitch"] - (DEPTH - 1), DEPTH) as k:
                    for part in range(parts):
                        f.store(f.zero(HALVES), f.at(row, "i16", temp_part * part + k.index if part else k.index))
                for part in range(parts):
                    f.store(f.zero(HALVES), f.at(row, "i16", temp_part * part + (r["temp_pitch"] - DEPTH)))
                with lines(f, r) as line:
                    _call_row(
                        *(f, "half_row", r["stride_w"] * r["x_w"], f.at(row, "i16", line.place)),
                        f.at(plane, source.element, line.source),
                        *(f.arg("extremes"), temp_part, r["x_c"], f.arg("nw"), line.low),
                        f.select(line.inside & present, line.high, line.low),
                    )
        with f.loop("parity", 0, r["parities"]) as parity:
            blocks = parity.index * (r["channels_together"] // SIDE) + block.index // SIDE
            with f.loop("q", 0, r["turned"], DEPTH) as q:
                for part in range(parts):
                    to = blocks * r["block_panel"] + q.index * (SIDE // 2)
                    f.call(
                        "turn",
                        f.at(f.arg("panel"), "i32", r["panel_part"] * part + to if part else to),
                        f.at(f.arg("temp"), "i16", temp_part * part + q.index + parity.index),
                        *(f.i64(SIDE), r["temp_pitch"] // 2),
                    )
    return f


def gradient_rows(source: Source) -> Function:
    """One tile of one image of gy: parts x rows of halves at the positions of the panel, zeros between."""
    f = Function(
        "gradient_rows",
        "ptr record, ptr gy, ptr to, ptr extremes, i64 rows, i64 nd, i64 nh, i64 nw",
        internal=True,
    )
    r = Record(f, f.arg("record"))
    r.load_all()
    plane = f.arg("nh") * f.arg("nw")
    # positions that lie behind each other as in the panel are one row
    flat = f.arg("nh").equals(1) | (r["panel_w"].equals(f.arg("nw")) & r["y_h"].equals(f.arg("nw") * r["y_w"]))
    deep = (r["panel_h"] * r["panel_w"]).equals(plane) & r["y_d"].equals(plane * r["y_w"])
    flat = flat & (f.arg("nd").equals(1) | deep)
    nd, nh = (f.select(flat, 1, f.arg(name)) for name in ("nd", "nh"))
    nw = f.select(flat, plane * f.arg("nd"), f.arg("nw"))
    part_pitch, parts = r["gy_part"] * 2, source.parts
    full = f.arg("nd").equals(r["tile_d"]) & f.arg("nh").equals(r["tile_h"]) & f.arg("nw").equals(r["tile_w"])
    full = full & (f.i64(0) < r["y_groups"])
    others = f.value(f"xor i1 {full.name}, true", "i1")
    with f.loop("row", 0, r["rows_together"]) as row:
        to = f.at(f.arg("to"), "i16", row.index * r["gy_pitch"])
        first = f.at(f.arg("gy"), source.element, row.index * r["y_c"])
        present = row.index < f.arg("rows")
        with f.when(full, "plane"):
            f.call(
                *("half_plane", to, first, _lanes(f, r, "y", present)),
                *(f.arg("extremes"), part_pitch, r["y_c"], r["y_groups"]),
            )
        with f.when(others, "lines"):
            with f.loop("clear", 0, r["run"], DEPTH) as q:
                for part in range(parts):
                    f.store(f.zero(HALVES), f.at(to, "i16", part_pitch * part + q.index if part else q.index))
            with f.loop("d", 0, f.select(present, nd, f.i64(0))) as d, f.loop("h", 0, nh) as h:
                _call_row(
                    *(f, "half_row", r["y_w"]),
                    f.at(to, "i16", (d.index * r["panel_h"] + h.index) * r["panel_w"]),
                    f.at(first, source.element, d.index * r["y_d"] + h.index * r["y_h"]),
                    *(f.arg("extremes"), part_pitch, r["y_c"], nw, f.i64(0), nw),
                )
    return f


# --- of the weight gradient, where the channels of an array lie beside each other


def _clear_positions(f: Function, temp: Value, count: Value) -> None:
    with f.loop("cleared", 0, count) as q:
        f.store(f.zero(FLOATS), f.at(temp, "float", q.index * SIDE))


def _pairs_at(f: Function, temp: Value, position: Value, parts: int) -> list[Value]:
    """The parts of the numbers of 16 channels at a position and the next, in pairs."""
    at = f.at(temp, "float", position * SIDE)
    return split_pairs(f, [f.load(FLOATS, at), f.load(FLOATS, f.at(at, "float", SIDE))], parts)


def panel_of_positions(source: Source) -> Function:
    """What `turn_panel` makes. 16 channels at a time are spread over the panel, then paired as they lie."""
    f = Function(
        "panel_of_positions",
        f"ptr record, ptr x, ptr panel, ptr temp, ptr extremes, i64 channels, {_TILE}",
        internal=True,
    )
    r = Record(f, f.arg("record"))
    r.load_all()
    parts, element, temp = source.parts, source.element, f.arg("temp")
    step = r["stride_w"] * r["x_w"]
    with f.loop("block", 0, r["channels_together"], SIDE) as block:
        _clear_positions(f, temp, r["turned"] + DEPTH)
        count = f.arg("channels") - block.index
        from_block = f.at(f.arg("x"), element, block.index)
        with lines(f, r) as line:
            to = f.at(temp, "float", line.place * SIDE)
            from_line = f.at(from_block, element, line.source)
            high = f.select(line.inside, line.high, line.low)
            with f.loop("position", line.low, high, carried=load_extremes(f, f.arg("extremes"))) as j:
                found = source.load(f, f.at(from_line, element, (j.index - line.low) * step), 1, count)
                f.store(found, f.at(to, "float", j.index * SIDE))
                j.next = see(f, j.carried, found)
            store_extremes(f, j.carried, f.arg("extremes"))
        with f.loop("parity", 0, r["parities"]) as parity:
            blocks = parity.index * (r["channels_together"] // SIDE) + block.index // SIDE
            to = f.at(f.arg("panel"), "i32", blocks * r["block_panel"])
            with f.loop("pair", 0, r["turned"] // 2) as pair:
                for part, words in enumerate(_pairs_at(f, temp, pair.index * 2 + parity.index, parts)):
                    f.store(words, f.at(to, "i32", r["panel_part"] * part + pair.index * SIDE))
    return f


def gradient_of_positions(source: Source) -> Function:
    """What `gradient_rows` makes. 16 rows at a time are spread over the positions, paired, and turned."""
    f = Function(
        "gradient_of_positions",
        "ptr record, ptr gy, ptr to, ptr temp, ptr extremes, i64 rows, i64 nd, i64 nh, i64 nw",
        internal=True,
    )
    r = Record(f, f.arg("record"))
    r.load_all()
    parts, element, temp = source.parts, source.element, f.arg("temp")
    pairs_of = f.at(temp, "i32", r["run"] * SIDE)  # behind the positions: 16 rows of each part
    with f.loop("row", 0, r["rows_together"], SIDE) as row:
        _clear_positions(f, temp, r["run"])
        count = f.arg("rows") - row.index
        with f.loop("d", 0, f.arg("nd")) as d, f.loop("h", 0, f.arg("nh")) as h:
            at = f.at(f.arg("gy"), element, row.index + d.index * r["y_d"] + h.index * r["y_h"])
            to = f.at(temp, "float", (d.index * r["panel_h"] + h.index) * r["panel_w"] * SIDE)
            with f.loop("w", 0, f.arg("nw"), carried=load_extremes(f, f.arg("extremes"))) as w:
                found = source.load(f, f.at(at, element, w.index * r["y_w"]), 1, count)
                f.store(found, f.at(to, "float", w.index * SIDE))
                w.next = see(f, w.carried, found)
            store_extremes(f, w.carried, f.arg("extremes"))
        with f.loop("q", 0, r["run"], DEPTH) as q:
            with f.loop("pair", 0, SIDE) as pair:
                for part, words in enumerate(_pairs_at(f, temp, q.index + pair.index * 2, parts)):
                    f.store(words, f.at(pairs_of, "i32", pair.index * SIDE + part * SIDE * SIDE))
            to = f.at(f.arg("to"), "i16", row.index * r["gy_pitch"] + q.index)
            for part in range(parts):
                f.call(
                    *("turn", f.at(to, "i32", r["gy_part"] * part if part else 0)),
                    *(f.at(pairs_of, "i32", part * SIDE * SIDE), r["gy_pitch"] // 2, f.i64(SIDE)),
                )
    return f
