"""The bits do not depend on the threads, and the pool survives what programs do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from oracles import DEFINITIONS, Problem, assert_same
from strategies import whole_numbers

import convgrad as cg
from convgrad import threads as pool
from convgrad.choose import choose
from convgrad.execute import execute
from convgrad.jit import compile as jit
from convgrad.jit.ir import CYCLE_COUNTER, Function
from convgrad.jit.targets import target_of
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse

THREADS = (1, 2, 3, 5, 8, 64)


def real_numbers(text: str, dtype: str) -> Problem:
    g, rng = parse(text), np.random.default_rng(11)
    return Problem(g, *(rng.standard_normal(s).astype(dtype) for s in (g.input_shape, g.weight_shape, g.output_shape)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "text",
    [
        "n5 ic17 oc19 i33x31 k3x3 p1",
        "n3 ic8 oc12 i40x40 k5x5 s2 p2 g4",
        "n2 ic32 oc32 i24x24x6 k3 p1 g32",
        "n1 ic3 oc70 i9000 k31",
        "n7 ic40 oc64 i20x20 k1x1",
        "n3 ic128 oc128 i14x14 k3x3 p1",
    ],
)
def test_any_number_of_threads_gives_the_same_bits(
    text: str, role: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = real_numbers(text, dtype)
    plan = choose(role, problem.geometry, dtype, Machine.here())
    results = []
    for threads in THREADS:
        monkeypatch.setenv("CONVGRAD_NUM_THREADS", str(threads))
        out = np.full(problem.result_shape(role), np.nan, dtype)
        results.append(execute(plan, *problem.arguments(role), out))
    for result in results[1:]:
        assert_same(result, results[0])


@pytest.mark.skipif(jit.available() is not None, reason=str(jit.available()))
def test_every_item_is_drawn_once() -> None:
    f = Function("count_items", "ptr record")
    counter, counts = (f.load("ptr", f.at(f.arg("record"), "ptr", k)) for k in range(2))
    with f.drain(counter, f.load("i64", f.at(f.arg("record"), "i64", 2))) as item:
        place = f.at(counts, "i8", item)
        f.store(f.load("i8", place) + 1, place)
    text = f"{CYCLE_COUNTER}{f.text()}"
    kernel = jit.compile_kernel("count_items", text, target_of(Machine.here().isa)).call
    items = 10_000_000
    drawn, counts_of = np.zeros(1, np.int64), np.zeros(items + 100, np.int8)
    record = np.array([drawn.ctypes.data, counts_of.ctypes.data, items])
    pool.run(kernel, [record.ctypes.data] * 4, lambda: drawn[0] < items, lambda: None)
    assert (counts_of[:items] == 1).all() and not counts_of[items:].any()


def test_threads_do_change_who_computes() -> None:
    before = threading.active_count()
    x = np.ones((8, 16, 40, 40), "float32")
    os.environ["CONVGRAD_NUM_THREADS"] = "3"
    try:
        cg.conv(x, np.ones((16, 16, 3, 3), "float32"))
    finally:
        del os.environ["CONVGRAD_NUM_THREADS"]
    names = [thread.name for thread in threading.enumerate()]
    if cg.plan_for("forward", "ic16 oc16 i40x40 k3x3").algorithm == "shifted":
        assert names.count("convgrad") >= 2 and threading.active_count() >= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_with_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "2")
    problem = whole_numbers(parse("n4 ic8 oc16 i40x40 k3x3"), np.random.default_rng(0), "float32")
    expected = cg.conv(problem.x, problem.w)  # the parent's workers are parked when it forks
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if np.array_equal(cg.conv(problem.x, problem.w), expected) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert_same(cg.conv(problem.x, problem.w), expected)


def test_calls_from_many_threads_share_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "3")
    # large enough to be shared, each another way
    large = [parse(f"n3 ic8 oc{13 + i} i40x40 k3x3") for i in range(6)]
    problems = [whole_numbers(g, np.random.default_rng(i), "float32") for i, g in enumerate(large)]
    assert all(2 * g.products > 4 << 20 for g in large)
    expected = [cg.conv_weight_grad(p.gy, p.x, kernel_size=3) for p in problems]
    one = DEFINITIONS["weight_grad"](problems[0].gy[:1, :1], problems[0].x[:1, :1], parse("i40x40 k3x3"))
    assert_same(cg.conv_weight_grad(problems[0].gy[:1, :1], problems[0].x[:1, :1], kernel_size=3), one)
    finished = []

    def work(i: int) -> None:
        p = problems[i]
        for _ in range(30):
            assert_same(cg.conv_weight_grad(p.gy, p.x, kernel_size=3), expected[i])
        finished.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == list(range(len(problems)))


INTERRUPTED = """
import os, signal, threading, numpy as np, convgrad as cg
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
x, w = np.ones((64, 64, 96, 96), "float32"), np.ones((64, 64, 9, 9), "float32")
cg.conv(x[:1, :, :16, :16], w)  # compiled before the clock runs
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    cg.conv(x, w)
    print("finished")
except KeyboardInterrupt:
    print("interrupted", int(cg.conv(x[:1, :, :9, :9], w)[0, 0, 0, 0]))
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_an_interrupt_is_heard_during_a_long_call_and_the_pool_works_after_it(threads: str) -> None:
    environment = {**os.environ, "CONVGRAD_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == f"interrupted {64 * 81}"
    assert signal.getsignal(signal.SIGINT) is not None


def test_the_interpreter_ends_with_workers_parked() -> None:
    code = (
        "import numpy as np, convgrad as cg; cg.conv(np.ones((8, 16, 64, 64)), np.ones((16, 16, 3, 3))); print('done')"
    )
    environment = {**os.environ, "CONVGRAD_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "done\n" and done.stderr == ""


# --- where workers wake up


placed = pytest.mark.skipif(pool._core_of_this_thread is None, reason="this system does not place threads")


@placed
@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_wake_up_on_cores_of_their_own_and_never_on_the_callers(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 3, 5})
    monkeypatch.setattr(pool, "_core_of_this_thread", lambda: 3)
    allowed, apart = pool._cores_apart(count)
    assert allowed == {0, 2, 3, 5}
    assert apart == {1: [{5, 0, 2}], 2: [{5, 2}, {0}], 3: [{5}, {0}, {2}]}[count]


@placed
def test_a_caller_with_one_core_leaves_its_workers_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4})
    monkeypatch.setattr(pool, "_core_of_this_thread", lambda: 4)
    assert pool._cores_apart(2) == ({4}, [None, None])


@placed
def test_more_workers_than_cores_wake_up_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(pool, "_core_of_this_thread", lambda: 0)
    assert pool._cores_apart(2)[1] == [{1}, None]


@placed
def test_a_worker_may_move_to_all_cores_of_its_caller_once_it_runs() -> None:
    seen: list[set[int]] = []
    barrier = threading.Barrier(2, timeout=30)

    def kernel(record: int) -> None:
        seen.append(os.sched_getaffinity(0))
        barrier.wait()

    pool.run(kernel, [0, 1], lambda: False, lambda: None)
    assert seen == [os.sched_getaffinity(0)] * 2
