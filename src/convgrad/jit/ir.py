"""A small builder of LLVM IR text that reads like the loop nest it prints.

Values carry their type and know Python's operators; loops and conditions are `with` blocks, so that nesting here
is nesting there. The text depends on the calls alone: the same calls give the same bytes.

>>> f = Function("twice", "ptr a, i64 n")
>>> with f.loop("i", 0, f.arg("n")) as i:
...     place = f.at(f.arg("a"), "float", i.index)
...     f.store(f.load("float", place) * 2.0, place)
>>> print(f.text().splitlines()[0])
define void @twice(ptr noalias %a, i64 %n) {
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Number = int | float

PATIENCE_CYCLES = 1 << 27  # some 50 ms
CYCLE_COUNTER = "declare i64 @llvm.readcyclecounter()\n"


@dataclass(frozen=True, slots=True)
class Value:
    """One SSA value: its name, its type, and the function that it lives in."""

    name: str
    type: str
    home: Function = field(repr=False, compare=False)

    def _with(self, op: str, other: Value | Number, reverse: bool = False) -> Value:
        a, b = self, self.home.constant(other, self.type)
        a, b = (b, a) if reverse else (a, b)
        kind = f"f{op}" if _is_float(self.type) else {"div": "sdiv", "rem": "srem"}.get(op, op)
        return self.home.value(f"{kind} {self.type} {a.name}, {b.name}", self.type)

    def __add__(self, other: Value | Number) -> Value:
        return self if other == 0 and isinstance(other, int) else self._with("add", other)

    def __sub__(self, other: Value | Number) -> Value:
        return self if other == 0 and isinstance(other, int) else self._with("sub", other)

    def __rsub__(self, other: Number) -> Value:
        return self._with("sub", other, reverse=True)

    def __mul__(self, other: Value | Number) -> Value:
        return self if other == 1 and isinstance(other, int) else self._with("mul", other)

    def __floordiv__(self, other: Value | Number) -> Value:
        return self._with("div", other)

    def __mod__(self, other: Value | Number) -> Value:
        return self._with("rem", other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __lt__(self, other: Value | Number) -> Value:
        return self.home.compare("slt", self, other)

    def __le__(self, other: Value | Number) -> Value:
        return self.home.compare("sle", self, other)

    def __ge__(self, other: Value | Number) -> Value:
        return self.home.compare("sge", self, other)

    def equals(self, other: Value | Number) -> Value:
        return self.home.compare("eq", self, other)

    def __and__(self, other: Value) -> Value:
        return self.home.value(f"and {self.type} {self.name}, {other.name}", self.type)

    def __or__(self, other: Value) -> Value:
        return self.home.value(f"or {self.type} {self.name}, {other.name}", self.type)


@dataclass
class Loop:
    """The inside of a loop: its index, the values carried from the round before, and those for the next."""

    index: Value
    carried: list[Value]
    next: list[Value]


class Function:
    """One function under construction; `text()` prints it."""

    def __init__(self, name: str, parameters: str, internal: bool = False) -> None:
        self.name = name
        self._arguments: dict[str, Value] = {}
        printed = []
        for parameter in filter(None, (part.strip() for part in parameters.split(","))):
            kind, called = parameter.split()
            self._arguments[called] = Value(f"%{called}", kind, self)
            printed.append(f"ptr noalias %{called}" if kind == "ptr" else f"{kind} %{called}")
        linkage = "internal " if internal else ""
        self._lines = [f"define {linkage}void @{name}({', '.join(printed)}) {{", "entry:"]
        self._block = "entry"
        self._count = 0
        self._labels: dict[str, int] = {}

    def arg(self, name: str) -> Value:
        return self._arguments[name]

    def text(self) -> str:
        return "\n".join([*self._lines, "  ret void", "}"]) + "\n"

    # --- values

    def value(self, operation: str, kind: str) -> Value:
        """The result of one instruction."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {operation}")
        return Value(name, kind, self)

    def line(self, instruction: str) -> None:
        self._lines.append(f"  {instruction}")

    def comment(self, text: str) -> None:
        self._lines.append(f"  ; {text}")

    def constant(self, number: Value | Number, kind: str) -> Value:
        if isinstance(number, Value):
            return number
        return Value(_float_text(number, kind) if _is_float(kind) else str(int(number)), kind, self)

    def i64(self, number: Value | int) -> Value:
        return self.constant(number, "i64")

    def compare(self, how: str, a: Value, b: Value | Number) -> Value:
        return self.value(f"icmp {how} {a.type} {a.name}, {self.constant(b, a.type).name}", "i1")

    def select(self, condition: Value, a: Value | int, b: Value | int) -> Value:
        kind = a.type if isinstance(a, Value) else b.type if isinstance(b, Value) else "i64"
        x, y = self.constant(a, kind), self.constant(b, kind)
        return self.value(f"select i1 {condition.name}, {kind} {x.name}, {kind} {y.name}", kind)

    def smaller(self, a: Value, b: Value | int) -> Value:
        return self.select(a < b, a, b)

    def larger(self, a: Value, b: Value | int) -> Value:
        return self.select(a < b, b, a)

    # --- memory

    def at(self, pointer: Value, kind: str, index: Value | int) -> Value:
        """The address of element `index` of an array of `kind`."""
        return self.value(f"getelementptr {kind}, ptr {pointer.name}, i64 {self.i64(index).name}", "ptr")

    def load(self, kind: str, pointer: Value) -> Value:
        return self.value(f"load {kind}, ptr {pointer.name}, align {_align(kind)}", kind)

    def load_index(self, pointer: Value) -> Value:
        """The i32 at `pointer` as an i64: tables of i32 take half the cache."""
        return self.value(f"sext i32 {self.load('i32', pointer).name} to i64", "i64")

    def store(self, value: Value, pointer: Value) -> None:
        self.line(f"store {value.type} {value.name}, ptr {pointer.name}, align {_align(value.type)}")

    def add_atomically(self, pointer: Value, number: int) -> Value:
        """Add to the i64 at `pointer`; what stood there. Orders the memory of those who meet there."""
        return self.value(f"atomicrmw add ptr {pointer.name}, i64 {number} acq_rel", "i64")

    # --- vectors

    def first_lanes(self, count: Value, kind: str) -> Value:
        """The mask of the first `count` lanes of a vector of `kind`."""
        lanes = int(kind[1:-1].split(" x ")[0])
        numbers = f"<{lanes} x i64>"
        order = Value("<" + ", ".join(f"i64 {lane}" for lane in range(lanes)) + ">", numbers, self)
        limit = self.splat(count, numbers)
        return self.value(f"icmp slt {numbers} {order.name}, {limit.name}", f"<{lanes} x i1>")

    def prefetch(self, pointer: Value) -> None:
        """Ask for the cache line at an address that will be read; one outside of all memory does no harm."""
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer.name}, i32 0, i32 3, i32 1)")

    def load_masked(self, kind: str, pointer: Value, mask: Value) -> Value:
        """The lanes under `mask`, zeros elsewhere; memory under other lanes is not touched."""
        name, align = f"llvm.masked.load.{_suffix(kind)}.p0", _align(kind)
        arguments = f"ptr {pointer.name}, i32 {align}, {mask.type} {mask.name}, {kind} zeroinitializer"
        return self.value(f"call {kind} @{name}({arguments})", kind)

    def expand(self, kind: str, pointer: Value, mask: Value) -> Value:
        """The numbers from `pointer` on in the lanes under `mask`, in order, zeros elsewhere; no others are read."""
        arguments = f"ptr {pointer.name}, {mask.type} {mask.name}, {kind} zeroinitializer"
        return self.value(f"call {kind} @llvm.masked.expandload.{_suffix(kind)}({arguments})", kind)

    def store_masked(self, value: Value, pointer: Value, mask: Value) -> None:
        """Store the lanes under `mask` only."""
        name, align = f"llvm.masked.store.{_suffix(value.type)}.p0", _align(value.type)
        arguments = f"{value.type} {value.name}, ptr {pointer.name}, i32 {align}, {mask.type} {mask.name}"
        self.line(f"call void @{name}({arguments})")

    def gather(self, kind: str, pointer: Value, places: Value, mask: Value) -> Value:
        """Element `places[lane]` of an array in each lane under `mask`, zeros elsewhere."""
        lanes, element = kind[1:-1].split(" x ")
        at = self._each_at(pointer, element, places)
        arguments = f"{at.type} {at.name}, i32 {_align(element)}, {mask.type} {mask.name}, {kind} zeroinitializer"
        return self.value(f"call {kind} @llvm.masked.gather.{_suffix(kind)}.v{lanes}p0({arguments})", kind)

    def scatter(self, vector: Value, pointer: Value, places: Value, mask: Value) -> None:
        """Store each lane under `mask` to element `places[lane]` of an array."""
        lanes, element = vector.type[1:-1].split(" x ")
        at = self._each_at(pointer, element, places)
        arguments = f"{vector.type} {vector.name}, {at.type} {at.name}, i32 {_align(element)}, {mask.type} {mask.name}"
        self.line(f"call void @llvm.masked.scatter.{_suffix(vector.type)}.v{lanes}p0({arguments})")

    def _each_at(self, pointer: Value, element: str, places: Value) -> Value:
        lanes = places.type[1:-1].split(" x ")[0]
        operands = f"{element}, ptr {pointer.name}, {places.type} {places.name}"
        return self.value(f"getelementptr {operands}", f"<{lanes} x ptr>")

    def splat(self, scalar: Value, kind: str) -> Value:
        """A vector with `scalar` in every lane."""
        lanes, element = kind[1:-1].split(" x ")
        first = self.value(f"insertelement {kind} poison, {element} {scalar.name}, i32 0", kind)
        return self.value(f"shufflevector {kind} {first.name}, {kind} poison, <{lanes} x i32> zeroinitializer", kind)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Lanes of two vectors: numbers from the vector's length on mean lanes of `b`."""
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.value(f"shufflevector {a.type} {a.name}, {b.type} {b.name}, <{len(lanes)} x i32> <{mask}>", a.type)

    def zero(self, kind: str) -> Value:
        return Value("zeroinitializer" if kind.startswith("<") else self.constant(0, kind).name, kind, self)

    def fma(self, a: Value, b: Value, c: Value, fused: bool = True) -> Value:
        """a * b + c; rounded once where the machine fuses, else twice."""
        if not fused:
            return a * b + c
        return self.value(
            f"call {a.type} @llvm.fma.{_suffix(a.type)}({a.type} {a.name}, {b.type} {b.name}, {c.type} {c.name})",
            a.type,
        )

    def lane_sum(self, vector: Value) -> Value:
        """The sum of all lanes, added in a tree."""
        element = vector.type[1:-1].split(" x ")[1]
        name = f"llvm.vector.reduce.fadd.{_suffix(vector.type)}"
        zero = self.constant(-0.0, element)
        return self.value(
            f"call reassoc {element} @{name}({element} {zero.name}, {vector.type} {vector.name})", element
        )

    def call(self, name: str, *arguments: Value) -> None:
        self.line(f"call void @{name}({', '.join(f'{a.type} {a.name}' for a in arguments)})")

    # --- control flow

    @contextmanager
    def loop(
        self, name: str, start: Value | int, stop: Value | int, step: Value | int = 1, carried: Sequence[Value] = ()
    ) -> Iterator[Loop]:
        """`for name in range(start, stop, step)`. After it, `carried` holds what the last round set in `next`."""
        label, before = self._label(name), self._block
        self.line(f"br label %{label}")
        self._open(label)
        heads = [Value(f"%{label}.i", "i64", self)]
        heads += [Value(f"%{label}.c{k}", value.type, self) for k, value in enumerate(carried)]
        place = len(self._lines)  # the phis are filled in when the next round's values are known
        running = self.compare("slt", heads[0], stop)
        self.line(f"br i1 {running.name}, label %{label}.body, label %{label}.end")
        self._open(f"{label}.body")
        inside = Loop(heads[0], heads[1:], heads[1:])
        yield inside
        after = [heads[0] + step, *inside.next]
        initial = [self.i64(start), *carried]
        phis = [
            f"  {head.name} = phi {head.type} [ {first.name}, %{before} ], [ {later.name}, %{self._block} ]"
            for head, first, later in zip(heads, initial, after, strict=True)
        ]
        self._lines[place:place] = phis
        self.line(f"br label %{label}")
        self._open(f"{label}.end")
        inside.index, inside.carried = heads[0], heads[1:]

    @contextmanager
    def when(self, condition: Value, name: str = "when") -> Iterator[None]:
        """The block runs where `condition` holds."""
        label = self._label(name)
        self.line(f"br i1 {condition.name}, label %{label}, label %{label}.end")
        self._open(label)
        yield
        self.line(f"br label %{label}.end")
        self._open(f"{label}.end")

    @contextmanager
    def drain(self, counter: Value, items: Value) -> Iterator[Value]:
        """The block runs for numbers drawn from a shared counter, until it has given out `items` of them.

        It also ends after `PATIENCE_CYCLES`, so that the caller's interpreter can hear an interrupt and call again.
        """
        began = self.value("call i64 @llvm.readcyclecounter()", "i64")
        self.line("br label %draw")
        self._open("draw")
        item = self.value(f"atomicrmw add ptr {counter.name}, i64 1 monotonic", "i64")
        self.line(f"br i1 {(item < items).name}, label %work, label %drained")
        self._open("work")
        yield item
        now = self.value("call i64 @llvm.readcyclecounter()", "i64")
        self.line(f"br i1 {(now - began < PATIENCE_CYCLES).name}, label %draw, label %drained")
        self._open("drained")

    def _label(self, name: str) -> str:
        number = self._labels[name] = self._labels.get(name, 0) + 1
        return name if number == 1 else f"{name}{number}"

    def _open(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label


def declare_fma(kind: str) -> str:
    return f"declare {kind} @llvm.fma.{_suffix(kind)}({kind}, {kind}, {kind})\n"


def declare_lane_sum(kind: str) -> str:
    element = kind[1:-1].split(" x ")[1]
    return f"declare {element} @llvm.vector.reduce.fadd.{_suffix(kind)}({element}, {kind})\n"


DECLARE_PREFETCH = "declare void @llvm.prefetch.p0(ptr, i32 immarg, i32 immarg, i32 immarg)\n"


def declare_masked(kind: str) -> str:
    lanes = kind[1:-1].split(" x ")[0]
    short = _suffix(kind)
    return (
        f"declare {kind} @llvm.masked.load.{short}.p0(ptr, i32, <{lanes} x i1>, {kind})\n"
        f"declare void @llvm.masked.store.{short}.p0({kind}, ptr, i32, <{lanes} x i1>)\n"
    )


def declare_gather(kind: str) -> str:
    lanes = kind[1:-1].split(" x ")[0]
    name, mask = f"{_suffix(kind)}.v{lanes}p0", f"<{lanes} x i1>"
    return (
        f"declare {kind} @llvm.masked.gather.{name}(<{lanes} x ptr>, i32, {mask}, {kind})\n"
        f"declare void @llvm.masked.scatter.{name}({kind}, <{lanes} x ptr>, i32, {mask})\n"
    )


def declare_expand(kind: str) -> str:
    lanes = kind[1:-1].split(" x ")[0]
    return f"declare {kind} @llvm.masked.expandload.{_suffix(kind)}(ptr, <{lanes} x i1>, {kind})\n"


def _suffix(kind: str) -> str:
    short = {"float": "f32", "double": "f64", "i16": "i16", "i32": "i32"}
    if kind in short:
        return short[kind]
    lanes, element = kind[1:-1].split(" x ")
    return f"v{lanes}{short[element]}"


def _is_float(kind: str) -> bool:
    return "float" in kind or "double" in kind


def _align(kind: str) -> int:
    element = kind[1:-1].split(" x ")[1] if kind.startswith("<") else kind
    return {"float": 4, "double": 8, "ptr": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1}[element]


def _float_text(number: float, kind: str) -> str:
    # LLVM writes float constants as the bits of the double that equals them
    bits = struct.unpack("<Q", struct.pack("<d", number))[0]
    text = f"0x{bits:016X}"
    return text if not kind.startswith("<") else "zeroinitializer" if number == 0 else text
