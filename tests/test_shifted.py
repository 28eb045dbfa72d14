"""The pure parts of the compiled algorithm: passes against the relation, layouts against memory, text against bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, axes, every_axis, geometries, problems

from convgrad import definition
from convgrad.algorithms import shifted
from convgrad.algorithms.shifted import data_kernel, dense_kernel, outer_kernel, weight_kernel
from convgrad.algorithms.shifted.layout import (
    DenseLayout,
    Layout,
    data_layout,
    dense_layout,
    outer_layout,
    weight_layout,
)
from convgrad.algorithms.shifted.passes import AxisPass, Pass, forward_axis, input_grad_axis, passes
from convgrad.choose import choose
from convgrad.execute import execute
from convgrad.geometry import Axis, Geometry
from convgrad.jit import compile as jit
from convgrad.jit.targets import TARGETS, target_of
from convgrad.machine import Machine
from convgrad.plan import Plan, Proposal
from convgrad.spelling import parse

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
    lay_out = data_layout if kind == "data" else weight_layout
    for p in passes("forward", g):
        lay = lay_out(p, g.out_channels_per_group, g.in_channels_per_group, lanes, 4)
        check_layout(p, lay)


def check_panels(p: Pass, lay: Layout) -> None:
    """The same for panels that may hold a strided input as it lies."""
    if lay.walk == (1, 1, 1):
        check_layout(p, lay)
        return
    assert lay.walk == p.stride and lay.phases == ((0, 0, 0),)
    last = [(size - 1) * step for size, step in zip(lay.tile, lay.walk, strict=True)]
    for offset, shift in zip(p.offsets, lay.shifts, strict=True):
        assert np.unravel_index(shift, lay.panel) == offset
        assert np.ravel_multi_index(last, lay.panel) + shift < lay.panel_size


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
@pytest.mark.parametrize(
    "module", [data_kernel, dense_kernel, outer_kernel, weight_kernel], ids=["data", "dense", "outer", "weight"]
)
def test_the_text_of_a_kernel_is_a_function_of_dtype_and_isa(module, target) -> None:
    for element in ("float", "double"):
        text = module.text(element, target)
        assert text == module.text(element, target)
        assert "inttoptr" not in text and f"@{module.NAME}(ptr noalias %record)" in text
        lanes = target.vector_bytes // (4 if element == "float" else 8)
        assert f"<{lanes} x {element}>" in text or lanes == 1


@given(geometries(), st.sampled_from([4, 8, 16]), st.sampled_from([4, 8]))
def test_the_parts_of_the_outer_kernels_memory_do_not_meet(g: Geometry, lanes: int, itemsize: int) -> None:
    rows = g.out_channels_per_group
    for p in passes("forward", g):
        lay = outer_layout(p, rows, g.in_channels_per_group, lanes, itemsize)
        check_panels(p, lay.panels)
        count = lay.panels.tile[0] * lay.panels.tile[1] * lay.panels.tile[2]
        slabs = -(-lay.total_pitch // (4 * lanes))
        assert lay.panels.buffer_at + slabs * lay.run * lay.gy_pitch <= lay.temp_at
        assert lay.run >= lay.panels.together * count + lanes - 1
        assert lay.temp_at + max((lanes - 1) * lay.temp_pitch + count + lanes, 2 * lanes * lanes) <= lay.positions_at
        assert lay.positions_at + lay.panels.together * count * 8 // itemsize <= lay.totals_at
        assert lay.totals_at + 2 * lay.entries <= lay.scratch
        assert lay.rows_together <= lay.total_pitch
        assert lay.panels.channels_together * len(p.offsets) <= lay.column_pitch


@given(geometries(), st.sampled_from([4, 8, 16]), st.sampled_from([4, 8]), st.sampled_from(["forward", "input_grad"]))
def test_the_parts_of_the_dense_kernels_memory_do_not_meet(g: Geometry, lanes: int, itemsize: int, role: str) -> None:
    rows, channels = g.out_channels_per_group, g.in_channels_per_group
    for p in passes(role, g):
        lay = dense_layout(p, rows, channels, lanes, itemsize, 4 * lanes)
        panels, taps = lay.panels, len(p.offsets)
        check_panels(p, panels)
        count = panels.together * panels.tile[0] * panels.tile[1] * panels.tile[2]
        assert lay.row_pitch % lanes == 0
        assert panels.buffer_at + (count - 1 + lanes) * lay.row_pitch <= lay.temp_at
        assert lay.temp_at + lanes * lanes <= lay.positions_at
        assert lay.positions_at + count * 8 // itemsize <= lay.weights_at
        assert lay.weights_at + lay.channel_step * taps * lay.row_pitch <= lay.scratch
        assert -(-rows // lay.row_pitch) * lay.row_pitch * channels * taps <= max(lay.packed, 1) * max(taps, 1)


compiled = pytest.mark.skipif(jit.available() is not None, reason=str(jit.available()))


def computed(role: str, g: Geometry, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    plan = choose(role, g, str(out.dtype), Machine.here(), "shifted")
    return execute(plan, a, b, out)


@compiled
@pytest.mark.parametrize(
    "spelling",
    [
        "n2 ic3 oc16 i5x6 k3x2 p1",  # one block, fewer images than go together
        "n33 ic2 oc20 i9 k3 s2 p1",  # several ranges, rows end inside a vector
        "n1 ic2 oc300 i6x5 k3x3 p1",  # several blocks of output channels
        "n2 ic700 oc30 i3x5 k3x3 p1",  # several blocks of input channels
        "n3 ic600 oc150 i3x3 k1x1",  # of both, read in place
        "n5 ic6 oc64 i7x7 k3x3 s2 p1 d2 g2",
        "n2 ic7 oc100 i4x5x6 k2x3x2 s2 p1",
        "n1 ic2 oc33 i60x61 k5x3 p2",  # several tiles
        "n2 ic3 oc13 i30x31 k4x3 s3x2",  # a stride, nothing padded
        "n1 ic2 oc33 i90x61 k3x3 s2 p1",  # several tiles with a stride
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outer_products_are_exact_on_whole_numbers(spelling: str, dtype: str) -> None:
    g = parse(spelling)
    rng = np.random.default_rng(1)
    gy = rng.integers(-9, 10, g.output_shape).astype(dtype)
    x = rng.integers(-9, 10, g.input_shape).astype(dtype)
    reference = choose("weight_grad", g, dtype, Machine.here(), "im2col")
    expected = execute(reference, gy, x, np.empty(g.weight_shape, dtype))
    assert np.array_equal(computed("weight_grad", g, gy, x, np.full(g.weight_shape, np.nan, dtype)), expected)
    apart = np.full((*g.weight_shape[:-1], g.weight_shape[-1] + 2), np.nan, dtype)[..., : g.weight_shape[-1]]
    assert np.array_equal(computed("weight_grad", g, gy, x, apart), expected)
    for relaid in (np.asfortranarray, wider):
        assert np.array_equal(
            computed("weight_grad", g, relaid(gy), relaid(x), np.empty(g.weight_shape, dtype)), expected
        )


def dense(role: str, g: Geometry, dtype: str, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan of `shifted` with vectors along rows, whether that is faster or not."""
    plan = choose(role, g, dtype, Machine.here(), "shifted")
    with monkeypatch.context() as patch:
        patch.setattr(shifted, "_is_dense", lambda *_: True)
        offer = shifted.propose(role, g.with_batch(1), dtype, Machine.here(), 1 << 40)
    assert isinstance(offer, Proposal) and isinstance(offer.parameters.steps[0][1], DenseLayout)
    return replace(plan, parameters=offer.parameters, operations=shifted.SMALL_OPERATIONS)


@compiled
@pytest.mark.parametrize(
    "spelling",
    [
        "n3 ic40 oc150 i7x7 k3x3 p1",  # one item, weights packed in steps, rows of three shapes
        "n9 ic17 oc33 i9x10 k3x3 p1",  # images in two items, weights packed before
        "n2 ic9 oc70 i60x61 k5x3 p2",  # several tiles, of which the last is smaller
        "n2 ic130 oc48 i15x17 k3x3 s2 p1",  # a stride that meets every residue: one panel
        "n2 ic3 oc35 i61x60 k3x3 s2 p1",  # the same with several tiles
        "n2 ic20 oc48 i15x17 k1x1 s2",  # and one that does not
        "n2 ic24 oc40 i15x16 k4x3 s2x3 p2 d1x2",
        "n2 ic64 oc96 g2 i13x9 k3x3 p1",
        "n2 ic33 oc34 i5x6x7 k3x2x3 p1 s1x2x1",
        "n3 ic12 oc64 i300 k7 p3",
        "n5 ic700 oc20 i6x6 k1x1",
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("role", ["forward", "input_grad"])
def test_dense_products_have_the_bits_of_the_data_kernel(
    spelling: str, role: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = parse(spelling)
    rng = np.random.default_rng(4)
    source, shape = (g.input_shape, g.output_shape) if role == "forward" else (g.output_shape, g.input_shape)
    a, w = (rng.standard_normal(s).astype(dtype) for s in (source, g.weight_shape))
    monkeypatch.setattr(shifted, "_is_dense", lambda *_: False)
    offer = shifted.propose(role, g.with_batch(1), dtype, Machine.here(), 1 << 40)
    assert isinstance(offer, Proposal) and isinstance(offer.parameters.steps[0][1], Layout)
    plan = dense(role, g, dtype, monkeypatch)
    expected = execute(replace(plan, parameters=offer.parameters), a, w, np.empty(shape, dtype))
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("CONVGRAD_NUM_THREADS", threads)
        assert np.array_equal(execute(plan, a, w, np.full(shape, np.nan, dtype)), expected)
        for relaid in (np.asfortranarray, wider):
            whole = relaid(np.full(shape, 77, dtype))
            assert np.array_equal(execute(plan, relaid(a), relaid(w), whole), expected)
            assert whole.base is None or (whole.base[..., whole.shape[-1] :] == 77).all()


@compiled
@given(problems(), st.sampled_from(["forward", "input_grad"]), st.integers(1, 3))
def test_dense_products_are_exact_on_whole_numbers(problem: Problem, role: str, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVGRAD_NUM_THREADS", str(threads))
        plan = dense(role, problem.geometry, problem.x.dtype.name, patch)
        out = np.full(problem.result_shape(role), np.nan, problem.x.dtype)
        execute(plan, *problem.arguments(role), out)
    expected = getattr(definition, role)(*problem.arguments(role), problem.geometry)
    assert np.array_equal(out, expected)


@compiled
@pytest.mark.parametrize(
    "spelling",
    [
        "n2 ic3 oc3 i9x37 k3x3 p1 g3",
        "n1 ic1 oc1 i40x70 k7x5 p3x2",
        "n3 ic2 oc2 i11x33 k5x4 p2x3 d1x3 g2",
        "n1 ic1 oc1 i300x130 k7x7 p3",  # several tiles
        "n2 ic4 oc4 i20x6 k3x1 g4",  # rows shorter than a vector
        "n2 ic2 oc2 i3x40 k5x5 p4 g2",  # more taps than rows
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("role", ["forward", "input_grad"])
def test_rows_that_slide_have_the_bits_of_single_outputs(
    spelling: str, role: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = parse(spelling)
    rng = np.random.default_rng(5)
    source, shape = (g.input_shape, g.output_shape) if role == "forward" else (g.output_shape, g.input_shape)
    a, w = (rng.standard_normal(s).astype(dtype) for s in (source, g.weight_shape))
    plan = choose(role, g, dtype, Machine.here(), "shifted")
    ((_, layout),) = plan.parameters.steps
    assert bool(layout.slides) == data_kernel.works_in_place(target_of(Machine.here().isa))
    monkeypatch.setattr(data_kernel, "slide_shapes", lambda _: {})
    offer = shifted.propose(role, g.with_batch(1), dtype, Machine.here(), 1 << 40)
    monkeypatch.undo()
    assert isinstance(offer, Proposal) and not offer.parameters.steps[0][1].slides
    expected = execute(replace(plan, parameters=offer.parameters), a, w, np.empty(shape, dtype))
    for relaid in (np.array, np.asfortranarray, wider):
        whole = relaid(np.full(shape, 77, dtype))
        assert np.array_equal(execute(plan, relaid(a), relaid(w), whole), expected)
        assert whole.base is None or (whole.base[..., whole.shape[-1] :] == 77).all()


@compiled
@pytest.mark.parametrize("role", ["forward", "input_grad"])
def test_an_image_in_a_small_call_has_the_bits_that_it_has_in_a_large_one(role: str) -> None:
    g = parse("n64 ic32 oc32 i8x8 k3x3 p1")
    rng = np.random.default_rng(6)
    a = rng.standard_normal(g.input_shape if role == "forward" else g.output_shape).astype("float32")
    w = rng.standard_normal(g.weight_shape).astype("float32")
    large, alone = choose(role, g, "float32", Machine.here(), "shifted"), g.with_batch(1)
    assert isinstance(large.parameters.steps[0][1], DenseLayout) and large.parameters.small is not None
    out = execute(large, a, w, np.empty(a.shape, "float32"))
    for image in range(0, 64, 9):
        one = a[image : image + 1]
        assert np.array_equal(computed(role, alone, one, w, np.empty_like(one)), out[image : image + 1])


@compiled
@pytest.mark.parametrize(
    "text", ["n2 ic0 oc3 i5x6 k1x1", "n2 ic0 oc3 i5x6 k3x3", "n0 ic4 oc40 i5x6 k3x3", "n2 ic4 oc0 i5 k3"]
)
def test_no_images_and_no_channels_are_computed_too(text: str) -> None:
    g = parse(text)
    x, w, gy = (np.ones(shape, "float32") for shape in (g.input_shape, g.weight_shape, g.output_shape))
    assert (computed("forward", g, x, w, np.full(g.output_shape, np.nan, "float32")) == 0).all()
    assert (computed("input_grad", g, gy, w, np.full(g.input_shape, np.nan, "float32")) == 0).all()


def wider(array: np.ndarray) -> np.ndarray:
    """The same numbers in rows with something else between them."""
    # a number, because a NaN in the result would be noticed and mended
    whole = np.full((*array.shape[:-1], array.shape[-1] + 3), 77, array.dtype)
    whole[..., : array.shape[-1]] = array
    return whole[..., : array.shape[-1]]


@compiled
def test_a_long_sum_of_outer_products_is_rounded_once() -> None:
    g = parse("ic1 oc16 i313600 k1")  # 400 pieces of 784 positions in 16 ranges
    rng = np.random.default_rng(3)
    gy = rng.integers(0, 2, g.output_shape).astype("float32")
    x = rng.integers(50, 200, g.input_shape).astype("float32")
    exact = np.einsum("nop,ncp->oc", gy.astype("int64"), x.astype("int64"))
    assert exact.min() > 1 << 23  # beyond this, single additions would round; sums of pieces are exact
    gw = computed("weight_grad", g, gy, x, np.empty(g.weight_shape, "float32"))
    assert np.array_equal(gw[..., 0], exact.astype("float32"))


@compiled
@pytest.mark.parametrize(
    "spelling", ["n3 ic5 oc7 i9x7 k1x1", "n2 ic3 oc2 i70 k4", "n2 ic4 oc9 i6x5x3 k2x1x1", "n2 ic3 oc4 i6x7 k3x2"]
)
@pytest.mark.parametrize("role", ["forward", "input_grad"])
def test_outputs_that_may_be_added_up_in_place_leave_their_neighbours_alone(spelling: str, role: str) -> None:
    g = parse(spelling)
    rng = np.random.default_rng(2)
    source, shape = (g.input_shape, g.output_shape) if role == "forward" else (g.output_shape, g.input_shape)
    a, w = (rng.integers(-9, 10, s).astype("float32") for s in (source, g.weight_shape))
    expected = getattr(definition, role)(a, w, g)
    for extra in range(len(shape)):  # room behind each axis in turn
        whole = np.full([n + (axis == extra) * 5 for axis, n in enumerate(shape)], 77, "float32")
        out = whole[tuple(slice(n) for n in shape)]
        assert np.array_equal(computed(role, g, a, w, out), expected)
        out[...] = 77
        assert (whole == 77).all()
