"""What arrays hold, and how sixteen of their numbers come into a vector and back: float32, which packing splits into
parts of bfloat16, and bfloat16, which is one part.

The unit flushes numbers below 2**-126 to zero. So that no part and no product that matters is one, float32 is scaled by
2**24, and `lowest` and `highest` bound what scaled numbers may be besides zeros: x * y >= 2**-96, of which 2**-126 is
2**-30 (for bfloat16 2**-114 and 2**-12), and 2**18 products stay below 2**127.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...jit.ir import Function, Value, declare_expand, declare_gather, declare_masked
from .instructions import FLOATS, HALVES, PARTS, SIDE, WORDS, floats_of, splat_word

SHORTS = f"<{SIDE} x i16>"
LANES = f"<{SIDE} x i64>"

DECLARATIONS = (
    "".join(map(declare_masked, (FLOATS, SHORTS, HALVES)))
    + "".join(map(declare_gather, (FLOATS, SHORTS, WORDS)))
    + "".join(map(declare_expand, (FLOATS, SHORTS)))
    + f"declare <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512({FLOATS})\n"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Arrays of one dtype, and how many products of parts are kept of theirs."""

    dtype: str
    products: int
    element: str
    itemsize: int
    scale: float
    lowest: float  # scaled magnitudes that are kept, besides zero
    highest: float = 2.0**54

    @property
    def parts(self) -> int:
        return PARTS[self.products]

    def __str__(self) -> str:
        products = f"{self.products} products" if self.products > 1 else "1 product"
        return f"{products} of bfloat16"

    # --- in the text of a kernel

    def load(self, f: Function, source: Value, step: Value | int, present: Value | None) -> Value:
        """16 numbers `step` apart, the first `present` or all, as scaled float32."""
        if isinstance(step, Value):
            assert present is not None
            return self.gather(f, source, lanes_apart(f, step), f.first_lanes(present, FLOATS))
        if self.element == "i16":
            kind = SHORTS if step == 1 else HALVES  # every second is the lower half of a word
            count = present if present is None or step == 1 else present * 2 - 1
            found = _words(f, _loaded(f, kind, source, count), kind)
            return floats_of(f, f.value(f"shl {WORDS} {found.name}, {splat_word(16)}", WORDS))
        if step == 1:
            return self._scaled(f, _loaded(f, FLOATS, source, present))
        pair = (
            _loaded(f, FLOATS, source, None if present is None else present * 2 - 1),
            _loaded(f, FLOATS, f.at(source, "float", SIDE), None if present is None else present * 2 - (SIDE + 1)),
        )
        return self._scaled(f, f.shuffle(*pair, range(0, 2 * SIDE, 2)))

    def expand(self, f: Function, source: Value, mask: Value) -> Value:
        """The numbers from `source` on in the lanes under `mask`, as scaled float32."""
        if self.element == "float":
            return self._scaled(f, f.expand(FLOATS, source, mask))
        found = _words(f, f.expand(SHORTS, source, mask), SHORTS)
        return floats_of(f, f.value(f"shl {WORDS} {found.name}, {splat_word(16)}", WORDS))

    def gather(self, f: Function, source: Value, places: Value, mask: Value) -> Value:
        """The numbers at these places, as scaled float32."""
        if self.element == "float":
            return self._scaled(f, f.gather(FLOATS, source, places, mask))
        # words are gathered, from addresses that are multiples of four: none reaches into another page than its number
        address = f.value(f"ptrtoint ptr {source.name} to i64", "i64")
        odd = f.value(f"and i64 {f.value(f'lshr i64 {address.name}, 1', 'i64').name}, 1", "i64")
        even = f.at(source, "i16", odd * -1)
        halves = places + f.splat(odd, LANES)
        which = f.value(f"ashr {LANES} {halves.name}, {_splat_long(1)}", LANES)
        words = f.gather(WORDS, even, which, mask)
        low = f.value(f"xor {LANES} {halves.name}, {_splat_long(-1)}", LANES)
        low = f.value(f"and {LANES} {low.name}, {_splat_long(1)}", LANES)
        low = f.value(f"trunc {LANES} {(low * f.splat(f.i64(16), LANES)).name} to {WORDS}", WORDS)
        raised = f.value(f"shl {WORDS} {words.name}, {low.name}", WORDS)
        return floats_of(f, f.value(f"and {WORDS} {raised.name}, {splat_word(-65536)}", WORDS))

    def unscaled(self, f: Function, sums: Value) -> Value:
        """Sums of products with the scales of both factors taken back."""
        return sums if self.scale == 1 else sums * f.splat(f.constant(self.scale**-2, "float"), FLOATS)

    def result(self, f: Function, sums: Value) -> Value:
        """Sums as numbers of the array: rounded once."""
        if self.element == "float":
            return sums
        name = "@llvm.x86.avx512bf16.cvtneps2bf16.512"
        rounded = f.value(f"call <16 x bfloat> {name}({FLOATS} {sums.name})", "<16 x bfloat>")
        return f.value(f"bitcast <16 x bfloat> {rounded.name} to {SHORTS}", SHORTS)

    def _scaled(self, f: Function, found: Value) -> Value:
        return found * f.splat(f.constant(self.scale, "float"), FLOATS)


def float32(products: int) -> Source:
    return Source("float32", products, "float", 4, scale=2.0**24, lowest=2.0**-48)


BFLOAT16 = Source("bfloat16", 1, "i16", 2, scale=1.0, lowest=2.0**-57)


def lanes_apart(f: Function, step: Value) -> Value:
    """0, step, 2*step, ..."""
    order = Value("<" + ", ".join(f"i64 {lane}" for lane in range(SIDE)) + ">", LANES, f)
    return order * f.splat(step, LANES)


def _loaded(f: Function, kind: str, source: Value, present: Value | None) -> Value:
    return f.load(kind, source) if present is None else f.load_masked(kind, source, f.first_lanes(present, kind))


def _words(f: Function, halves: Value, kind: str) -> Value:
    """Words whose lower halves are these, or every second of these."""
    operation = "zext" if kind == SHORTS else "bitcast"
    return f.value(f"{operation} {kind} {halves.name} to {WORDS}", WORDS)


def _splat_long(number: int) -> str:
    return "<" + ", ".join([f"i64 {number}"] * SIDE) + ">"
