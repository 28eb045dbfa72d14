"""The index arithmetic of the matrix products: every position once, every buffer within its limit."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import axes, every_axis, geometries

from convgrad.algorithms.blocks import (
    POSITIONS,
    boxes,
    choose_blocks,
    overlap,
    spans,
    term_blocks,
    tile_of,
    weight_grad_stacks,
    window,
    workspace_elements,
)
from convgrad.geometry import Axis, Geometry
from convgrad.plan import ROLES
from convgrad.spelling import parse


def check_window(axis: Axis, tap: int, box: range) -> None:
    """One tap on one axis: the outputs it serves and the inputs it reads, against the relation itself."""
    pairs = [(o, axis.source(o, tap)) for o in box if 0 <= axis.source(o, tap) < axis.input]
    found = window((axis,), (tap,), (box,))
    if found is None:
        assert not pairs
        return
    outputs = [box[position] for position in range(len(box))[found.target[0]]]
    inputs = list(range(axis.input)[found.source[0]])
    assert list(zip(outputs, inputs, strict=True)) == pairs
    assert found.fills_box == (len(pairs) == len(box))


def test_a_window_pairs_outputs_with_the_inputs_they_read_exhaustive() -> None:
    for axis in every_axis(range(1, 5), range(1, 4), range(1, 4), range(1, 3), range(3)):
        for tap, start in itertools.product(range(axis.kernel), range(axis.output)):
            for stop in range(start + 1, axis.output + 1):
                check_window(axis, tap, range(start, stop))


@given(axes(), st.data())
def test_a_window_pairs_outputs_with_the_inputs_they_read_drawn(axis: Axis, data: st.DataObject) -> None:
    tap = data.draw(st.integers(0, axis.kernel - 1))
    start = data.draw(st.integers(0, axis.output - 1))
    check_window(axis, tap, range(start, data.draw(st.integers(start + 1, axis.output))))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 200))
def test_tiles_cover_every_position_once(sizes: list[int], positions: int) -> None:
    tile = tile_of(sizes, positions)
    assert math.prod(tile) <= positions
    covered = [index for box in boxes(sizes, tile) for index in itertools.product(*box)]
    assert sorted(covered) == list(itertools.product(*map(range, sizes)))


@given(geometries(max_rank=2), st.sampled_from(ROLES), st.integers(1, 5000), st.booleans())
def test_term_blocks_hold_every_channel_and_tap_once(g: Geometry, role: str, elements: int, one_tap: bool) -> None:
    blocks = choose_blocks(role, g, elements, one_tap)
    found = [
        (channel, tap) for ic, taps in term_blocks(g, blocks) for channel in range(ic.start, ic.stop) for tap in taps
    ]
    assert len(found) == len(set(found)) == g.in_channels_per_group * math.prod(g.kernel_size)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("one_tap", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "ic64 oc64 i56x56 k3x3 p1",
        "ic4096 oc4096 i20x20 k3x3",
        "ic1 oc1 i4096x4096 k63x63",
        "ic2 oc3 i4000x4000 k3000x3000",
        "ic1 oc1 i100000000 k1024",
        "ic2048 oc2048 i7x7 k7x7 p3 g2048",
        "ic100000 oc100000 i2 k2",
    ],
)
def test_no_problem_is_so_large_that_its_buffers_pass_the_limit(role: str, one_tap: bool, text: str) -> None:
    g = parse(text)
    for limit in (1 << 20, 32 << 20):
        blocks = choose_blocks(role, g, limit // 4, one_tap)
        assert workspace_elements(role, blocks) * 4 <= limit, blocks


@given(geometries(), st.integers(1, 1000))
def test_weight_gradient_products_are_short_enough_to_keep_their_digits(g: Geometry, elements: int) -> None:
    blocks = choose_blocks("weight_grad", g, elements, False)
    _, images = weight_grad_stacks(g, blocks)
    assert images * math.prod(blocks.tile) <= POSITIONS


def test_overlap_and_spans_at_their_edges() -> None:
    assert overlap(range(3), range(5, 9)) == range(5, 5)
    assert overlap(range(2, 8), range(5)) == range(2, 5)
    assert list(spans(0, 4)) == [] and list(spans(5, 4)) == [slice(0, 4), slice(4, 5)]
