"""How `matmul` cuts a problem into products that fit a workspace, and which positions each product sees.

Pure index arithmetic, tested exhaustively; no arrays of data pass through here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..geometry import Axis, Geometry, joined

Box = tuple[range, ...]  # output positions, one range per spatial axis
Tap = tuple[int, ...]

# patches of one product: about one core's share of cache, so that the product reads what was just gathered
PATCH_ELEMENTS = 1 << 18
# images and groups stacked into one call: enough to hide the call, still in cache
STACK_ELEMENTS = 1 << 19
# terms summed in one product before the next takes over
TERMS = 1 << 13
# positions per product of a weight gradient: longer runs in plain float32 would lose digits
POSITIONS = 1 << 10


@dataclass(frozen=True, slots=True)
class Blocks:
    """The largest matrix product: (oc x ic*taps) weights by (ic*taps x tile) patches, `stack` of them a call."""

    tile: tuple[int, ...]
    oc: int
    ic: int
    taps: int
    stack: int

    def __str__(self) -> str:
        return f"tile {joined(self.tile)}, oc {self.oc}, ic {self.ic}, taps {self.taps}, {self.stack} a call"


def choose_blocks(role: str, geometry: Geometry, elements: int, one_tap: bool) -> Blocks:
    """Blocks whose buffers hold at most `elements` numbers, independent of the batch size.

    A limit too small for a product of one by one position is passed over: `workspace_elements` tells.
    """
    g = geometry
    taps = 1 if one_tap else at_least_one(min(math.prod(g.kernel_size), elements // 32))
    ic = at_least_one(min(g.in_channels_per_group, max(TERMS, elements // 64) // taps))
    terms = ic * taps
    copies = 8 if role == "weight_grad" else 4  # the compensated sum keeps six arrays of the weight's size
    oc = at_least_one(min(g.out_channels_per_group, elements // copies // terms))
    positions = min(PATCH_ELEMENTS // terms, elements // 4 // (terms + oc))
    if role == "weight_grad":
        positions = min(max(positions, 64), POSITIONS, elements // 4 // (terms + oc))
    tile = tile_of(g.output_size, at_least_one(positions))
    one = Blocks(tile, oc, ic, taps, 1)
    fixed = workspace_elements(role, one, stacks=0)
    each = workspace_elements(role, one, stacks=1) - fixed
    stack = (min(elements, fixed + STACK_ELEMENTS) - fixed) // each
    return Blocks(tile, oc, ic, taps, at_least_one(stack))


def workspace_elements(role: str, blocks: Blocks, stacks: int | None = None) -> int:
    """How many numbers the buffers of one call hold at most."""
    stacks = blocks.stack if stacks is None else stacks
    terms, positions = blocks.ic * blocks.taps, math.prod(blocks.tile)
    weights = blocks.oc * terms
    if role == "weight_grad":
        # per stacked product: patches, gy, and the product with its five companions of the compensated sum
        return stacks * ((terms + blocks.oc) * positions + 6 * weights)
    # per stacked product: patches and product (or gy and columns); its weights come once a group
    return stacks * ((terms + blocks.oc) * positions + weights)


def weight_grad_stacks(geometry: Geometry, blocks: Blocks) -> tuple[int, int]:
    """(groups, images) of one weight-gradient product: small images are summed together, up to POSITIONS."""
    tiled = math.prod(blocks.tile) < math.prod(geometry.output_size)
    images = 1 if tiled else min(blocks.stack, at_least_one(POSITIONS // math.prod(blocks.tile)))
    return min(geometry.groups, at_least_one(blocks.stack // images)), images


def tile_of(sizes: Sequence[int], positions: int) -> tuple[int, ...]:
    """The longest run of whole trailing axes with at most `positions` positions.

    >>> tile_of((10, 20, 30), 100)
    (1, 3, 30)
    """
    tile: list[int] = []
    for size in reversed(sizes):
        length = min(size, positions)
        tile.append(length)
        positions = max(1, positions // length)
    return tuple(reversed(tile))


def boxes(sizes: Sequence[int], tile: Sequence[int]) -> list[Box]:
    """The output cut into tiles, in order."""
    cuts = [
        [range(start, min(start + length, size)) for start in range(0, size, length)]
        for size, length in zip(sizes, tile, strict=True)
    ]
    return list(itertools.product(*cuts))


def spans(size: int, length: int) -> Iterator[slice]:
    """`size` positions cut into slices of `length`."""
    for start in range(0, size, length):
        yield slice(start, min(start + length, size))


def term_blocks(geometry: Geometry, blocks: Blocks) -> list[tuple[slice, list[Tap]]]:
    """(input channels, taps) of each product, in the order in which they are added."""
    every = list(itertools.product(*(range(k) for k in geometry.kernel_size)))
    cuts = [every[part] for part in spans(len(every), blocks.taps)]
    return [(ic, taps) for ic in spans(geometry.in_channels_per_group, blocks.ic) for taps in cuts]


def seen(axes: Sequence[Axis], taps: Sequence[Tap], box: Box) -> Box:
    """The part of `box` that a product over `taps` covers: all of it, or for one tap where it reads the input."""
    if len(taps) > 1:
        return box
    return tuple(overlap(axis.readers(k), part) for axis, k, part in zip(axes, taps[0], box, strict=True))


@dataclass(frozen=True, slots=True)
class Window:
    """What one tap reads for a box of outputs: `source` slices of the input, landing at `target` in the box."""

    target: tuple[slice, ...]
    source: tuple[slice, ...]
    fills_box: bool


def window(axes: Sequence[Axis], tap: Tap, box: Box) -> Window | None:
    """The window of `tap` for the outputs in `box`; None where it reads padding only."""
    target, source, fills_box = [], [], True
    for axis, k, part in zip(axes, tap, box, strict=True):
        outputs = overlap(axis.readers(k), part)
        if not outputs:
            return None
        fills_box = fills_box and len(outputs) == len(part)
        target.append(slice(outputs.start - part.start, outputs.stop - part.start))
        source.append(slice(axis.source(outputs[0], k), axis.source(outputs[-1], k) + 1, axis.stride))
    return Window(tuple(target), tuple(source), fills_box)


def overlap(a: range, b: range) -> range:
    """The positions in both of two ranges of step one."""
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))


def at_least_one(number: int) -> int:
    return max(1, number)
