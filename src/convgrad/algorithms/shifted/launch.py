"""A kernel run that is ready but for the addresses of its arrays; firing it costs a few microseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...jit.builtin import address
from ...threads import run as run_on_threads
from ..record import Array
from .record import FIELDS, POINTERS

Kernel = Callable[[int], None]  # takes the address of a record

CACHE_LINE = 64
_AT = {name: FIELDS.index(name) for name in POINTERS}


@dataclass(frozen=True, slots=True)
class Launch:
    """One record, filled except for `x`, `w`, `y`, `totals`, the counter and the scratch memory of each thread."""

    template: Array  # int64, one entry per field
    tables: Mapping[str, Array]  # whose addresses the template holds
    items: int
    threads: int
    scratch_bytes: int  # of one thread, whole cache lines

    def fire(self, kernel: Kernel, **arrays: Array) -> None:
        """Run `kernel` on `arrays`, named like the fields that take their addresses."""
        # a cache line for every thread, so that vectors along a row of the buffer never cross two
        scratch = np.empty(self.threads * self.scratch_bytes + 2 * CACHE_LINE, np.uint8)
        allocated = address(scratch)
        begin = -(-allocated // CACHE_LINE) * CACHE_LINE
        # the counter has the first line, the threads follow
        counter = scratch[begin - allocated :][:8].view(np.int64)
        counter[0] = 0
        records = np.empty((self.threads, len(FIELDS)), np.int64)
        records[:] = self.template
        for name, array in arrays.items():
            records[:, _AT[name]] = address(array)
        records[:, _AT["counter"]] = begin
        for thread in range(self.threads):
            records[thread, _AT["scratch"]] = begin + CACHE_LINE + thread * self.scratch_bytes
        drawn, items = counter.data, self.items

        def unfinished() -> bool:
            return drawn[0] < items

        def stop() -> None:
            drawn[0] = items

        start = address(records)
        run_on_threads(kernel, range(start, start + records.nbytes, records.strides[0]), unfinished, stop)


def prepared(
    fields: Mapping[str, int], tables: Mapping[str, Array], scratch_elements: int, itemsize: int, threads: int
) -> Launch:
    """The launch of a record with these fields and constant tables."""
    known = dict(fields) | {name: address(table) for name, table in tables.items()}
    template = np.array([known.get(name, 0) for name in FIELDS], np.int64)
    scratch_bytes = -(-scratch_elements * itemsize // CACHE_LINE) * CACHE_LINE
    return Launch(template, tables, fields["items"], max(1, min(threads, fields["items"])), scratch_bytes)
