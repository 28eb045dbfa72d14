"""Calls that repeat: the same bits, the same refusals, whatever came between them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same
from strategies import problems, whole_numbers
from test_api import call, relaid

import convgrad as cg
from convgrad import api, definition
from convgrad.algorithms import shifted
from convgrad.algorithms.shifted import small
from convgrad.execute import ready
from convgrad.jit import builtin
from convgrad.jit import compile as jit
from convgrad.jit.targets import TARGETS
from convgrad.plan import ROLES
from convgrad.repeats import Passed, repeat
from convgrad.spelling import parse

compiled = pytest.mark.skipif(
    jit.available() is not None or not builtin.available(), reason="no compiled calls in this interpreter"
)
every_role = pytest.mark.parametrize("role", ROLES)
TIMES = 4  # the first call is noted, the second made ready, the others repeat


def passed_for(function: api._Function, shape: tuple[int, ...]) -> Passed:
    """What is known of the last call whose first array has this shape."""
    return next(found for key, found in reversed(function.seen.items()) if key[0] == shape and found is not None)


@every_role
@given(problem=problems())
def test_every_repetition_equals_the_definition(role: str, problem: Problem) -> None:
    expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    results = [call(role, problem) for _ in range(TIMES)]
    for result in results:
        assert_same(result, expected)
    assert len({id(result) for result in results}) == TIMES
    out = np.full_like(expected, np.nan)
    assert call(role, problem, out=out) is out
    assert_same(out, expected)


@every_role
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "text",
    [
        "n3 ic3 oc4 i9x8 k3x3 p1",
        "n2 ic4 oc6 i13 k3 s2 p1 g2",
        "n1 ic2 oc3 i5x6x7 k2x3x2",
        "n2 ic6 oc5 i6x6 k1x1",
        "ic16 oc16 i24x24 k3x3 p1",
    ],
)
@compiled
def test_small_and_large_calls_give_the_same_bits_each_time(text: str, role: str, dtype: str) -> None:
    g, rng = parse(text), np.random.default_rng(3)
    shapes = (g.input_shape, g.weight_shape, g.output_shape)
    problem = Problem(g, *(rng.standard_normal(shape).astype(dtype) for shape in shapes))
    first, *others = (call(role, problem) for _ in range(TIMES))
    for other in others:
        assert_same(other, first)
    function = {"forward": api._CONV, "input_grad": api._INPUT_GRAD, "weight_grad": api._WEIGHT_GRAD}[role]
    passed = passed_for(function, problem.arguments(role)[0].shape)
    assert (passed.run is not None) == (passed.plan.operations < shifted.SMALL_OPERATIONS)
    assert call(role, problem, out=np.empty_like(first)).tobytes() == first.tobytes()


@every_role
@given(problem=problems(max_rank=2), layout=st.sampled_from(["strided", "reversed", "misaligned", "big-endian"]))
def test_a_repetition_in_another_layout_gives_the_same_numbers(role: str, problem: Problem, layout: str) -> None:
    expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    laid = Problem(problem.geometry, *(relaid(a, layout) for a in (problem.x, problem.w, problem.gy)))
    for arrays in (problem, laid, problem, laid, problem, laid):
        assert_same(call(role, arrays), expected)
    for _ in range(TIMES):
        assert_same(call(role, problem, out=relaid(np.full_like(expected, np.nan), "strided")).copy(), expected)


@every_role
@given(problem=problems(max_rank=2), special=st.sampled_from([np.nan, np.inf, -np.inf]), data=st.data())
def test_special_values_go_where_they_belong_in_every_repetition(
    role: str, problem: Problem, special: float, data: st.DataObject
) -> None:
    for _ in range(TIMES):
        call(role, problem)
    for array in problem.arguments(role):
        array.ravel()[data.draw(st.integers(0, array.size - 1))] = special
    with np.errstate(all="ignore"):
        expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    assert_same(call(role, problem), expected)
    assert_same(call(role, problem, out=np.zeros_like(expected)), expected)


X = np.arange(1.0, 26).reshape(1, 1, 5, 5)
W = np.arange(1.0, 10).reshape(1, 1, 3, 3)
MEMORY = np.zeros(50)
REFUSED_LATER: list[tuple[Callable[[], object], str]] = [
    (lambda: cg.conv(X, W, stride=1.0), "stride = 1.0: is not a whole number"),
    (lambda: cg.conv(X, W, padding=0.0), "padding = 0.0: is not a whole number"),
    (lambda: cg.conv(X, W, dilation=(1, 1.0)), r"dilation\[1\] = 1.0: is not a whole number"),
    (lambda: cg.conv(X, W, padding=((0, 0), (0, 0.0))), r"padding\[1\]\[1\] = 0.0: is not a whole number"),
    (lambda: cg.conv(X, W, groups=1.0), "groups = 1.0: is not a whole number"),
    (lambda: cg.conv(X, W, algorithm="magic"), "algorithm = 'magic': has no such name here"),
    (lambda: cg.conv(X, W, out=X[:, :, :3, :3]), "out = .*: shares memory with x"),
    (lambda: cg.conv(X, W, out=W), "out = .*: shares memory with w"),
    (lambda: cg.conv(X, MEMORY[:9].reshape(W.shape), out=MEMORY[8:17].reshape(W.shape)), "out = .*: shares memory"),
    (lambda: cg.conv(X, W, out=np.zeros((1, 1, 3, 4))), r"out.shape = \(1, 1, 3, 4\)"),
    (lambda: cg.conv(X, W, out=np.zeros((1, 1, 3, 3), "f4")), "out.dtype = '<f4'"),
    (lambda: cg.conv(X, W, out=np.zeros((1, 1, 3, 3), ">f8")), "out.dtype = '>f8'"),
    (lambda: cg.conv(X, W, out=np.broadcast_to(0.0, (1, 1, 3, 3))), "out = 'a read-only array'"),
    (lambda: cg.conv(X, W, out=[0]), "out = 'list'"),
    (lambda: cg.conv(X, W.astype(bool)), "w.dtype = 'bool'"),
    (lambda: cg.conv(X.astype("f2"), W), "x.dtype = 'float16'"),
    (lambda: cg.conv(X, W, np.zeros(2)), r"bias.shape = \(2,\)"),
    (lambda: cg.conv_input_grad(X, W, input_size=None), "input_size = None: is not a whole number"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED_LATER)
def test_what_is_refused_at_first_is_refused_after_calls_like_it(make: Callable[[], object], message: str) -> None:
    for _ in range(TIMES):
        for pair in (0, (0, 0), ((0, 0), (0, 0))):
            cg.conv(X, W, padding=pair)
        cg.conv(X, W, dilation=(1, 1))
        cg.conv(X, W, out=np.empty((1, 1, 3, 3)))
        cg.conv_transpose(X, W)
    with pytest.raises(cg.ConvgradError, match=f"^{message}"):
        make()


def test_neighbours_in_memory_are_not_taken_for_an_overlap() -> None:
    memory = np.zeros(43)
    x, w, out = memory[:25].reshape(X.shape), memory[34:].reshape(W.shape), memory[25:34].reshape(1, 1, 3, 3)
    x[...], w[...] = X, W
    for _ in range(TIMES):
        out[...] = np.nan
        assert cg.conv(x, w, out=out) is out
        assert_same(out.copy(), definition.forward(X, W, parse("i5x5 k3x3")))


class Doubled(np.ndarray):
    """An array type whose arithmetic may be its own."""


def test_other_types_of_array_are_read_by_the_gates() -> None:
    expected = cg.conv(X, W)
    for _ in range(TIMES):
        cg.conv(X, W)
        assert type(cg.conv(X.view(Doubled), W)) is np.ndarray
        assert_same(cg.conv(X.tolist(), W.tolist()), expected)
        assert_same(cg.conv(X.astype("f4"), W), expected)


def test_only_plain_arrays_repeat() -> None:
    options = (1, 0, 1, 1, "zeros", 0, "3m", "highest", None)
    for _ in range(TIMES):
        cg.conv(X, W)
    assert repeat(api._CONV.seen, X, W, options, None) is not None
    others = [relaid(X, layout) for layout in ("strided", "reversed", "misaligned", "big-endian")]
    for other in (*others, X.view(Doubled), X.tolist(), memoryview(X), None):
        assert repeat(api._CONV.seen, other, W, options, None) is None
        assert repeat(api._CONV.seen, X, other, options, None) is None
        assert repeat(api._CONV.seen, X, W, options, other) is None or other is None
    assert repeat(api._CONV.seen, X, W, (1, 0, 1, 1, "zeros", 0, "3m", "highest", "taps"), None) is None


@pytest.mark.parametrize("shared", ["x", "w"])
def test_a_large_result_over_an_argument_is_refused_every_time(shared: str) -> None:
    x, w = np.ones((1, 16, 24, 24)), np.ones((16, 16, 3, 3))
    for _ in range(TIMES):
        cg.conv(x, w, padding=1, out=np.empty(x.shape))
    memory = np.zeros(x.size + 100)
    x, w = (memory[: a.size].reshape(a.shape) if name == shared else a for name, a in (("x", x), ("w", w)))
    for begin in (0, 100):
        with pytest.raises(cg.UnsupportedError, match=f"shares memory with {shared}, which"):
            cg.conv(x, w, padding=1, out=memory[begin:][: x.size].reshape(1, 16, 24, 24))


def test_the_bias_is_added_in_every_repetition() -> None:
    expected = cg.conv(X, W) + 5
    for _ in range(TIMES):
        assert_same(cg.conv(X, W, [5.0]), expected)


def test_repetitions_in_many_threads_get_their_own_results() -> None:
    cases = [whole_numbers(parse(f"ic3 oc4 i{9 + i}x8 k3x3 p1"), np.random.default_rng(i), "float32") for i in range(6)]
    expected = [DEFINITIONS["weight_grad"](p.gy, p.x, p.geometry) for p in cases]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(300) if not np.array_equal(call("weight_grad", cases[i]), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_calls_that_are_remembered_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convgrad.repeats.REMEMBERED", 3)
    for size in range(5, 15):
        cg.conv(np.ones((1, 1, size)), np.ones((1, 1, 3)))
        assert len(api._CONV.seen) <= 3 or size == 5


def test_where_python_cannot_call_compiled_code_itself_nothing_is_made_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "available", lambda: False)
    assert ready(cg.plan_for("forward", "i5x5 k3x3")) is None
    array = np.zeros((4, 6))[1:, ::-1]
    assert builtin.address(array) == array.__array_interface__["data"][0]


@compiled
def test_compiled_code_is_a_function_of_python_that_keeps_its_state() -> None:
    run = ready(cg.plan_for("forward", "i5x5 k3x3", dtype="float64"))
    assert run is not None and type(run) is type(len)
    out = np.full((1, 1, 3, 3), np.nan)
    before = [sys.getrefcount(item) for item in (X, W, out)]
    assert all(run(X, W, out) is True for _ in range(1000)) and run(X, W, X[:, :, :3, :3]) is False
    assert [sys.getrefcount(item) for item in (X, W, out)] == before
    assert_same(out, definition.forward(X, W, parse("i5x5 k3x3")))


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
@pytest.mark.parametrize("element", ["float", "double"])
def test_the_text_of_small_calls_is_a_function_of_dtype_and_isa(element: str, target) -> None:
    text = small.text(element, target)
    assert text == small.text(element, target) and "inttoptr" not in text
    assert f"define ptr @{small.NAME}(ptr %self, ptr %arguments, i64 %count)" in text
