"""Small calls, ready but for their arrays: for each, one built-in function of Python that is compiled code.

It reads the addresses out of the array objects, runs the kernel on the caller's thread under the interpreter's lock,
and says whether that was the whole job. It was not where the result shares memory with an argument, or where a zero of
the panels may have met a number that is not finite: then the ordinary way refuses the call, or computes it anew.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...jit import compile as jit
from ...jit.builtin import DATA_OFFSET, address, builtin, to_bool
from ...jit.ir import Function, Value, declare_lane_sum
from ...jit.targets import Target
from ..record import Array, Ready
from .launch import CACHE_LINE, Launch
from .record import FIELDS as LAUNCH_FIELDS
from .weight_runs import OuterLaunch

NAME, ENTRY = "convgrad_small", "convgrad_small_entry"
SCRATCH_BYTES = 1 << 20

# the state of a function: one block of 8-byte fields, then the offsets, the records and the tables of its launches
POINTERS = ("to_bool", "kernel", "offsets", "records", "counter", "totals", "done")
NUMBERS = (
    *("launches", "a_field", "b_field", "out_field"),  # where in a record the addresses belong
    *("a_bytes", "b_bytes", "out_bytes"),
    *("searched", "search_count"),  # the argument that must be finite, and how many of its numbers are looked at
    *("groups", "rows", "columns", "column_pitch", "group_pitch"),  # of the totals of a weight gradient
    "blocks",  # of the outer kernel, which counts what is done of each
)
FIELDS = (*POINTERS, *NUMBERS)


@dataclass(frozen=True, slots=True)
class Totals:
    """Where the weight kernel leaves a gradient: groups of rows of `columns` entries; pitches in elements."""

    groups: int
    rows: int
    columns: int
    column_pitch: int
    group_pitch: int


def prepare(
    kernel: jit.Kernel,
    element: str,
    target: Target,
    launches: Sequence[tuple[Launch, int]],  # all of `kernel`, each with the byte of the result at which it begins
    shapes: Sequence[tuple[int, ...]],  # of a, b and out
    searched: int | None,  # the place among (a, b, out) of the array that must be finite
    totals: Totals | None = None,  # of a weight kernel, which does not fill the result itself
    outer: OuterLaunch | None = None,
    scratch: Array | None = None,  # `SCRATCH_BYTES` and two lines, for callers who hold no interpreter's lock
) -> Array | None:
    """The state with which contiguous arrays (a, b, out) are computed; None where it would need much memory."""
    itemsize = 4 if element == "float" else 8
    scratch_bytes = max(launch.scratch_bytes for launch, _ in launches)
    totals_bytes = totals.groups * totals.group_pitch * itemsize if totals is not None else 0
    blocks = outer.blocks if outer is not None else 0
    if outer is not None:
        totals_bytes = outer.totals * itemsize
    if scratch_bytes + totals_bytes + blocks * 8 > SCRATCH_BYTES:
        return None
    scratch = _scratch() if scratch is None else scratch
    begin = -(-address(scratch) // CACHE_LINE) * CACHE_LINE
    sizes = [math.prod(shape) for shape in shapes]
    # the weight kernel reads no w, the outer kernel writes it
    names = ("x", "w", "y") if totals is None and outer is None else ("y", "x", "w")
    fields = {
        "to_bool": to_bool(),
        "kernel": kernel.address,
        "counter": begin,
        "totals": begin + CACHE_LINE + scratch_bytes,
        "done": begin + CACHE_LINE + scratch_bytes + totals_bytes,
        "blocks": blocks,
        "launches": len(launches),
        **{f"{name}_field": LAUNCH_FIELDS.index(field) for name, field in zip(("a", "b", "out"), names, strict=True)},
        **{f"{name}_bytes": size * itemsize for name, size in zip(("a", "b", "out"), sizes, strict=True)},
        "searched": searched or 0,
        "search_count": sizes[searched] if searched is not None else 0,
    }
    for name in Totals.__slots__:
        fields[name] = getattr(totals, name) if totals is not None else 0

    offsets = np.array([offset for _, offset in launches], np.int64)
    tables = [_words(table) for launch, _ in launches for table in launch.tables.values()]
    lengths = [len(FIELDS), len(offsets), len(launches) * len(LAUNCH_FIELDS), *map(len, tables)]
    state = np.empty(sum(lengths), np.int64)
    head, to_offsets, to_records, *to_tables = np.split(state, np.cumsum(lengths)[:-1])
    fields |= {"offsets": address(to_offsets), "records": address(to_records)}
    head[:] = [fields[name] for name in FIELDS]
    to_offsets[:] = offsets
    copies = iter(zip(to_tables, tables, strict=True))
    for record, (launch, _) in zip(to_records.reshape(len(launches), -1), launches, strict=True):
        record[:] = launch.template
        for name in launch.tables:
            copy, table = next(copies)
            copy[:] = table
            record[LAUNCH_FIELDS.index(name)] = address(copy)
        known = {"counter": begin, "scratch": begin + CACHE_LINE, "totals": fields["totals"], "done": fields["done"]}
        for name, value in known.items():
            record[LAUNCH_FIELDS.index(name)] = value
    return state


def function(state: Array, element: str, target: Target) -> Ready:
    """The built-in function of contiguous arrays (a, b, out) with this state."""
    return builtin(NAME, jit.compile_kernel(NAME, text(element, target), target).address, state)


def entry(element: str, target: Target) -> jit.Kernel:
    """Compiled code `(state, addresses of stand-ins for three array objects, whether it was the whole job)`."""
    vector = f"<{target.vector_bytes // (4 if element == 'float' else 8)} x {element}>"
    head = f"; {ENTRY}: {element}, {target.name}\n\n{declare_lane_sum(vector)}"
    return jit.compile_kernel(ENTRY, "\n".join([head, _run(ENTRY, element, vector, internal=False).text()]), target)


def _words(table: Array) -> Array:
    """The bytes of a table, up to whole fields."""
    raw = table.tobytes()
    return np.frombuffer(raw.ljust(-(-len(raw) // 8) * 8, b"\0"), np.int64)


@functools.cache
def _scratch() -> Array:
    """The memory of all small calls of Python: the lock keeps them apart."""
    return new_scratch()


def new_scratch() -> Array:
    """Memory for small calls that something keeps apart. The counter has the first line."""
    return np.empty(SCRATCH_BYTES + 2 * CACHE_LINE, np.uint8)


def text(element: str, target: Target) -> str:
    """The whole module for "float" or "double" on one ISA."""
    vector = f"<{target.vector_bytes // (4 if element == 'float' else 8)} x {element}>"
    head = f"; {NAME}: {element}, {target.name}\n\n{declare_lane_sum(vector)}"
    # what Python calls: the fields of the state are behind the head of an array object, like all data
    called = f"""\
define ptr @{NAME}(ptr %self, ptr %arguments, i64 %count) {{
  %place = getelementptr i8, ptr %self, i64 {DATA_OFFSET}
  %state = load ptr, ptr %place, align 8
  %done = alloca i64, align 8
  call void @run(ptr %state, ptr %arguments, ptr %done)
  %answer = load i64, ptr %done, align 8
  %to_bool = load ptr, ptr %state, align 8
  %object = call ptr %to_bool(i64 %answer)
  ret ptr %object
}}
"""
    return "\n".join([head, _run("run", element, vector, internal=True).text(), called])


def _run(name: str, element: str, vector: str, internal: bool) -> Function:
    f = Function(name, "ptr state, ptr arguments, ptr done", internal=internal)
    r = {
        name: f.load("ptr" if name in POINTERS else "i64", f.at(f.arg("state"), "i64", place))
        for place, name in enumerate(FIELDS)
    }
    a, b, out = (_data(f, f.i64(k)) for k in range(3))
    apart = _apart(f, a, r["a_bytes"], out, r["out_bytes"]) & _apart(f, b, r["b_bytes"], out, r["out_bytes"])
    f.store(f.i64(0), f.arg("done"))
    with f.when(apart, "apart"):
        with f.loop("block", 0, r["blocks"]) as block:
            f.store(f.i64(0), f.at(r["done"], "i64", block.index))
        finished = f.i64(1)
        with f.loop("launch", 0, r["launches"], carried=[finished]) as launch:
            record = f.at(r["records"], "i64", launch.index * len(LAUNCH_FIELDS))
            offset = f.load("i64", f.at(r["offsets"], "i64", launch.index))
            f.store(a, f.at(record, "i64", r["a_field"]))
            f.store(b, f.at(record, "i64", r["b_field"]))
            f.store(f.at(out, "i8", offset), f.at(record, "i64", r["out_field"]))
            f.store(f.i64(0), r["counter"])
            f.line(f"call void {r['kernel'].name}(ptr {record.name})")
            # fewer where the kernel lost its patience on a machine that stood still
            drawn = f.load("i64", r["counter"])
            items = f.load("i64", f.at(record, "i64", LAUNCH_FIELDS.index("items")))
            launch.next = [f.select(drawn >= items, launch.carried[0], f.i64(0))]
        (finished,) = launch.carried
        with f.loop("group", 0, r["groups"]) as group, f.loop("row", 0, r["rows"]) as row:
            found = f.at(r["totals"], element, group.index * r["group_pitch"] + row.index * r["column_pitch"])
            to = f.at(out, element, (group.index * r["rows"] + row.index) * r["columns"])
            _copy(f, found, to, r["columns"], element, vector)
        finite = _finite(f, _data(f, r["searched"]), r["search_count"], element, vector)
        f.store(f.select(finite, finished, f.i64(0)), f.arg("done"))
    return f


def _data(f: Function, place: Value) -> Value:
    """The address of the first element of an argument."""
    array = f.load("ptr", f.at(f.arg("arguments"), "ptr", place))
    return f.load("ptr", f.at(array, "i8", DATA_OFFSET))


def _apart(f: Function, a: Value, a_bytes: Value, b: Value, b_bytes: Value) -> Value:
    """Whether two blocks of memory have no byte in common."""
    begin_a, begin_b = (f.value(f"ptrtoint ptr {pointer.name} to i64", "i64") for pointer in (a, b))
    between = f.larger(begin_b - begin_a - a_bytes, begin_a - begin_b - b_bytes)
    return between >= 0


def _copy(f: Function, source: Value, to: Value, count: Value, element: str, vector: str) -> None:
    lanes = int(vector[1:].split(" ")[0])
    with f.loop("copy", 0, count - (lanes - 1), lanes) as part:
        f.store(f.load(vector, f.at(source, element, part.index)), f.at(to, element, part.index))
    with f.loop("copy_single", part.index, count) as part:
        f.store(f.load(element, f.at(source, element, part.index)), f.at(to, element, part.index))


def _finite(f: Function, numbers: Value, count: Value, element: str, vector: str) -> Value:
    """Whether none of `count` numbers is infinite or NaN: zero times such a number is NaN, and stays it in a sum."""
    lanes = int(vector[1:].split(" ")[0])
    zero, zeros = f.constant(0.0, element), f.zero(vector)
    with f.loop("whole", 0, count - (lanes - 1), lanes, carried=[zeros]) as part:
        part.next = [part.carried[0] + f.load(vector, f.at(numbers, element, part.index)) * zeros]
    total = f.lane_sum(part.carried[0])
    with f.loop("single", part.index, count, carried=[total]) as part:
        part.next = [part.carried[0] + f.load(element, f.at(numbers, element, part.index)) * zero]
    return f.value(f"fcmp ord {element} {part.carried[0].name}, {zero.name}", "i1")
