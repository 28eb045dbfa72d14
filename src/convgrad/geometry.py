"""What a convolution is, in whole numbers: one `Axis` per spatial direction, one `Geometry` per problem.

A record that exists is valid, so nothing behind this gate checks numbers again. Arrays, dtypes and the
spellings of a call (`padding="same"`) are left to `arguments`; the text form is left to `spelling`.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import boundary
from .errors import GeometryError


@dataclass(frozen=True, slots=True)
class Axis:
    """One spatial direction. Everything follows from one relation between three positions:

    input position = output position * stride + tap * dilation - before

    `before` and `after` count positions that the kernel may cover beyond the input; below zero they take some of
    the input away. What is read there is said by `mode`, a word of `boundary`; `fill` is the constant.
    """

    input: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    mode: str = "zeros"
    fill: complex = 0.0

    def __post_init__(self) -> None:
        for name in ("input", "kernel", "stride", "dilation"):
            object.__setattr__(self, name, whole(name, getattr(self, name), least=1))
        for name in ("before", "after"):
            object.__setattr__(self, name, whole("padding", getattr(self, name)))
        boundary.check_mode("padding_mode", self.mode)
        if self.fill != 0 and self.mode != "constant":
            raise GeometryError(
                "padding_value", self.fill, f"means nothing with padding_mode = {self.mode!r}", "0, or 'constant'"
            )
        if self.mode == "constant" and self.fill == 0:  # one name for one thing
            object.__setattr__(self, "mode", "zeros")
        if self.room < 0:
            longest = max(0, (self.padded - 1) // self.dilation + 1)
            raise GeometryError(
                "kernel",
                self.kernel,
                f"spans {self.span} positions, but input {self.input} plus padding "
                f"{self.before}+{self.after} offers {self.padded}",
                f"kernel <= {longest}, or more padding" if longest else "more padding",
            )

    @property
    def padded(self) -> int:
        """Positions that the kernel may cover: the input and its padding."""
        return self.before + self.input + self.after

    @property
    def span(self) -> int:
        """Positions from the first tap to the last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def room(self) -> int:
        """How far the kernel can move from its first position."""
        return self.padded - self.span

    @property
    def output(self) -> int:
        """How many output positions there are."""
        return self.room // self.stride + 1

    def source(self, output: int, tap: int) -> int:
        """The input position that `tap` reads for `output`; it may lie in the padding."""
        return output * self.stride + tap * self.dilation - self.before

    def readers(self, tap: int) -> range:
        """The outputs for which `tap` reads inside the input: the rest read padding there.

        >>> Axis(input=5, kernel=3, before=1, after=1).readers(0)
        range(1, 5)
        """
        first = max(0, -(self.source(0, tap) // self.stride))
        last = (self.input - 1 - self.source(0, tap)) // self.stride
        return range(first, max(first, min(last, self.output - 1) + 1))

    def entry(self, position: int) -> int | None:
        """The input position that is read at `position`, which may lie in the padding; None for a constant.

        >>> Axis(input=5, kernel=3, before=1, mode="circular").entry(-1)
        4
        """
        return boundary.entry(self.mode, position, self.input)

    @property
    def read(self) -> range:
        """The positions from the first to the last that any (output, tap) pair reads."""
        return range(self.source(0, 0), self.source(self.output - 1, self.kernel - 1) + 1)

    @property
    def pairs(self) -> int:
        """How many (output, tap) pairs read something but zero: the products along this axis."""
        if self.mode != "zeros":
            return self.output * self.kernel
        return sum(len(self.readers(tap)) for tap in range(self.kernel))

    @property
    def most_stands(self) -> int:
        """At how many of the positions that are read one entry of the input stands at most."""
        if self.mode in boundary.CONSTANT:
            return 1
        stands = Counter(self.entry(position) for position in self.read)
        return max(stands.values())

    @property
    def clips(self) -> bool:
        """Whether any (output, tap) pair reads padding."""
        return self.read.start < 0 or self.read.stop > self.input

    @property
    def is_plain(self) -> bool:
        """Whether there are only zeros beyond the input, and nothing of it is taken away."""
        return self.mode == "zeros" and self.before >= 0 and self.after >= 0


@dataclass(frozen=True, slots=True)
class Geometry:
    """A whole convolution: batch, channels, groups and one `Axis` per spatial direction.

    >>> g = Geometry(1, 3, 8, 1, (Axis(32, 5, stride=2, before=2, after=2), Axis(32, 5)))
    >>> g.input_shape, g.weight_shape, g.output_shape
    ((1, 3, 32, 32), (8, 3, 5, 5), (1, 8, 16, 28))
    """

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        for name in ("batch", "in_channels", "out_channels"):
            object.__setattr__(self, name, whole(name, getattr(self, name), least=0))
        object.__setattr__(self, "groups", whole("groups", self.groups, least=1))
        if not self.axes:
            raise GeometryError("axes", self.axes, "holds no spatial axis", "one Axis or more")
        check_groups(self.groups, in_channels=self.in_channels, out_channels=self.out_channels)
        fills = {axis.fill for axis in self.axes if axis.mode == "constant"}
        if len(fills) > 1:
            raise GeometryError(
                "padding_value", tuple(fills), "differs between axes, so corners have no value", "one number"
            )

    @property
    def rank(self) -> int:
        """How many spatial axes there are."""
        return len(self.axes)

    @property
    def input_size(self) -> tuple[int, ...]:
        return tuple(axis.input for axis in self.axes)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        return tuple(axis.kernel for axis in self.axes)

    @property
    def output_size(self) -> tuple[int, ...]:
        return tuple(axis.output for axis in self.axes)

    @property
    def in_channels_per_group(self) -> int:
        return self.in_channels // self.groups

    @property
    def out_channels_per_group(self) -> int:
        return self.out_channels // self.groups

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.batch, self.in_channels, *self.input_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels_per_group, *self.kernel_size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def products(self) -> int:
        """How many multiplications each of the three roles needs: one per index triple of the definition."""
        channels = self.batch * self.out_channels * self.in_channels_per_group
        if self.fill != 0:  # a constant is multiplied like an entry, in corners too
            return channels * math.prod(axis.output * axis.kernel for axis in self.axes)
        return channels * math.prod(axis.pairs for axis in self.axes)

    @property
    def clips(self) -> bool:
        """Whether any output reads padding."""
        return any(axis.clips for axis in self.axes)

    @property
    def is_plain(self) -> bool:
        """Whether there are only zeros beyond the input, and nothing of it is taken away."""
        return all(axis.is_plain for axis in self.axes)

    @property
    def fill(self) -> complex:
        """The constant that padding holds on any axis."""
        return next((axis.fill for axis in self.axes if axis.mode == "constant"), 0.0)

    @property
    def linear(self) -> Geometry:
        """The same with zeros for the constant of the padding: its part that is linear in the input."""
        if self.fill == 0:
            return self
        axes = (replace(axis, mode="zeros", fill=0.0) if axis.mode == "constant" else axis for axis in self.axes)
        return replace(self, axes=tuple(axes))

    def with_batch(self, batch: int) -> Geometry:
        """The same convolution of another number of images."""
        return replace(self, batch=batch)


def whole(argument: str, value: object, *, least: int | None = None) -> int:
    """`value` as an int of at least `least`, or the error that names `argument`."""
    accepted = "an int" if least is None else f"an int >= {least}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise GeometryError(argument, value, "is not a whole number", accepted) from None
    if least is not None and number < least:
        raise GeometryError(argument, number, f"must be at least {least}", accepted)
    return number


def check_groups(groups: int, **channels: int) -> None:
    """Refuse groups that do not divide the channels given by name."""
    for name, number in channels.items():
        if number % groups:
            rule = f"{name} = {number} cannot be shared equally by {groups} groups"
            raise GeometryError("groups", groups, rule, f"groups that divide {number}: {divisors(number)}")


def divisors(number: int) -> str:
    """The divisors of `number` for a message: all of them, or the first few."""
    found = [str(d) for d in range(1, min(number, 4096) + 1) if number % d == 0]
    return ", ".join(found if len(found) <= 8 else [*found[:7], "..."]) or "any"


def joined(numbers: Iterable[int], separator: str = "x") -> str:
    """`(3, 5)` as `3x5`: how sizes are written everywhere."""
    return separator.join(map(str, numbers))
