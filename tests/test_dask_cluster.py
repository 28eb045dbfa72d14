"""Other schedulers: threads, and two processes of one thread each; equal bits on all, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dask_strategies import Chunked, chunked
from hypothesis import HealthCheck, given, settings
from oracles import assert_same
from peers import peer

import convgrad as cg
from convgrad.jit import compile as jit

dask, da, cd, distributed = peer("dask"), peer("dask.array"), peer("convgrad.dask"), peer("distributed")

from test_dask import in_memory, lazy  # noqa: E402 -- it skips where Dask is not there


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers in processes of their own, one thread each."""
    quiet = {"distributed.comm.timeouts.connect": "60s", "distributed.worker.memory.terminate": False}
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as found,
    ):
        yield found


SCHEDULERS = ["threads", "cluster"]


def computed(scheduler: str, client: Any, *arrays: Any) -> tuple[Any, ...]:
    """`arrays` by a scheduler: threads of this process, or the workers."""
    get = client.get if scheduler == "cluster" else "threads"
    found: tuple[Any, ...] = dask.compute(*arrays, scheduler=get)
    return found


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(c=chunked(real=True))
def test_every_scheduler_gives_the_same_bits(client: Any, scheduler: str, c: Chunked) -> None:
    arrays = lazy(c)
    expected_gw = arrays[2].compute(scheduler="sync")
    found = computed(scheduler, client, *arrays)
    for got, expected in zip(found, (*in_memory(c.problem), expected_gw), strict=True):
        assert_same(got, expected)


def test_the_weight_gradient_has_the_same_bits_on_every_number_of_threads(client: Any) -> None:
    rng = np.random.default_rng(0)
    gy = da.from_array(rng.standard_normal((2, 4, 400, 50), "float32"), chunks=(1, 3, 17, 23))
    x = da.from_array(rng.standard_normal((2, 6, 402, 52), "float32"), chunks=(2, 6, 40, 52))
    gw = cd.conv_weight_grad(gy, x, kernel_size=3)
    expected = gw.compute(scheduler="sync")
    for threads in (1, 2, 5):
        assert_same(gw.compute(scheduler="threads", num_workers=threads), expected)
    assert_same(*computed("cluster", client, gw), expected)


def test_zeros_are_stored_by_workers_too(client: Any, tmp_path: Path) -> None:
    cd.store(da.zeros((4, 4), chunks=2), tmp_path / "a.zarr")
    (tmp_path / "a.zarr/c/1/1").unlink()
    with client.as_current():
        cd.store(da.zeros((4, 4), chunks=2), tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr/c/1/1").exists()


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(tmp_path))
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 4, 600, 64), "float32"), rng.standard_normal((4, 4, 5, 5), "float32")
    slow = da.from_array(x, chunks=(1, 4, 10, 64)).map_blocks(_slowly, dtype="float32")
    y = cd.conv(slow, w, padding=2)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        future = client.compute(y)
        while not _some_done(client, y.name):
            time.sleep(0.05)
        assert not future.done()
        os.kill(victim, signal.SIGKILL)
        assert_same(future.result(timeout=300), cg.conv(x, w, padding=2))
        assert victim not in client.run(os.getpid).values()
    if jit.available() is None:  # three processes compiled, or found, one kernel
        assert len(list(tmp_path.rglob("*.cgo"))) == 1


def _slowly(block: Any) -> Any:
    time.sleep(0.02)
    return block


def _some_done(client: Any, name: str) -> bool:
    """Whether a worker holds a chunk of the array `name`."""
    return any(name in str(key) for keys in client.has_what().values() for key in keys)
