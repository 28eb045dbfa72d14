"""What the matrix unit and the rounding of float32 to bfloat16 look like in IR: one line per instruction.

A tile register holds 16 rows of 64 bytes. For tiles C of float32, A of bfloat16 (a row: 32 numbers of one row of A) and
B of bfloat16 (row p, lane n: numbers 2p and 2p + 1 of column n), one instruction is

    C[m, n] += sum over k < 32 of A[m, k] * B[k, n]         16 cycles, 16384 products

Each number is split into bfloat16 parts, every one the rounded rest of those before. Three parts of 8 bits hold all 24
of a float32. Of the nine products of parts, `PRODUCTS` keeps those that are not below its rounding.
"""

from __future__ import annotations

import numpy as np

from ...jit.ir import DECLARE_PREFETCH, Function, Value
from ..record import Array

# (part of A, part of B), ordered so that few tiles are loaded again
PRODUCTS = {
    6: ((0, 2), (0, 1), (1, 1), (1, 0), (2, 0), (0, 0)),
    3: ((0, 1), (0, 0), (1, 0)),
    1: ((0, 0),),
}
PARTS = {6: 3, 3: 2, 1: 1}
SIDE = 16  # rows of a tile, and its columns of float32
DEPTH = 32  # bfloat16 in a row
TILE_BYTES = 1024

MOST_TERMS = 1 << 18

FLOATS, WORDS, HALVES = "<16 x float>", "<16 x i32>", "<32 x i16>"

DECLARATIONS = DECLARE_PREFETCH + "".join(
    f"declare {line}\n"
    for line in (
        "void @llvm.x86.ldtilecfg(ptr)",
        "void @llvm.x86.tilerelease()",
        "void @llvm.x86.tilezero(i8 immarg)",
        "void @llvm.x86.tileloadd64(i8 immarg, ptr, i64)",
        "void @llvm.x86.tilestored64(i8 immarg, ptr, i64)",
        "void @llvm.x86.tdpbf16ps(i8 immarg, i8 immarg, i8 immarg)",
        "<32 x bfloat> @llvm.x86.avx512bf16.cvtne2ps2bf16.512(<16 x float>, <16 x float>)",
        "<16 x i32> @llvm.umin.v16i32(<16 x i32>, <16 x i32>)",
        "<16 x i32> @llvm.umax.v16i32(<16 x i32>, <16 x i32>)",
        "i32 @llvm.vector.reduce.umin.v16i32(<16 x i32>)",
        "i32 @llvm.vector.reduce.umax.v16i32(<16 x i32>)",
    )
)


def configuration() -> Array:
    """The 64 bytes that make all eight registers 16 rows of 64 bytes.

    Source: Intel SDM, LDTILECFG: byte 0 the palette, from byte 16 bytes per row (2 each), from byte 48 rows.
    """
    found = np.zeros(64, np.uint8)
    found[0] = 1
    found[16:32].view(np.uint16)[:] = 64
    found[48:56] = SIDE
    return found


def configure(f: Function, configuration: Value) -> None:
    f.line(f"call void @llvm.x86.ldtilecfg(ptr {configuration.name})")


def release(f: Function) -> None:
    f.line("call void @llvm.x86.tilerelease()")


def clear_tile(f: Function, register: int) -> None:
    f.line(f"call void @llvm.x86.tilezero(i8 {register})")


def load_tile(f: Function, register: int, pointer: Value, pitch: Value | int) -> None:
    """16 rows of 64 bytes, `pitch` bytes apart."""
    f.line(f"call void @llvm.x86.tileloadd64(i8 {register}, ptr {pointer.name}, i64 {f.i64(pitch).name})")


def store_tile(f: Function, register: int, pointer: Value, pitch: Value | int) -> None:
    f.line(f"call void @llvm.x86.tilestored64(i8 {register}, ptr {pointer.name}, i64 {f.i64(pitch).name})")


def add_product(f: Function, c: int, a: int, b: int) -> None:
    f.line(f"call void @llvm.x86.tdpbf16ps(i8 {c}, i8 {a}, i8 {b})")


def add_products(
    f: Function,
    products: int,
    a: list[Value],
    a_pitch: Value | int,
    a_part: Value | int,
    b: list[Value],
    b_pitch: Value | int,
    b_part: Value | int,
    swapped: bool = False,
) -> None:
    """C[i, j] += A[i] @ B[j] for tiles i of `a` and j of `b`; C in the first registers, parts so many bytes apart.

    `swapped`: what is A elsewhere is B here, and every sum has its terms in the same order.
    """
    kept = [(y, x) if swapped else (x, y) for x, y in PRODUCTS[products]]
    # (i, part of A, j, part of B): four products before a sum is added to again
    uses = [(i, part_a, j, part_b) for part_a, part_b in kept for i in range(len(a)) for j in range(len(b))]
    # a register is loaded as soon as nobody reads what it holds, so that loads and products run side by side
    holds: dict[int, int] = {}  # the part in each register

    def needed(register: int, later: list[tuple[int, int, int, int]]) -> int | None:
        """The part that `register` is read with next."""
        found = (part for i, pa, j, pb in later for tile, part in ((4 + i, pa), (6 + j, pb)) if tile == register)
        return next(found, None)

    def fetch(register: int, part: int) -> None:
        if holds.get(register) == part:
            return
        holds[register] = part
        of_a = register < 6
        pointer = a[register - 4] if of_a else b[register - 6]
        apart, pitch = (a_part, a_pitch) if of_a else (b_part, b_pitch)
        load_tile(f, register, f.at(pointer, "i8", f.i64(apart) * part if part else 0), pitch)

    for n, (i, part_a, j, part_b) in enumerate(uses):
        fetch(4 + i, part_a)
        fetch(6 + j, part_b)
        add_product(f, 2 * i + j, 4 + i, 6 + j)
        for register in (4 + i, 6 + j):
            part = needed(register, uses[n + 1 :])
            if part is not None:
                fetch(register, part)


def bits(f: Function, vector: Value) -> Value:
    return f.value(f"bitcast {vector.type} {vector.name} to {WORDS}", WORDS)


def round_to_halves(f: Function, low: Value, high: Value) -> Value:
    """Two vectors of float32 as 32 bfloat16, those of `low` first."""
    name = "@llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    rounded = f.value(f"call <32 x bfloat> {name}({FLOATS} {high.name}, {FLOATS} {low.name})", "<32 x bfloat>")
    return f.value(f"bitcast <32 x bfloat> {rounded.name} to {HALVES}", HALVES)


def interleave(f: Function, halves: Value) -> Value:
    """Numbers 0, 16, 1, 17, ... of 32 halves: pairs for a row of B."""
    order = ", ".join(f"i32 {k}, i32 {SIDE + k}" for k in range(SIDE))
    return f.value(f"shufflevector {HALVES} {halves.name}, {HALVES} poison, <32 x i32> <{order}>", HALVES)


def split_pairs(f: Function, numbers: list[Value], parts: int) -> list[Value]:
    """The parts of two scaled vectors of float32, in pairs (even, odd)."""
    (even, odd), found = numbers, []
    for part in range(parts):
        pairs = interleave(f, round_to_halves(f, even, odd))
        found.append(pairs)
        if part + 1 < parts:
            words = f.value(f"bitcast {HALVES} {pairs.name} to {WORDS}", WORDS)
            low = f.value(f"shl {WORDS} {words.name}, {splat_word(16)}", WORDS)
            high = f.value(f"and {WORDS} {words.name}, {splat_word(-65536)}", WORDS)
            even, odd = even - floats_of(f, low), odd - floats_of(f, high)
    return found


def split_row(f: Function, numbers: list[Value], parts: int) -> list[Value]:
    """The parts of 32 scaled float32 in a row, each 32 halves in a row."""
    (low, high), found = numbers, []
    for part in range(parts):
        halves = round_to_halves(f, low, high)
        found.append(halves)
        if part + 1 < parts:
            low, high = (vector - _half(f, halves, k) for k, vector in enumerate((low, high)))
    return found


def _half(f: Function, halves: Value, which: int) -> Value:
    """The float32 of 16 of 32 halves."""
    order = ", ".join(f"i32 {SIDE * which + k}" for k in range(SIDE))
    some = f.value(f"shufflevector {HALVES} {halves.name}, {HALVES} poison, <16 x i32> <{order}>", "<16 x i16>")
    wide = f.value(f"zext <16 x i16> {some.name} to {WORDS}", WORDS)
    return floats_of(f, f.value(f"shl {WORDS} {wide.name}, {splat_word(16)}", WORDS))


def floats_of(f: Function, words: Value) -> Value:
    return f.value(f"bitcast {WORDS} {words.name} to {FLOATS}", FLOATS)


def splat_word(number: int) -> str:
    return "<" + ", ".join([f"i32 {number}"] * SIDE) + ">"


# --- what a thread has seen of an array's numbers: 16 smallest and 16 largest magnitudes


def load_extremes(f: Function, place: Value) -> list[Value]:
    return [f.load(WORDS, f.at(place, WORDS, k)) for k in range(2)]


def store_extremes(f: Function, extremes: list[Value], place: Value) -> None:
    for k, vector in enumerate(extremes):
        f.store(vector, f.at(place, WORDS, k))


def no_extremes(f: Function, place: Value) -> None:
    """Nothing seen: the largest magnitude is zero, the smallest of all."""
    ones = Value(splat_word(-1), WORDS, f)
    store_extremes(f, [ones, f.zero(WORDS)], place)


def see(f: Function, extremes: list[Value], numbers: Value) -> list[Value]:
    """The extremes with those of a scaled vector: magnitudes compare as their bits do, and zero less one is largest."""
    lowest, highest = extremes
    magnitude = f.value(f"and {WORDS} {bits(f, numbers).name}, {splat_word(0x7FFFFFFF)}", WORDS)
    less_one = f.value(f"add {WORDS} {magnitude.name}, {splat_word(-1)}", WORDS)
    return [
        f.value(f"call {WORDS} @llvm.umin.v16i32({WORDS} {lowest.name}, {WORDS} {less_one.name})", WORDS),
        f.value(f"call {WORDS} @llvm.umax.v16i32({WORDS} {highest.name}, {WORDS} {magnitude.name})", WORDS),
    ]


def raise_flag_if_strange(f: Function, place: Value, bounds: tuple[float, float], flag: Value) -> None:
    """Set the i64 at `flag` where a magnitude that was seen lies outside of these bounds."""
    lowest, highest = load_extremes(f, place)
    least = f.value(f"call i32 @llvm.vector.reduce.umin.v16i32({WORDS} {lowest.name})", "i32")
    most = f.value(f"call i32 @llvm.vector.reduce.umax.v16i32({WORDS} {highest.name})", "i32")
    low, high = (int(np.float32(bound).view(np.uint32)) for bound in bounds)
    too_low = f.compare("ult", least, low - 1)
    too_high = f.compare("ugt", most, high)
    strange = f.value(f"or i1 {too_low.name}, {too_high.name}", "i1")
    with f.when(strange, "strange"):
        f.store(f.i64(1), flag)
