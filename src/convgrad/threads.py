"""The one pool of threads that compiled kernels run on.

State of this module: the parked workers. A kernel draws its items from a shared counter inside compiled code, so a
thread is handed one record per operation and not one per block; a busy core only slows its own share.

A call runs on the caller's thread alone when it is small, when it comes from inside a worker, or while another
thread has the workers. None of this changes a bit of the result: the plan fixes the order of every sum.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

# one argument record per thread; returns when its items are drained, or after a while so that Ctrl-C is heard
Kernel = Callable[[int], None]
Unfinished = Callable[[], bool]


class _Worker:
    """A parked thread, its task and the two locks that hand it over and back."""

    def __init__(self) -> None:
        self.task: Callable[[], None] | None = None
        self._cores: set[int] | None = None  # that it may use, where it wakes up on some of them
        self.go, self.done = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.done.acquire()
        self._thread = threading.Thread(target=self._serve, name="convgrad", daemon=True)
        self._thread.start()

    def wake(self, task: Callable[[], None], cores: set[int] | None, allowed: set[int]) -> None:
        """Begin a task on one of these cores; from then on the system may move it to all that are allowed."""
        self.task, self._cores = task, None
        try:
            if cores and self._thread.native_id is not None:
                with contextlib.suppress(OSError):  # a core that was taken away meanwhile
                    os.sched_setaffinity(self._thread.native_id, cores)
                    self._cores = allowed
        finally:  # whatever arrives here, the caller waits for this worker
            self.go.release()

    def _serve(self) -> None:
        _inside.worker = True
        while True:
            self.go.acquire()
            if self._cores is not None:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(0, self._cores)
            task, self.task = self.task, None
            try:
                if task is not None:
                    task()
            finally:
                self.done.release()


_inside = threading.local()
_lock = threading.Lock()  # held by the calling thread whose operation has the workers
_workers: list[_Worker] = []


def run(kernel: Kernel, records: Sequence[int], unfinished: Unfinished, stop: Callable[[], None]) -> None:
    """Run `kernel` on every record at once, the first on this thread, until nothing is `unfinished`.

    records: addresses, one for each thread that may take part.
    stop: makes the kernels finish early; called when this thread is interrupted, before the interrupt goes on.
    """

    def work(record: int) -> None:
        kernel(record)
        while unfinished():
            kernel(record)

    if len(records) == 1 or getattr(_inside, "worker", False) or not _lock.acquire(blocking=False):
        work(records[0])
        return
    busy: list[_Worker] = []
    try:
        workers = _workers_for(len(records) - 1)
        allowed, apart = _cores_apart(len(workers))
        for record, worker, cores in zip(records[1:], workers, apart, strict=False):
            busy.append(worker)
            worker.wake(functools.partial(work, record), cores, allowed)
        work(records[0])
    except BaseException:
        stop()
        raise
    finally:
        interrupt: BaseException | None = None
        for worker in busy:
            # they write into the caller's arrays: whatever arrives here waits until they are done
            while True:
                try:
                    worker.done.acquire()
                    break
                except BaseException as error:
                    stop()
                    interrupt = error
        _lock.release()
        if interrupt is not None:
            raise interrupt


@contextmanager
def alone() -> Iterator[None]:
    """Within, what this thread calls runs on this thread: a scheduler has given it one core among many threads."""
    before = getattr(_inside, "worker", False)
    _inside.worker = True
    try:
        yield
    finally:
        _inside.worker = before


def _cores_apart(count: int) -> tuple[set[int], list[set[int] | None]]:
    """The cores that this thread may use; and of the others some for each worker to wake up on, or None for any.

    Left alone, some schedulers wake a worker on its caller's core, and move it after milliseconds: later than most
    calls take.
    """
    if _core_of_this_thread is None or count == 0:
        return set(), [None] * count
    allowed, here = os.sched_getaffinity(0), _core_of_this_thread()
    others = sorted(allowed - {here}, key=lambda core: (core < here, core))
    if not others:
        return allowed, [None] * count
    return allowed, [set(others[k::count]) or None for k in range(count)]


def _find_core_of_this_thread() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        found: Callable[[], int] = ctypes.CDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
    return found


_core_of_this_thread = _find_core_of_this_thread()


def _workers_for(count: int) -> list[_Worker]:
    """Up to `count` workers; fewer where the system gives no more threads."""
    try:
        while len(_workers) < count:
            _workers.append(_Worker())
    except RuntimeError:  # no new threads, as at interpreter shutdown
        pass
    return _workers[:count]


def _forget_the_parents_threads() -> None:
    # a forked child has this thread only, and may have copied the locks in any state
    global _lock
    _lock = threading.Lock()
    _workers.clear()
    _inside.worker = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)
