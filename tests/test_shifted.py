"""The pure parts of the compiled algorithm: passes against the relation, layouts against memory, text against bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import axes, every_axis, geometries

from convgrad.algorithms.shifted import data_kernel, weight_kernel
from convgrad.algorithms.shifted.layout import Layout, data_layout, weight_layout
from convgrad.algorithms.shifted.passes import AxisPass, Pass, forward_axis, input_grad_axis, passes
from convgrad.geometry import Axis, Geometry
from convgrad.jit.targets import TARGETS

Triples = set[tuple[int, int, int]]  # (input, tap, output)


def relation(axis: Axis) -> Triples:
    return {(axis.source(o, k), k, o) for k in range(axis.kernel) for o in axis.readers(k)}


def met(p: AxisPass) -> set[tuple[int, int, int]]:
    """(position read, tap, position written) of every product of one pass that reads inside its input."""
    found = set()
    for j, (offset, tap) in itertools.product(range(p.output), zip(p.offsets, p.taps, strict=True)):
        read = j * p.stride + offset - p.before
        if 0 <= read < p.input:
            found.add((read, tap, j * p.step + p.residue))
    return found


def check_passes(axis: Axis) -> None:
    (forward,) = forward_axis(axis)
    assert met(forward) == relation(axis)
    written = [range(p.residue, axis.input, p.step) for p in input_grad_axis(axis)]
    assert sorted(i for positions in written for i in positions) == list(range(axis.input))
    assert all(len(positions) == p.output for positions, p in zip(written, input_grad_axis(axis), strict=True))
    pairs = [triple for p in input_grad_axis(axis) for triple in met(p)]
    assert {(i, k, o) for o, k, i in pairs} == relation(axis) and len(pairs) == len(relation(axis))
    assert all(min(p.offsets, default=0) == 0 for p in (forward, *input_grad_axis(axis)))


def test_the_passes_of_an_axis_meet_each_term_once_exhaustive() -> None:
    for axis in every_axis(range(1, 6), range(1, 4), range(1, 5), range(1, 4), range(4)):
        check_passes(axis)


@given(axes())
def test_the_passes_of_an_axis_meet_each_term_once_drawn(axis: Axis) -> None:
    check_passes(axis)


@given(geometries(), st.sampled_from([4, 8, 16]), st.sampled_from(["data", "weight"]))
def test_every_tap_of_every_position_stays_inside_its_panel(g: Geometry, lanes: int, kind: str) -> None:
    choose = data_layout if kind == "data" else weight_layout
    for p in passes("forward", g):
        lay = choose(p, g.out_channels_per_group, g.in_channels_per_group, lanes, 4)
        check_layout(p, lay)


def check_layout(p: Pass, lay: Layout) -> None:
    length = ((lay.tile[0] - 1) * lay.panel[1] + lay.tile[1] - 1) * lay.panel[2] + lay.tile[2]
    assert length <= lay.run and lay.run + max(lay.shifts, default=0) <= lay.panel_size + lay.slack
    for offset, shift in zip(p.offsets, lay.shifts, strict=True):
        phase, place = divmod(shift, lay.plane)
        d, rest = divmod(place, lay.panel[1] * lay.panel[2])
        h, w = divmod(rest, lay.panel[2])
        again = tuple(step * s + r for step, s, r in zip((d, h, w), p.stride, lay.phases[phase], strict=True))
        assert again == offset


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
@pytest.mark.parametrize("module", [data_kernel, weight_kernel], ids=["data", "weight"])
def test_the_text_of_a_kernel_is_a_function_of_dtype_and_isa(module, target) -> None:
    for element in ("float", "double"):
        text = module.text(element, target)
        assert text == module.text(element, target)
        assert "inttoptr" not in text and f"@{module.NAME}(ptr noalias %record)" in text
        lanes = target.vector_bytes // (4 if element == "float" else 8)
        assert f"<{lanes} x {element}>" in text or lanes == 1
