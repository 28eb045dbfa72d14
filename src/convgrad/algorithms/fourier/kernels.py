"""Text of the compiled parts: pack tiles into lanes, transform, multiply spectra, unpack.

A buffer holds rows (channels and phases), a row an array of three axes, an entry two vectors: the real and the
imaginary parts of one number in each lane. A lane is a pair of tiles: one in the real part, one in the imaginary.
A real kernel keeps them apart, so two tiles cost one complex transform, and no lane ever sees another.

The forward transform leaves its results in the order in which its stages end, digits reversed; the backward one
takes its stages in reverse and puts them right again. Spectra are only multiplied entry by entry in between.
"""

from __future__ import annotations

from collections.abc import Callable

from ...jit.ir import Function, Value, declare_fma, declare_gather, declare_lane_sum
from ...jit.targets import Target

AXES = (0, 1, 2)
SIZES = tuple(f"n{a}" for a in AXES)
MOVE = (
    *("array", "buffer", "offsets", "bounds", "rows", "flags"),
    *("row_count", "row_pitch", "pitch", "scale", "turn", *SIZES, *(f"step{a}" for a in AXES)),
)
TRANSFORM = (
    *("buffer", *(f"stages{a}" for a in AXES), *(f"twiddles{a}" for a in AXES)),
    *("row_count", "row_pitch", "pitch", *SIZES, *(f"count{a}" for a in AXES)),
)
PRODUCT = (
    *("a", "b", "out", "lost"),
    *("channels", "row_count", "a_pitch", "out_pitch", "outer", "inner", "pitch"),
    *("b_width", "b_line", "b_pitch", "b_block"),  # of `multiply`: lanes of an entry; from line, row, block to the next
)
POINTERS = {"array", "buffer", "offsets", "bounds", "rows", "flags", "scale", "turn", "a", "b", "out", "lost"}
ROW = 4  # numbers of a row's entry: its offset in the array, and where its bounds lie for each axis


class Record:
    """The fields of an argument record, loaded at once so that loops find them in registers or on the stack."""

    def __init__(self, f: Function, names: tuple[str, ...]) -> None:
        self._loaded = {}
        for place, name in enumerate(names):
            pointer = name in POINTERS or name.startswith(("stages", "twiddles"))
            self._loaded[name] = f.load("ptr" if pointer else "i64", f.at(f.arg("record"), "i64", place))

    def __getitem__(self, name: str) -> Value:
        return self._loaded[name]


def pack(element: str, target: Target) -> str:
    """buffer[row, i] = array[offset + i * step] where the bounds allow, else 0; imaginary parts times `turn`."""
    lanes, kind = _vector(element, target)
    f = Function("pack", "ptr record")
    r = Record(f, MOVE)
    turn = f.splat(f.load(element, r["turn"]), kind)

    def move(entry: Value, source: Value, places: list[Value], masks: list[Value]) -> None:
        f.store(f.gather(kind, source, places[0], masks[0]), entry)
        f.store(f.gather(kind, source, places[1], masks[1]) * turn, f.at(entry, element, lanes))

    _move(f, r, element, target, move)
    return f.text() + declare_gather(kind)


def unpack(element: str, target: Target) -> str:
    """array[offset + i * step] = buffer[row, i] * scale where the bounds allow; `flags` become NaN where not finite."""
    lanes, kind = _vector(element, target)
    f = Function("unpack", "ptr record")
    r = Record(f, MOVE)
    scale = f.splat(f.load(element, r["scale"]), kind)
    flags = [f.at(r["flags"], element, half * lanes) for half in (0, 1)]

    def move(entry: Value, goal: Value, places: list[Value], masks: list[Value]) -> None:
        for half in (0, 1):
            found = f.load(kind, f.at(entry, element, half * lanes)) * scale
            f.scatter(found, goal, places[half], masks[half])
            # zero for what is finite, NaN for what is not
            sign, mask = found * f.zero(kind), masks[half]
            kept = f"select {mask.type} {mask.name}, {kind} {sign.name}, {kind} zeroinitializer"
            f.store(f.load(kind, flags[half]) + f.value(kept, kind), flags[half])

    _move(f, r, element, target, move)
    return f.text() + declare_gather(kind)


def _move(
    f: Function,
    r: Record,
    element: str,
    target: Target,
    move: Callable[[Value, Value, list[Value], list[Value]], None],
) -> None:
    """The loop nest of `pack` and `unpack`: rows, then the three axes, with a mask for each axis."""
    lanes, _ = _vector(element, target)
    wide, narrow = f"<{lanes} x i64>", f"<{lanes} x i32>"

    def inside(axis: int, bounds: Value, index: Value, half: int) -> Value:
        """The lanes with first <= index < first + count; one unsigned comparison."""
        first, count = (f.load(narrow, f.at(bounds, "i32", (2 * what + half) * lanes)) for what in (0, 1))
        i = f.splat(f.value(f"trunc i64 {index.name} to i32", "i32"), narrow)
        return f.value(f"icmp ult {narrow} {(i - first).name}, {count.name}", f"<{lanes} x i1>")

    with f.loop("row", 0, r["row_count"]) as row:
        entry = f.at(r["rows"], "i64", row.index * ROW)
        array = f.at(r["array"], element, f.load("i64", entry))
        bounds = [f.at(r["bounds"], "i32", f.load("i64", f.at(entry, "i64", 1 + axis))) for axis in AXES]
        buffer = f.at(r["buffer"], element, row.index * r["row_pitch"])
        steps = [f.splat(r[f"step{axis}"], wide) for axis in AXES]
        starts = [f.load(wide, f.at(r["offsets"], "i64", half * lanes)) for half in (0, 1)]
        with f.loop("i0", 0, r["n0"], carried=starts) as i0:
            masks0 = [inside(0, bounds[0], i0.index, half) for half in (0, 1)]
            with f.loop("i1", 0, r["n1"], carried=i0.carried) as i1:
                masks1 = [inside(1, bounds[1], i1.index, half) & masks0[half] for half in (0, 1)]
                line = f.at(buffer, element, (i0.index * r["n1"] + i1.index) * r["pitch"])
                with f.loop("i2", 0, r["n2"], carried=i1.carried) as i2:
                    masks = [inside(2, bounds[2], i2.index, half) & masks1[half] for half in (0, 1)]
                    move(f.at(line, element, i2.index * (2 * lanes)), array, i2.carried, masks)
                    i2.next = [place + steps[2] for place in i2.carried]
                i1.next = [place + steps[1] for place in i1.carried]
            i0.next = [place + steps[0] for place in i0.carried]


def transform(element: str, target: Target, backward: bool) -> str:
    """The discrete Fourier transform of every row along its three axes, in place."""
    lanes, kind = _vector(element, target)
    f = Function("backward" if backward else "forward", "ptr record")
    r = Record(f, TRANSFORM)
    entry = 2 * lanes
    distance = {0: r["n1"] * r["pitch"], 1: r["pitch"], 2: f.i64(entry)}
    with f.loop("row", 0, r["row_count"]) as row:
        data = f.at(r["buffer"], element, row.index * r["row_pitch"])
        for axis in reversed(AXES):
            outer, inner = (a for a in AXES if a != axis)
            with (
                f.when(f.i64(0) < r[f"count{axis}"], f"axis{axis}"),
                f.loop(f"outer{axis}", 0, r[f"n{outer}"]) as u,
                f.loop(f"inner{axis}", 0, r[f"n{inner}"]) as v,
            ):
                column = f.at(data, element, u.index * distance[outer] + v.index * distance[inner])
                stages = (r[f"{what}{axis}"] for what in ("stages", "count", "twiddles"))
                f.call("column", column, distance[axis], r[f"n{axis}"], *stages)
    return "".join([_column(element, target, backward).text(), f.text(), declare_fma(kind)])


def _column(element: str, target: Target, backward: bool) -> Function:
    """One transform of n entries at a distance, all its stages."""
    lanes, kind = _vector(element, target)
    f = Function("column", "ptr data, i64 distance, i64 n, ptr stages, i64 count, ptr twiddles", internal=True)
    distance, n = f.arg("distance"), f.arg("n")
    with f.loop("stage", 0, f.arg("count")) as stage:
        place = f.arg("count") - 1 - stage.index if backward else stage.index
        row = f.at(f.arg("stages"), "i64", place * 3)
        radix, legs, first = (f.load("i64", f.at(row, "i64", k)) for k in range(3))
        factors = f.at(f.arg("twiddles"), element, first)
        for size, butterfly in _BUTTERFLIES.items():
            with f.when(radix.equals(size), f"radix{size}"):
                # the first butterfly of each block turns nothing
                for turned, start, stop in ((False, f.i64(0), f.i64(1)), (True, f.i64(1), legs)):
                    name = f"{'turned' if turned else 'plain'}{size}"
                    with f.loop(name, start, stop) as j:
                        turns = f.at(factors, element, j.index * (2 * (size - 1)))
                        with f.loop(f"block_{name}", j.index, n, legs * size) as at:
                            legs_at = [at.index + legs * leg for leg in range(size)]
                            places = [f.at(f.arg("data"), element, leg * distance) for leg in legs_at]
                            # the backward transform is the forward one with real and imaginary parts exchanged
                            halves = (lanes, 0) if backward else (0, lanes)
                            z = [_loaded(f, kind, p, *halves) for p in places]
                            if backward and turned:
                                z = _turned(f, target, z, turns)
                            z = butterfly(f, target, kind, z)
                            if turned and not backward:
                                z = _turned(f, target, z, turns)
                            for p, (re, im) in zip(places, z, strict=True):
                                f.store(re, f.at(p, element, halves[0]))
                                f.store(im, f.at(p, element, halves[1]))
    return f


Complex = tuple[Value, Value]


def _loaded(f: Function, kind: str, entry: Value, real: int, imaginary: int) -> Complex:
    """An entry of a buffer, given where its parts lie."""
    element = kind[1:-1].split(" x ")[1]
    return f.load(kind, f.at(entry, element, real)), f.load(kind, f.at(entry, element, imaginary))


def _turned(f: Function, target: Target, z: list[Complex], turns: Value) -> list[Complex]:
    """All legs but the first times their twiddle factors, which are loaded here: registers are few."""
    kind = z[0][0].type
    element = kind[1:-1].split(" x ")[1]
    done = z[:1]
    for leg, number in enumerate(z[1:]):
        real, imaginary = (f.splat(f.load(element, f.at(turns, element, 2 * leg + k)), kind) for k in (0, 1))
        done.append(_times(f, target, number, (real, imaginary)))
    return done


def _times(f: Function, target: Target, a: Complex, b: Complex) -> Complex:
    real = f.fma(a[0], b[0], _negative(f, a[1] * b[1]), target.fma)
    return real, f.fma(a[0], b[1], a[1] * b[0], target.fma)


def _negative(f: Function, a: Value) -> Value:
    return f.value(f"fneg {a.type} {a.name}", a.type)


def _sum(a: Complex, b: Complex) -> Complex:
    return a[0] + b[0], a[1] + b[1]


def _difference(a: Complex, b: Complex) -> Complex:
    return a[0] - b[0], a[1] - b[1]


def _butterfly2(f: Function, target: Target, kind: str, z: list[Complex]) -> list[Complex]:
    return [_sum(z[0], z[1]), _difference(z[0], z[1])]


def _butterfly3(f: Function, target: Target, kind: str, z: list[Complex]) -> list[Complex]:
    element = kind[1:-1].split(" x ")[1]
    half, root = (f.splat(f.constant(number, element), kind) for number in (-0.5, _ROOT[element]))
    both, apart = _sum(z[1], z[2]), _difference(z[1], z[2])
    middle = f.fma(both[0], half, z[0][0], target.fma), f.fma(both[1], half, z[0][1], target.fma)
    turned = apart[1] * root, apart[0] * root  # -i sqrt(3)/2 apart is (turned[0], -turned[1])
    return [
        _sum(z[0], both),
        (middle[0] + turned[0], middle[1] - turned[1]),
        (middle[0] - turned[0], middle[1] + turned[1]),
    ]


# sqrt(3)/2 and sqrt(1/2), rounded to the dtype: LLVM takes no float constant with more digits
_ROOT = {"float": 0.8660253882408142, "double": 0.8660254037844386}
_DIAGONAL = {"float": 0.7071067690849304, "double": 0.7071067811865476}


def _butterfly4(f: Function, target: Target, kind: str, z: list[Complex]) -> list[Complex]:
    even, odd = _sum(z[0], z[2]), _sum(z[1], z[3])
    a, b = _difference(z[0], z[2]), _difference(z[1], z[3])
    return [_sum(even, odd), (a[0] + b[1], a[1] - b[0]), _difference(even, odd), (a[0] - b[1], a[1] + b[0])]


def _butterfly8(f: Function, target: Target, kind: str, z: list[Complex]) -> list[Complex]:
    element = kind[1:-1].split(" x ")[1]
    diagonal = f.splat(f.constant(_DIAGONAL[element], element), kind)
    even = _butterfly4(f, target, kind, [_sum(a, b) for a, b in zip(z[:4], z[4:], strict=True)])
    (a, b, c, d) = (_difference(p, q) for p, q in zip(z[:4], z[4:], strict=True))
    b = (b[0] + b[1]) * diagonal, (b[1] - b[0]) * diagonal  # an eighth of a turn
    d = (d[1] - d[0]) * diagonal, _negative(f, (d[0] + d[1]) * diagonal)  # three eighths
    odd = _butterfly4(f, target, kind, [a, b, (c[1], _negative(f, c[0])), d])
    return [z for pair in zip(even, odd, strict=True) for z in pair]


_BUTTERFLIES = {2: _butterfly2, 3: _butterfly3, 4: _butterfly4, 8: _butterfly8}


def multiply(element: str, target: Target, apart: bool) -> str:
    """out[m] = sum over channels c of a[c] * b[c, m], entry by entry; `out` may be `a` where both have one row.

    b holds m side by side, and all lanes of `a` meet the same number; `apart`: each lane of `a` meets its own.
    """
    lanes, kind = _vector(element, target)
    f = Function("multiply", "ptr record")
    r = Record(f, PRODUCT)
    done = f.i64(0)
    for rows in sorted({1, min(4, lanes)}, reverse=True):
        with f.loop(f"rows{rows}", done, r["row_count"] - (rows - 1), rows) as m:
            if apart:
                b = f.at(r["b"], element, m.index * r["b_block"])
            else:
                b = f.at(r["b"], element, m.index // lanes * r["b_block"] + m.index % lanes)
            out = f.at(r["out"], element, m.index * r["out_pitch"])
            with f.loop(f"outer{rows}", 0, r["outer"]) as i, f.loop(f"inner{rows}", 0, r["inner"]) as j:
                place = i.index * r["pitch"] + j.index * (2 * lanes)
                b_place = i.index * r["b_line"] + j.index * (r["b_width"] * 2)
                zeros = [f.zero(kind)] * (2 * rows)
                with f.loop(f"channel{rows}", 0, r["channels"], carried=zeros) as c:
                    x = f.at(r["a"], element, c.index * r["a_pitch"] + place)
                    x_real, x_imaginary = _loaded(f, kind, x, 0, lanes)
                    w = f.at(b, element, c.index * r["b_pitch"] + b_place)
                    after = []
                    for row in range(rows):
                        at = f.at(w, element, r["b_block"] * row if apart else row)
                        w_real, w_imaginary = (
                            f.load(kind, half) if apart else f.splat(f.load(element, half), kind)
                            for half in (at, f.at(at, element, r["b_width"]))
                        )
                        real, imaginary = c.carried[2 * row : 2 * row + 2]
                        real = f.fma(x_real, w_real, real, target.fma)
                        real = f.fma(_negative(f, x_imaginary), w_imaginary, real, target.fma)
                        imaginary = f.fma(x_real, w_imaginary, imaginary, target.fma)
                        imaginary = f.fma(x_imaginary, w_real, imaginary, target.fma)
                        after += [real, imaginary]
                    c.next = after
                for row in range(rows):
                    y = f.at(out, element, r["out_pitch"] * row + place)
                    f.store(c.carried[2 * row], y)
                    f.store(c.carried[2 * row + 1], f.at(y, element, lanes))
        done = m.index
    return f.text() + declare_fma(kind)


def accumulate(element: str, target: Target, apart: bool) -> str:
    """out[c, m] += a[m] * b[c], entry by entry and summed over lanes, or `apart` for each lane.

    `out` holds m in its lanes where lanes are summed. `lost` collects what rounding takes from these sums.
    """
    lanes, kind = _vector(element, target)
    f = Function("accumulate", "ptr record")
    r = Record(f, PRODUCT)
    with f.loop("row", 0, r["row_count"]) as m, f.loop("channel", 0, r["channels"]) as c:
        if apart:
            target_at = (m.index * r["channels"] + c.index) * r["out_pitch"]
        else:
            block, lane = m.index // lanes, m.index % lanes
            target_at = (block * r["channels"] + c.index) * r["out_pitch"] + lane
        gy = f.at(r["a"], element, m.index * r["a_pitch"])
        x = f.at(r["b"], element, c.index * r["a_pitch"])
        with f.loop("outer", 0, r["outer"]) as i, f.loop("inner", 0, r["inner"]) as j:
            place = i.index * r["pitch"] + j.index * (2 * lanes)
            g, z = (_loaded(f, kind, f.at(at, element, place), 0, lanes) for at in (gy, x))
            product = _times(f, target, z, g)
            for half in (0, 1):
                term = product[half] if apart else f.lane_sum(product[half])
                _add(f, term, *(f.at(r[name], element, target_at + place + half * lanes) for name in ("out", "lost")))
    return f.text() + declare_fma(kind) + ("" if apart else declare_lane_sum(kind))


def _add(f: Function, term: Value, total: Value, lost: Value) -> None:
    """Knuth's TwoSum: the new total and what it lost are together exactly the old total and the term."""
    old = f.load(term.type, total)
    new = old + term
    arrived = new - old
    error = (old - (new - arrived)) + (term - arrived)
    f.store(new, total)
    f.store(f.load(term.type, lost) + error, lost)


def _vector(element: str, target: Target) -> tuple[int, str]:
    lanes = target.vector_bytes // {"float": 4, "double": 8}[element]
    return lanes, f"<{lanes} x {element}>"
