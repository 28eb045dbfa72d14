"""Text of the functions that bring arrays into tiles: what a tile of outputs reads, split into bfloat16 parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...jit.ir import Function, Value
from ..shifted.data_kernel import ceil_div, clamp
from ..shifted.record import Record
from .instructions import (
    DEPTH,
    FLOATS,
    HALVES,
    SCALE,
    SIDE,
    load_extremes,
    see,
    split_pairs,
    split_row,
    store_extremes,
)


def load_row(f: Function, name: str, source: Value, step: Value, mask: Value) -> Value:
    """source[0 : 16*step : step] scaled, the lanes under `mask`, zeros elsewhere."""
    dense = step.equals(1)
    # a loop of one round, because only loops carry values out of a branch
    with f.loop(f"{name}_dense", 0, f.select(dense, 1, 0), carried=[f.zero(FLOATS)]) as once:
        once.next = [f.load_masked(FLOATS, source, mask)]
    with f.loop(f"{name}_apart", 0, f.select(dense, 0, 1), carried=once.carried) as once:
        once.next = [f.gather(FLOATS, source, lanes_apart(f, step), mask)]
    scale = f.splat(f.constant(SCALE, "float"), FLOATS)
    return once.carried[0] * scale


def lanes_apart(f: Function, step: Value) -> Value:
    """0, step, 2*step, ..."""
    lanes = f"<{SIDE} x i64>"
    order = Value("<" + ", ".join(f"i64 {lane}" for lane in range(SIDE)) + ">", lanes, f)
    return order * f.splat(step, lanes)


def between(f: Function, low: Value, high: Value) -> Value:
    """The mask of the lanes from `low` up to `high`."""
    past, before = f.first_lanes(high, FLOATS), f.first_lanes(low, FLOATS)
    ones = Value("<" + ", ".join(["i1 true"] * SIDE) + ">", past.type, f)
    return past & f.value(f"xor {before.type} {before.name}, {ones.name}", past.type)


def pair_row(parts: int) -> Function:
    """One row of a panel: `width` words, each a pair of channels at a position, in every part.

    Lanes [begin, end) come from `even` and `odd`, read `step` apart; the others are zeros. It writes whole vectors:
    what stands behind the row is written later.
    """
    f = Function(
        "pair_row",
        "ptr to, ptr even, ptr odd, ptr extremes, i64 part_pitch, i64 width, i64 begin, i64 end, i64 end_odd, i64 step",
        internal=True,
    )
    begin, step = f.arg("begin"), f.arg("step")
    with f.loop("j", 0, f.arg("width"), SIDE, carried=load_extremes(f, f.arg("extremes"))) as j:
        numbers = []
        for name, end in (("even", f.arg("end")), ("odd", f.arg("end_odd"))):
            source = f.at(f.arg(name), "float", (j.index - begin) * step)
            mask = between(f, begin - j.index, end - j.index)
            numbers.append(load_row(f, name, source, step, mask))
        extremes = j.carried
        for vector in numbers:
            extremes = see(f, extremes, vector)
        to = f.at(f.arg("to"), "i32", j.index)
        for part, pairs in enumerate(split_pairs(f, *numbers, parts)):
            f.store(pairs, f.at(to, "i32", f.arg("part_pitch") * part if part else 0))
        j.next = extremes
    store_extremes(f, j.carried, f.arg("extremes"))
    return f


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


def pack_pairs(parts: int) -> Function:
    """What one tile of one image reads: blocks of 32 channels x parts x 16 pairs x phases x rows, padding as zeros."""
    f = Function("pack_pairs", f"ptr record, ptr x, ptr panel, ptr extremes, i64 channels, {_TILE}", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    part_pitch = r["pair_pitch"] * SIDE
    pairs = (f.arg("channels") + (DEPTH - 1)) // DEPTH * SIDE
    with f.loop("pair", 0, pairs) as pair, lines(f, r) as line:
        even = pair.index * 2
        ends = [f.select(line.inside & (c < f.arg("channels")), line.high, line.low) for c in (even, even + 1)]
        row = pair.index // SIDE * (part_pitch * parts) + pair.index % SIDE * r["pair_pitch"]
        source = f.at(f.arg("x"), "float", even * r["x_c"] + line.source)
        f.call(
            "pair_row",
            *(f.at(f.arg("panel"), "i32", row + line.place), source, f.at(source, "float", r["x_c"])),
            *(f.arg("extremes"), part_pitch, f.arg("nw"), line.low, *ends),
            r["stride_w"] * r["x_w"],
        )
    return f


def half_row(parts: int) -> Function:
    """One row of a panel of halves: `width` numbers of one channel in every part, lanes outside [begin, end) zeros."""
    f = Function(
        "half_row",
        "ptr to, ptr from, ptr extremes, i64 part_pitch, i64 width, i64 begin, i64 end, i64 step",
        internal=True,
    )
    begin, step = f.arg("begin"), f.arg("step")
    with f.loop("j", 0, f.arg("width"), DEPTH, carried=load_extremes(f, f.arg("extremes"))) as j:
        numbers, extremes = [], j.carried
        for name, first in (("low", j.index), ("high", j.index + SIDE)):
            source = f.at(f.arg("from"), "float", (first - begin) * step)
            numbers.append(load_row(f, name, source, step, between(f, begin - first, f.arg("end") - first)))
            extremes = see(f, extremes, numbers[-1])
        to = f.at(f.arg("to"), "i16", j.index)
        for part, halves in enumerate(split_row(f, *numbers, parts)):
            f.store(halves, f.at(to, "i16", f.arg("part_pitch") * part if part else 0))
        j.next = extremes
    store_extremes(f, j.carried, f.arg("extremes"))
    return f


def pack_halves(parts: int) -> Function:
    """What one tile of one image reads: parts x channels x phases x rows, padding as zeros, and zeros behind."""
    f = Function("pack_halves", f"ptr record, ptr x, ptr panel, ptr extremes, i64 channels, {_TILE}", internal=True)
    r = Record(f, f.arg("record"))
    r.load_all()
    with f.loop("channel", 0, r["channels_together"]) as channel:
        row = f.at(f.arg("panel"), "i16", channel.index * r["panel_pitch"])
        present = channel.index < f.arg("channels")
        with lines(f, r) as line:
            f.call(
                "half_row",
                f.at(row, "i16", line.place),
                f.at(f.arg("x"), "float", channel.index * r["x_c"] + line.source),
                *(f.arg("extremes"), r["panel_part"], f.arg("nw"), line.low),
                *(f.select(line.inside & present, line.high, line.low), r["stride_w"] * r["x_w"]),
            )
        with f.loop("behind", r["panel_size"], r["panel_pitch"]) as k:
            for part in range(parts):
                zero = f.constant(0, "i16")
                f.store(zero, f.at(row, "i16", r["panel_part"] * part + k.index if part else k.index))
    return f
