"""Chunked arrays: the bits of the result in memory, however they are cut, and nothing read that is not needed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dask_strategies import Chunked, chunked, options
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import DEFINITIONS, Array, Problem, assert_same
from peers import peer
from strategies import whole_numbers

import convgrad as cg
from convgrad import definition, spelling, threads
from convgrad.errors import GeometryError, UnsupportedError
from convgrad.piecewise import piece_plan, whole_plan

dask, da, cd = peer("dask"), peer("dask.array"), peer("convgrad.dask")

EXAMPLES = 2 * settings.default.max_examples


@pytest.fixture(autouse=True)
def _in_this_thread() -> Any:
    with dask.config.set(scheduler="sync"):
        yield


def cut(array: Array, chunks: Any) -> Any:
    return array if chunks is None else da.from_array(array, chunks=chunks)


def lazy(c: Chunked, algorithm: str | None = None) -> tuple[Any, Any, Any]:
    """y, gx and gw of a chunked problem."""
    p, g = c.problem, c.problem.geometry
    x, w, gy = cut(p.x, c.x), cut(p.w, c.w), cut(p.gy, c.gy)
    named = {**options(g), "algorithm": algorithm}
    return (
        cd.conv(x, w, chunks=c.y, **named),
        cd.conv_input_grad(gy, w, input_size=g.input_size, chunks=c.gx, **named),
        cd.conv_weight_grad(gy, x, kernel_size=g.kernel_size, **named),
    )


def in_memory(p: Problem, algorithm: str | None = None) -> tuple[Array, Array]:
    """y and gx, by the algorithms that chunked calls take."""
    g, named = p.geometry, options(p.geometry)
    taken = [algorithm or whole_plan(role, g, p.x.dtype.name).algorithm for role in ("forward", "input_grad")]
    return (
        cg.conv(p.x, p.w, **named, algorithm=taken[0]),
        cg.conv_input_grad(p.gy, p.w, input_size=g.input_size, **named, algorithm=taken[1]),
    )


# ---- right


@settings(max_examples=EXAMPLES)
@given(chunked())
def test_chunked_results_equal_the_definition(c: Chunked) -> None:
    p = c.problem
    for role, got in zip(DEFINITIONS, dask.compute(*lazy(c)), strict=True):
        assert_same(got, DEFINITIONS[role](*p.arguments(role), p.geometry))


@settings(max_examples=EXAMPLES)
@given(chunked(real=True))
def test_forward_and_input_gradient_have_the_bits_of_the_result_in_memory(c: Chunked) -> None:
    y, gx, _ = lazy(c)
    for got, expected in zip(dask.compute(y, gx), in_memory(c.problem), strict=True):
        assert_same(got, expected)


@pytest.mark.parametrize("algorithm", ["im2col", "taps"])
@given(chunked(max_rank=4, real=True))
def test_products_of_blas_keep_their_bits_because_whole_tiles_are_computed(algorithm: str, c: Chunked) -> None:
    try:
        for role in ("forward", "input_grad"):
            whole_plan(role, c.problem.geometry, "float32", algorithm)
    except UnsupportedError:  # a part of the problem has one tap
        algorithm = "im2col"
    y, gx, _ = lazy(c, algorithm)
    for got, expected in zip(dask.compute(y, gx), in_memory(c.problem, algorithm), strict=True):
        assert_same(got, expected)


@given(chunked(real=True))
def test_the_weight_gradient_is_within_its_bound(c: Chunked) -> None:
    p, g = c.problem, c.problem.geometry
    a, b = p.arguments("weight_grad")
    plan = whole_plan("weight_grad", g, p.x.dtype.name, "im2col")
    got = lazy(c, "im2col")[2].compute()
    wide = np.longdouble if plan.dtype == "float64" else np.float64
    error = np.abs(got - definition.weight_grad(a.astype(wide), b.astype(wide), g))
    # a piece sums at most all terms of this small problem in one product; the tree adds two roundings
    terms = g.batch * np.prod(g.output_size) + 5
    assert (error <= terms * np.finfo(plan.dtype).eps * definition.weight_grad(np.abs(a), np.abs(b), g)).all()


def test_the_weight_gradient_keeps_its_digits_over_many_chunks() -> None:
    rng = np.random.default_rng(0)
    x, gy = rng.random((1, 1, 100_002), "float32"), rng.random((1, 1, 100_000), "float32")
    got = cd.conv_weight_grad(cut(gy, (1, 1, 500)), cut(x, (1, 1, 700)), kernel_size=3).compute()
    exact = cg.conv_weight_grad(gy.astype("float64"), x.astype("float64"), kernel_size=3)
    assert np.max(np.abs(got - exact) / np.spacing(got)) <= 2  # a plain float32 sum of the terms loses hundreds


def test_an_infinite_weight_gradient_is_infinite_and_spoils_no_other() -> None:
    x, gy = np.ones((1, 2, 200)), np.ones((1, 1, 200))
    x[0, 1, 7] = np.inf
    got = cd.conv_weight_grad(cut(gy, (1, 1, 10)), cut(x, (1, 2, 15)), kernel_size=1).compute()
    assert got.tolist() == [[[200], [np.inf]]]


def test_a_kernel_is_read_backwards_where_it_is_asked_for() -> None:
    x, w = cut(np.array([[[1.0, 2, 3, 4, 5]]]), (1, 1, 2)), np.array([[[1.0, 10, 100]]])
    assert cd.conv(x, w, flip=True).compute().tolist() == [[[123, 234, 345]]]
    gy = cut(np.array([[[1.0, 10, 100]]]), (1, 1, 2))
    assert cd.conv_weight_grad(gy, x, kernel_size=3, flip=True).compute().tolist() == [[[543, 432, 321]]]
    named = {"input_size": 5, "flip": True}
    assert_same(
        cd.conv_input_grad(gy, cut(w, (1, 1, 2)), **named).compute(), cg.conv_input_grad(gy.compute(), w, **named)
    )


def test_a_circle_is_closed_through_the_chunk_at_the_other_end() -> None:
    x = cut(np.arange(10.0).reshape(1, 1, 10), (1, 1, 4))
    y = cd.conv(x, np.array([[[1.0, 10, 100]]]), padding=1, padding_mode="circular")
    assert y.chunks[2] == (4, 4, 2) and y.compute()[0, 0, [0, 9]].tolist() == [109, 98]
    assert all(sum(map(len, task[3])) <= 4 for task in tasks(y, "").values())


def test_transposed_convolution_is_the_input_gradient_used_forwards() -> None:
    p = whole_numbers(spelling.parse("n2 ic4 oc6 i9x8 k3x2 s2x1 p1 g2"), np.random.default_rng(0))
    named = options(p.geometry)
    y = cd.conv_transpose(cut(p.gy, (1, 4, 2, 3)), p.w, np.arange(4.0), output_size=(9, 8), **named)
    assert_same(y.compute(), cg.conv_transpose(p.gy, p.w, np.arange(4.0), output_size=(9, 8), **named))


@given(chunked(real=True), st.sampled_from(["3m", "4m"]), st.sampled_from(["both", "x", "w"]))
def test_complex_numbers_have_the_bits_of_the_result_in_memory(c: Chunked, method: str, which: str) -> None:
    p, g = c.problem, c.problem.geometry
    i = np.complex64(1j) if p.x.dtype == np.float32 else 1j
    x, w, gy = (
        (array + i * array[::-1]) if which in ("both", name) else array
        for name, array in zip("xwx", (p.x, p.w, p.gy), strict=True)
    )
    named = {**options(g), "complex_method": method}
    plain = [whole_plan(role, g, p.x.dtype.name).algorithm for role in ("forward", "input_grad")]
    y, gx, gw = dask.compute(
        cd.conv(cut(x, c.x), w, **named),
        cd.conv_input_grad(cut(gy, c.gy), w, input_size=g.input_size, **named),
        cd.conv_weight_grad(cut(gy, c.gy), cut(x, c.x), kernel_size=g.kernel_size, **named),
    )
    assert_same(y, cg.conv(x, w, **named, algorithm=plain[0]))
    assert_same(gx, cg.conv_input_grad(gy, w, input_size=g.input_size, **named, algorithm=plain[1]))
    expected = cg.conv_weight_grad(gy, x, kernel_size=g.kernel_size, **named)
    assert gw.dtype == expected.dtype and np.abs(gw - expected).max() <= 1e-3


def test_a_worked_example_spells_its_windows_across_chunks() -> None:
    x, w = cut(np.array([[[1.0, 2, 3, 4, 5]]]), (1, 1, 1)), np.array([[[1.0, 10, 100]]])
    assert cd.conv(x, w).compute().tolist() == [[[321, 432, 543]]]
    assert cd.conv(x, w, [7.0], padding=1).compute().tolist() == [[[217, 328, 439, 550, 61]]]


@given(chunked())
def test_the_two_gradients_are_adjoints_of_the_chunked_forward(c: Chunked) -> None:
    p = replace(c.problem, geometry=c.problem.geometry.linear)
    y, gx, gw = dask.compute(*lazy(replace(c, problem=p)))
    assert np.vdot(y, p.gy) == np.vdot(p.x, gx) == np.vdot(p.w, gw)


# ---- lazy, and little


def tasks(array: Any, part: str) -> dict[Any, Any]:
    """The tasks of a result whose key's name ends so; "" for those of its chunks."""
    graph = dict(array.__dask_graph__())
    return {key: task for key, task in graph.items() if isinstance(key, tuple) and key[0] == f"{array.name}{part}"}


def test_a_result_is_one_task_a_chunk_and_two_slices_a_border() -> None:
    x = da.zeros((1, 1, 1000), chunks=(1, 1, 100))
    y = cd.conv(x, np.ones((1, 1, 5)), padding=2)
    assert len(tasks(y, "")) == 10 and len(tasks(y, "-a")) == 18 and not tasks(y, "-b")
    assert len(dict(y.__dask_graph__())) == 10 + 18 + len(dict(x.__dask_graph__())) + 2  # the weight, the plan


def test_a_chunk_reads_the_halo_that_its_windows_cover_and_no_more() -> None:
    x = cut(np.zeros((1, 1, 60, 60)), (1, 1, 20, 20))
    y = cd.conv(x, np.ones((1, 1, 5, 3)), padding=(2, 1))
    _, _, chunk, (a_keys,), _ = tasks(y, "")[(y.name, 0, 0, 1, 1)]
    assert chunk.shape == (1, 1, 20, 20) and chunk.a[0].shape == (1, 1, 24, 22) and len(a_keys) == 9
    read = {key: box for key, (_, chunk, box) in tasks(y, "-a").items() if chunk[3:] != (1, 1)}
    halo = sum(np.prod([s.stop - s.start for s in read[key]]) for key in a_keys if key in read)
    assert halo == 24 * 22 - 20 * 20


def test_pieces_that_read_the_same_share_the_slice() -> None:
    x = da.zeros((1, 4, 40), chunks=(1, 4, 20))
    w = da.zeros((6, 4, 3), chunks=(2, 4, 3))
    y = cd.conv(x, w, padding=1)
    assert y.numblocks == (1, 3, 2) and len(tasks(y, "-a")) == 2


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    def fail(*_: Any) -> Array:
        raise AssertionError

    x = da.map_blocks(fail, chunks=((1,), (1,), (5, 5)), dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    y = cd.conv(x, np.ones((1, 1, 3), "float32"))
    assert y.shape == (1, 1, 8) and y.dtype == np.float32
    with pytest.raises(AssertionError):
        y.compute()


def test_a_slice_keeps_no_chunk_in_memory() -> None:
    from convgrad.dask.work import cut as cut_of

    assert cut_of(np.zeros((10, 10)), (slice(0, 1), slice(0, 10))).base is None


def test_equal_calls_have_equal_names_and_different_ones_do_not() -> None:
    x, w = cut(np.arange(9.0).reshape(1, 1, 9), (1, 1, 4)), np.ones((1, 1, 3))
    names = {cd.conv(x, w).name, cd.conv(x, w).name, cd.conv(x, w, padding=1).name, cd.conv(x, 2 * w).name}
    assert len(names) == 3


def test_results_are_cut_where_arguments_are() -> None:
    x, w = da.zeros((4, 6, 30, 30), chunks=(2, 3, 10, 15), dtype="float32"), np.zeros((9, 2, 3, 3), "float32")
    y = cd.conv(x, w, padding=1, groups=3)
    assert y.chunks == ((2, 2), (9,), (10, 10, 10), (15, 15))  # three channels are no whole number of groups
    y = cd.conv(x.rechunk({1: 2}), w, padding=1, stride=2, groups=3)
    assert y.chunks == ((2, 2), (3, 3, 3), (5, 5, 5), (8, 7))
    gx = cd.conv_input_grad(y, w, input_size=(30, 30), padding=1, stride=2, groups=3)
    assert gx.chunks == ((2, 2), (2, 2, 2), (10, 10, 10), (16, 14))
    assert cd.conv(x, w, groups=3, chunks=(1, 3, -1, 7)).chunks == ((1,) * 4, (3,) * 3, (28,), (7,) * 4)


def test_the_weight_gradient_is_summed_in_a_tree_that_the_chunks_fix() -> None:
    gy, x = da.zeros((1, 1, 200), chunks=(1, 1, 2)), da.zeros((1, 1, 202), chunks=(1, 1, 50))
    gw = cd.conv_weight_grad(gy, x, kernel_size=3)
    assert [len(tasks(gw, part)) for part in ("-term", "-sum", "")] == [100, 13 + 2, 1]
    assert len(dict(gw.__dask_graph__())[(gw.name, 0, 0, 0)][1]) == 2


# ---- plans


def test_the_plan_of_the_whole_goes_to_every_piece() -> None:
    whole = whole_plan("forward", spelling.parse("ic3 oc8 i900x900 k3x3 p1"), "float32", "im2col")
    piece = piece_plan(whole, spelling.parse("ic3 oc8 i30x30 k3x3 p1"))
    assert piece.parameters == whole.parameters and piece.algorithm == "im2col"
    whole = whole_plan("forward", spelling.parse("i512x512 k31x31"), "float32", "shifted")
    assert piece_plan(whole, spelling.parse("i300x300 k31x31")).algorithm == "shifted"  # and no transforms


def test_large_kernels_are_not_transformed_because_pieces_would_have_other_bits() -> None:
    g = spelling.parse("i512x512 k31x31")
    if cg.plan_for("forward", g).algorithm != "fourier":
        pytest.skip("this machine does not transform here")
    assert whole_plan("forward", g, "float32").algorithm == "shifted"
    assert whole_plan("forward", g, "float32", "fourier").algorithm == "fourier"
    assert whole_plan("weight_grad", g, "float32").algorithm == "fourier"  # a sum over pieces anyway


def test_a_machine_without_the_instructions_of_the_plan_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = whole_plan("forward", spelling.parse("ic3 oc8 i90x90 k3x3"), "float32")
    if whole.algorithm != "shifted" or whole.parameters.isa in {"generic", "sse2"}:  # type: ignore[attr-defined]
        pytest.skip("no instruction set above the lowest")
    monkeypatch.setenv("CONVGRAD_ISA", "generic")
    with pytest.raises(UnsupportedError, match=r"is no level of this machine's CPU .*a plan made with CONVGRAD_ISA="):
        piece_plan(whole, spelling.parse("ic3 oc8 i9x9 k3x3"))


def test_a_piece_runs_on_the_thread_that_the_scheduler_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_workers_for", lambda count: pytest.fail("asked for another thread"))
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "2")
    x = cut(np.ones((1, 8, 200, 200), "float32"), (1, 8, 100, 200))
    cd.conv(x, np.ones((8, 8, 3, 3), "float32"), algorithm="shifted").compute()


# ---- odd shapes, and errors


def test_empty_batches_and_chunks_of_no_positions_pass() -> None:
    w = np.ones((2, 1, 3))
    assert cd.conv(da.zeros((0, 1, 9), chunks=(1, 1, 4)), w).compute().shape == (0, 2, 7)
    x = da.concatenate([da.ones((1, 1, 4)), da.ones((1, 1, 0)), da.ones((1, 1, 5))], axis=2)
    assert (cd.conv(x, w).compute() == 3).all()
    gy = da.zeros((0, 2, 7), chunks=(1, 2, 4))
    assert (cd.conv_weight_grad(gy, da.zeros((0, 1, 9)), kernel_size=3).compute() == 0).all()
    assert (cd.conv(da.ones((1, 1, 9)), w, chunks=((1,), (2,), (3, 0, 4))).compute() == 3).all()


def test_outputs_and_inputs_that_nothing_reaches_are_zero() -> None:
    x, w = da.ones((1, 1, 4), chunks=2), np.ones((1, 1, 2))
    assert cd.conv(x, w, padding=6, chunks=(1, 1, 2)).compute().tolist() == [[[0] * 5 + [1, 2, 2, 2, 1] + [0] * 5]]
    gx = cd.conv_input_grad(da.ones((1, 1, 2), chunks=1), np.ones((1, 1, 1)), input_size=6, stride=4, chunks=(1, 1, 1))
    assert gx.compute().tolist() == [[[1, 0, 0, 0, 1, 0]]]


def test_numpy_arrays_are_taken_as_one_chunk() -> None:
    y = cd.conv(np.ones((1, 1, 5)), np.ones((1, 1, 2)))
    assert y.numblocks == (1, 1, 1) and (y.compute() == 2).all()


def test_wrong_arguments_are_refused_before_anything_is_computed() -> None:
    x, w = da.zeros((1, 2, 9), chunks=3), np.zeros((4, 3, 3))
    with pytest.raises(GeometryError, match=r"w\.shape = \(4, 3, 3\): holds 3 channels per group"):
        cd.conv(x, w)
    with pytest.raises(UnsupportedError, match=r"x\.dtype = 'bool': no kernel computes it"):
        cd.conv(x.astype(bool), w)
    with pytest.raises(UnsupportedError, match=r"x\.dtype = 'int64': whether sums of integers fit .* accepted: x\.ast"):
        cd.conv(x.astype(int), np.zeros((4, 2, 3)))
    with pytest.raises(UnsupportedError, match="complex_method = '5m': is no way to multiply here"):
        cd.conv(x, np.zeros((4, 2, 3)), complex_method="5m")
    with pytest.raises(GeometryError, match=r"chunks = \(1, 2\): do not cut a result of shape \(1, 4, 7\)"):
        cd.conv(x, np.zeros((4, 2, 3)), chunks=(1, 2))
    with pytest.raises(GeometryError, match=r"bias\.shape = \(3,\): the result has 4 channels"):
        cd.conv(x, np.zeros((4, 2, 3)), np.zeros(3))
    unknown = x[x[:, 0, 0] == 0]
    with pytest.raises(UnsupportedError, match=r"are of unknown size; accepted: x\.compute_chunk_sizes\(\)"):
        cd.conv(unknown, np.zeros((4, 2, 3)))


def test_every_way_to_cut_a_short_axis_gives_the_same() -> None:
    p = whole_numbers(spelling.parse("i7 k3 s2 p2+1 d2"), np.random.default_rng(1))
    g = p.geometry
    expected = [DEFINITIONS[role](*p.arguments(role), g) for role in DEFINITIONS]
    every = [
        tuple(b - a for a, b in itertools.pairwise((0, *borders, 7)))
        for count in range(7)
        for borders in itertools.combinations(range(1, 7), count)
    ]
    for lengths in every:
        chunks = ((1,), (1,), lengths)
        got = lazy(Chunked(p, chunks, None, tuple((size,) for size in p.gy.shape), None, chunks))
        for found, exact in zip(dask.compute(*got), expected, strict=True):
            assert_same(found, exact)
