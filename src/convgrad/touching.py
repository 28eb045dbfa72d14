"""Who meets whom: for one entry of the input, the weight or the output, every product in which it stands.

`definition.terms` lists all products; this finds those of one entry without walking through the rest. With a border
that repeats the input an entry stands at several positions and meets the windows of all of them; constants are
nobody's entry.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .boundary import CONSTANT
from .definition import Index
from .errors import GeometryError
from .geometry import Axis, Geometry, joined
from .spelling import parse


@dataclass(frozen=True, slots=True)
class Touch:
    """One product of the definition, as the indices of its three entries: `x[t.x]`, `w[t.w]` and `y[t.y]`."""

    x: Index
    w: Index
    y: Index


@dataclass(frozen=True, slots=True)
class _Step:
    """The same along one axis: input position, tap, output position."""

    i: int
    k: int
    o: int


def touches(
    geometry: Geometry | str, *, x: Index | None = None, w: Index | None = None, y: Index | None = None
) -> list[Touch]:
    """Every product in which one entry stands: who uses an input, where a weight is used, what an output reads.

    geometry: a Geometry or its spelling, as in "i5x5 k3x3 s2".
    x, w, y: the index of one entry in the array of that name, with image and channel, as in `x=(0, 0, 2, 1)`;
    exactly one of them is given.
    Returns a list of `Touch` in the order of `definition.terms`: by output position, then by tap. Products with
    constants of the padding are not in it. An input that no window reads has the empty list.
    Raises GeometryError for an index outside of its array, or where not exactly one is given.
    Source: `definition.terms`, derived in docs/derivation.md.

    >>> for touch in touches("i5 k3", x=(0, 0, 2)):      # outputs go up, taps go down: the flip
    ...     print(touch.y, touch.w)
    (0, 0, 0) (0, 0, 2)
    (0, 0, 1) (0, 0, 1)
    (0, 0, 2) (0, 0, 0)
    """
    g = parse(geometry) if isinstance(geometry, str) else geometry
    name, index = _the_one(x=x, w=w, y=y)
    shape = {"x": g.input_shape, "w": g.weight_shape, "y": g.output_shape}[name]
    first, second, *spatial = _inside(name, index, shape)
    steps = {"x": _by_input, "w": _by_tap, "y": _by_output}[name]
    channels = {"x": _channels_of_input, "w": _channels_of_weight, "y": _channels_of_output}[name](g, first, second)
    along = [tuple(steps(axis, position)) for axis, position in zip(g.axes, spatial, strict=True)]
    found = [
        Touch((n, ic, *(s.i for s in meeting)), (oc, local, *(s.k for s in meeting)), (n, oc, *(s.o for s in meeting)))
        for n, oc, local, ic in channels
        for meeting in itertools.product(*along)
    ]
    return sorted(found, key=lambda touch: (touch.y, touch.w))


# ---- channels: (image, output channel, input channel within the group, input channel)

_Channels = Iterator[tuple[int, int, int, int]]


def _channels_of_input(g: Geometry, n: int, ic: int) -> _Channels:
    group, local = divmod(ic, g.in_channels_per_group)
    for oc in range(group * g.out_channels_per_group, (group + 1) * g.out_channels_per_group):
        yield n, oc, local, ic


def _channels_of_weight(g: Geometry, oc: int, local: int) -> _Channels:
    for n in range(g.batch):
        yield n, oc, local, _input_channel(g, oc, local)


def _channels_of_output(g: Geometry, n: int, oc: int) -> _Channels:
    for local in range(g.in_channels_per_group):
        yield n, oc, local, _input_channel(g, oc, local)


def _input_channel(g: Geometry, oc: int, local: int) -> int:
    return oc // g.out_channels_per_group * g.in_channels_per_group + local


# ---- one axis


def _by_input(axis: Axis, i: int) -> Iterator[_Step]:
    """Solved for the output: o = (place + before - k * dilation) / stride, where that is whole and exists."""
    for place in _places(axis, i):
        for k in range(axis.kernel):
            o, rest = divmod(place + axis.before - k * axis.dilation, axis.stride)
            if rest == 0 and 0 <= o < axis.output:
                yield _Step(i, k, o)


def _by_tap(axis: Axis, k: int) -> Iterator[_Step]:
    return _landing(axis, ((o, k) for o in range(axis.output)))


def _by_output(axis: Axis, o: int) -> Iterator[_Step]:
    return _landing(axis, ((o, k) for k in range(axis.kernel)))


def _landing(axis: Axis, pairs: Iterable[tuple[int, int]]) -> Iterator[_Step]:
    for o, k in pairs:
        i = axis.entry(axis.source(o, k))
        if i is not None:
            yield _Step(i, k, o)


def _places(axis: Axis, i: int) -> Iterable[int]:
    """Every position at which input `i` is read, the padding included."""
    return (i,) if axis.mode in CONSTANT else (place for place in axis.read if axis.entry(place) == i)


# ---- the gate


def _the_one(**indices: Index | None) -> tuple[str, Index]:
    given = [(name, index) for name, index in indices.items() if index is not None]
    if len(given) != 1:
        names = ", ".join(name for name, _ in given) or "none"
        rule = f"the entries of {len(given)} arrays are asked for, but one list belongs to one entry"
        raise GeometryError("x, w, y", names, rule, "exactly one of them")
    return given[0]


def _inside(name: str, index: Index, shape: tuple[int, ...]) -> Index:
    accepted = f"{len(shape)} whole numbers from (0, ...) to {tuple(size - 1 for size in shape)}"
    try:
        place = tuple(operator.index(number) for number in index)
    except TypeError:
        raise GeometryError(name, index, "is not a tuple of whole numbers", accepted) from None
    if len(place) != len(shape) or not all(0 <= at < size for at, size in zip(place, shape, strict=True)):
        raise GeometryError(name, place, f"lies outside of {name}, whose shape is {joined(shape)}", accepted)
    return place
