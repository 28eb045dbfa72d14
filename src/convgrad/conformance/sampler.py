"""Draws cases densely where bugs live: the corners of the option lattice.

Wrong gradients in released libraries sat at groups, stride beyond the kernel, dilation, wide padding, one output, three
axes, few channels, channel counts beside a vector's width, channels-last strides and long sums. Each draw leans into
some of these corners at once; plain shapes are the rest. A case depends on the seed and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from ..geometry import Axis, Geometry
from .capabilities import Capabilities
from .case import Case
from .dialects.record import Dialect

MOST_PRODUCTS = 100_000  # of one case, so that it takes some milliseconds
MOST_ELEMENTS = 50_000  # of its largest array
MOST_TAPS = 200
AROUND_VECTORS = (3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of a backend's lattice to draw from; None is all of it."""

    roles: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    isas: tuple[str, ...] = ("",)
    threads: tuple[int, ...] | None = None
    algorithms: tuple[str, ...] | None = None


def cases(dialect: Dialect, wishes: Wishes, seed: int) -> Iterator[Case]:
    """Endlessly many cases, in an order that the seed fixes."""
    number = 0
    while True:
        case = draw(dialect, wishes, Random((seed << 32) + number))
        number += 1
        if case is not None:
            yield case


def draw(dialect: Dialect, wishes: Wishes, rng: Random) -> Case | None:
    """One case; None where the drawn algorithm does not compute the drawn geometry."""
    capabilities = dialect.capabilities
    geometry = _geometry(capabilities, rng)
    # the weight gradient is the weak spot of every library
    roles = [role for role in wishes.roles or capabilities.roles for _ in range(1 + (role == "weight_grad"))]
    role = rng.choice(roles)
    dtype = rng.choice(wishes.dtypes or capabilities.dtypes)
    algorithm = rng.choice(wishes.algorithms or capabilities.algorithms)
    threads = wishes.threads or capabilities.threads
    case = Case(
        role=role,
        geometry=geometry,
        dtype=dtype,
        threads=rng.choice(threads),
        algorithm=algorithm,
        isa=rng.choice(wishes.isas),
        seed=rng.randrange(1 << 31),
    )
    if not capabilities.takes(geometry) or dialect.algorithm_of(case) is None:
        return None
    return replace(case, data=_data(dialect, case, rng), layouts=_layouts(capabilities, rng))


def _data(dialect: Dialect, case: Case, rng: Random) -> str:
    if case.magnitude == 0:
        return rng.choice(("real", "positive"))
    draws = ["whole"] * 6 + ["real"] * 2 + ["positive"]
    sizes = [math.prod(shape) for shape in case.shapes]
    if "special" in dialect.capabilities.promises and not dialect.transforms(case) and min(sizes) > 0:
        draws += ["special", "tiny"]
    if case.dtype in ("float16", "bfloat16"):
        draws = ["whole", "real"]
    return rng.choice(draws)


def _layouts(capabilities: Capabilities, rng: Random) -> tuple[str, str]:
    if rng.random() < 0.5:
        return ("contiguous", "contiguous")
    if "channels_last" in capabilities.layouts and rng.random() < 0.3:
        return ("channels_last", "channels_last")
    return rng.choice(capabilities.layouts), rng.choice(capabilities.layouts)


def _geometry(capabilities: Capabilities, rng: Random) -> Geometry:
    ranks = [rank for rank in capabilities.ranks for _ in range({1: 2, 2: 4, 3: 5}.get(rank, 1))]
    rank = rng.choice(ranks)
    batch, ic, oc, groups = _channels(capabilities, rng)
    style = rng.random()
    axes = [_axis(capabilities, rng, rank, style < 0.06 and position == rank - 1) for position in range(rank)]
    if style > 0.65:  # most layers treat all axes alike
        axes = [axes[0]] * rank
    if style > 0.9:  # and many have one tap
        axes = [replace(axis, kernel=1) for axis in axes]
    return _fitted(Geometry(batch, ic * groups, oc * groups, groups, tuple(axes)))


def _channels(capabilities: Capabilities, rng: Random) -> tuple[int, int, int, int]:
    """(batch, input and output channels per group, groups)."""
    batch = rng.choice((1, 1, 2, 2, 3, 4, 5, 9, 17, 32)) if capabilities.batch else 1
    if capabilities.empty and rng.random() < 0.01:
        return rng.choice(((0, 2, 3, 1), (1, 0, 3, 1), (1, 2, 0, 1)))
    if not capabilities.channels:
        return batch, 1, 1, 1
    style = rng.random()
    if capabilities.groups and style < 0.2:  # depthwise, perhaps with a multiplier
        return batch, 1, rng.choice((1, 1, 2, 3)), rng.choice((2, 3, 5, *AROUND_VECTORS))
    if capabilities.groups and style < 0.45:
        return batch, _few(rng), _few(rng), rng.randint(2, 5)
    if style < 0.75:
        return batch, _few(rng), _few(rng), 1
    return batch, _few_or_many(rng), _few_or_many(rng), 1


def _few(rng: Random) -> int:
    return rng.randint(1, 4)


def _few_or_many(rng: Random) -> int:
    return rng.choice((_few(rng), rng.choice(AROUND_VECTORS)))


def _axis(capabilities: Capabilities, rng: Random, rank: int, long: bool) -> Axis:
    """The output size and the remainder are drawn and the input follows, so that every draw is valid."""
    kernel = rng.choice((1, 1, 2, 3, 3, 4, 5, 7)) if rng.random() < 0.95 else rng.randint(8, 20 if rank < 3 else 9)
    stride = rng.choice((1, 1, 2, 2, 3, 4)) if capabilities.stride else 1
    if capabilities.stride and rng.random() < 0.08:
        stride = kernel + rng.randint(1, 2)
    dilation = rng.choice((1, 1, 1, 2, 3)) if capabilities.dilation else 1
    output = rng.choice((1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 32, 33))
    if long:
        output = rng.randint(300, 20_000)
    span = (kernel - 1) * dilation + 1
    if capabilities.padding != "none" and rng.random() < 0.2:  # a kernel that reaches beyond the input on both sides
        size = rng.randint(1, span)
        zeros = rng.randint((span - size + 1) // 2, span)
        return Axis(size, kernel, stride, dilation, zeros, zeros)
    padded = (output - 1) * stride + span + rng.randrange(stride)
    before, after = _zeros(capabilities, rng, span, padded)
    return Axis(padded - before - after, kernel, stride, dilation, before, after)


def _zeros(capabilities: Capabilities, rng: Random, span: int, padded: int) -> tuple[int, int]:
    """Padding before and after: none, that of "same" or "full", or anything up to beyond the kernel."""
    style = rng.random()
    if capabilities.padding == "none" or style < 0.3:
        return 0, 0
    most = (padded - 1) // 2
    wide = min(most, span + 2)
    if style < 0.45:
        before = after = min(most, span // 2)
    elif style < 0.65:
        before = after = min(most, span - 1)
    else:
        before = after = rng.randint(0, wide)
    if capabilities.padding == "any" and rng.random() < 0.4:
        after = rng.randint(0, wide)
    return before, after


def _fitted(g: Geometry) -> Geometry:
    """`g` with fewer images, channels or outputs, until the oracle is fast; strides, taps and padding stay."""
    while math.prod(g.kernel_size) > MOST_TAPS:
        g = replace(g, axes=tuple(replace(a, kernel=-(-a.kernel // 2)) for a in g.axes))
    while g.products > MOST_PRODUCTS or _largest(g) > MOST_ELEMENTS:
        g = _smaller(g)
    return g


def _largest(g: Geometry) -> int:
    return max(map(math.prod, (g.input_shape, g.weight_shape, g.output_shape)))


def _smaller(g: Geometry) -> Geometry:
    outputs = [a.output for a in g.axes]
    longest = outputs.index(max(outputs))
    channels = max(g.in_channels_per_group, g.out_channels_per_group)
    if max(outputs) >= max(g.batch, channels, g.groups) and max(outputs) > 1:
        axes = list(g.axes)
        axes[longest] = shorter(axes[longest], max(outputs) // 2)
        return replace(g, axes=tuple(axes))
    if g.batch >= max(channels, g.groups) and g.batch > 1:
        return g.with_batch(g.batch // 2)
    if g.groups > channels:
        ic, oc, groups = g.in_channels_per_group, g.out_channels_per_group, g.groups // 2
        return replace(g, groups=groups, in_channels=ic * groups, out_channels=oc * groups)
    if channels > 1:
        ic, oc = (max(1, n // 2) if n == channels else n for n in (g.in_channels_per_group, g.out_channels_per_group))
        return replace(g, in_channels=ic * g.groups, out_channels=oc * g.groups)
    return replace(g, axes=tuple(replace(a, dilation=1, kernel=max(1, a.kernel // 2)) for a in g.axes))


def shorter(a: Axis, outputs: int) -> Axis:
    """`a` with fewer outputs: a shorter input, and less padding where there is no input left to shorten."""
    cut = (a.output - outputs) * a.stride
    taken = min(cut, a.input - 1)
    after = min(a.after, max(0, a.after - (cut - taken)))
    before = max(0, a.before - max(0, cut - taken - (a.after - after)))
    return Axis(a.input - taken, a.kernel, a.stride, a.dilation, before, after)


def corners(case: Case) -> tuple[str, ...]:
    """The corners of the lattice that a case lies in; the columns of a report."""
    g = case.geometry
    found: dict[str, bool] = {
        f"{g.rank}-D": True,
        "groups": g.groups > 1,
        "depthwise": g.groups > 1 and g.in_channels_per_group == 1,
        "stride": any(a.stride > 1 for a in g.axes),
        "stride > kernel": any(a.stride > a.kernel > 1 for a in g.axes),
        "dilation": any(a.dilation > 1 and a.kernel > 1 for a in g.axes),
        "padding": any(a.before or a.after for a in g.axes),
        "padding > kernel/2": any(2 * max(a.before, a.after) > a.span for a in g.axes),
        "kernel > input": any(a.span > a.input for a in g.axes),
        "uneven padding": any(a.before != a.after for a in g.axes),
        "one output": any(a.output == 1 for a in g.axes),
        "1x1 kernel": max(g.kernel_size) == 1,
        "1 < channels < 8": 1 < max(g.in_channels, g.out_channels) < 8,
        "channels >= 8": max(g.in_channels, g.out_channels) >= 8,
        "several images": g.batch > 1,
        "empty": min(g.batch, g.in_channels, g.out_channels) == 0,
        "long sum": case.terms > 1000,
        "memory layout": any(layout != "contiguous" for layout in case.layouts),
        "threads": case.threads > 1,
        "special values": case.data in ("special", "tiny"),
        "real numbers": case.data in ("real", "positive"),
    }
    return tuple(name for name, holds in found.items() if holds)
