"""The options of a call, checked once, in the two forms in which they travel: as keywords, and by torch's schemas."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..arguments import (
    SAME,
    Padding,
    PaddingMode,
    PerAxis,
    padding_constant,
    padding_modes,
    padding_pairs,
    per_axis,
)
from ..errors import UnsupportedError
from ..geometry import whole

SCHEMA = "int[] stride, str name, int[] padding, int[] dilation, int groups, str modes, float fill"
TORCH_MODES = {"replicate": "edge"}  # torch's word -> ours
KEPT = 1024


class Options(NamedTuple):
    """One entry for each spatial axis; `padding` is a name, or a pair (before, after) for each."""

    stride: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    modes: tuple[str, ...]
    fill: float
    keywords: dict[str, Any]  # the same, as the functions of convgrad take them

    @property
    def linear(self) -> Options:
        """Without the constant in the padding, for what is linear in the input."""
        return self if self.fill == 0 else make(*self[:5], 0.0)

    def times(self, count: int) -> Options:
        """For so many problems at once, as groups."""
        return make(*self[:3], self.groups * count, *self[4:6])

    def flat(self) -> tuple[Any, ...]:
        """As `SCHEMA` has them."""
        if isinstance(self.padding, str):
            name, pairs = self.padding, []
        else:
            name, pairs = "", [number for pair in self.padding for number in pair]
        return list(self.stride), name, pairs, list(self.dilation), self.groups, ",".join(self.modes), self.fill

    def output_size(self, input_size: Sequence[Any], kernel_size: Sequence[Any]) -> list[Any]:
        """The spatial shape of the output; sizes may be symbols."""
        found = []
        for axis, (size, kernel) in enumerate(zip(input_size, kernel_size, strict=True)):
            stride, span = self.stride[axis], (kernel - 1) * self.dilation[axis]
            if self.padding in SAME:
                found.append((size + stride - 1) // stride)
                continue
            if isinstance(self.padding, str):
                around = 2 * span if self.padding == "full" else 0
            else:
                around = sum(self.padding[axis])
            found.append((size + around - span - 1) // stride + 1)
        return found


def make(
    stride: tuple[int, ...], padding: Any, dilation: tuple[int, ...], groups: int, modes: tuple[str, ...], fill: float
) -> Options:
    """Options with their keywords."""
    # short, because every call is looked up by them; and for that reason no float where an int will do
    keywords = {
        "stride": _one(stride),
        "padding": padding if isinstance(padding, str) else _one(tuple(map(_one, padding))),
        "dilation": _one(dilation),
        "groups": groups,
        "padding_mode": _one(modes),
        "padding_value": fill or 0,
    }
    return Options(stride, padding, dilation, groups, modes, fill, keywords)


def _one(entries: tuple[Any, ...]) -> Any:
    """A tuple, or its entry where they are all the same number or word."""
    first = entries[0]
    return first if not isinstance(first, tuple) and all(entry == first for entry in entries) else entries


def of_flat(
    stride: list[int], name: str, padding: list[int], dilation: list[int], groups: int, modes: str, fill: float
) -> Options:
    """The inverse of `Options.flat`."""
    pairs = tuple(zip(padding[::2], padding[1::2], strict=True))
    return make(tuple(stride), name or pairs, tuple(dilation), groups, tuple(modes.split(",")), fill)


def read(
    rank: int, stride: PerAxis, padding: Padding, dilation: PerAxis, groups: int, mode: PaddingMode, value: complex
) -> Options:
    """Options for `rank` axes, as a caller writes them; what is wrong with their numbers is found by convgrad."""
    key = rank, stride, padding, dilation, groups, mode, value
    if torch.compiler.is_compiling():  # a compiler traces what is behind a cache, and says that it does
        return _read.__wrapped__(*key)
    try:
        return _read(*key)
    except TypeError:  # lists
        return _read(*map(_hashable, key))


@functools.lru_cache(maxsize=KEPT)
def _read(rank: int, stride: Any, padding: Any, dilation: Any, groups: int, mode: Any, value: complex) -> Options:
    if isinstance(value, complex):
        raise UnsupportedError("padding_value", value, "is complex", "a real number, in torch")
    words = padding_modes(TORCH_MODES.get(mode, mode) if isinstance(mode, str) else mode, rank)
    fill = padding_constant(value, words) if value != 0 else 0.0
    if isinstance(fill, complex):
        raise UnsupportedError("padding_value", value, "is complex", "a real number, in torch")
    strides, spreads = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    ones = (1,) * rank
    pairs = padding_pairs(padding, ones, ones, strides, spreads)  # of one tap; refuses what is no padding
    around = padding if isinstance(padding, str) else tuple(pairs)
    return make(strides, around, spreads, whole("groups", groups, least=1), words, fill)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(entry) for entry in value) if isinstance(value, list | tuple) else value
