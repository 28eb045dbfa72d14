"""The one place that imports Dask."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..errors import MissingExtraError

try:
    import dask
    import dask.array as _array
    from dask.base import compute_as_if_collection
    from dask.base import tokenize as tokenize
    from dask.highlevelgraph import HighLevelGraph
except ImportError:
    raise MissingExtraError("dask", "dask", "convgrad.dask") from None

DaskArray = Any  # dask.array.Array, which has no types
da: Any = _array


def as_dask(array: Any) -> DaskArray:
    """`array` as a Dask array; a NumPy array becomes one chunk."""
    return array if isinstance(array, da.Array) else da.from_array(array, chunks=-1)


def new_array(
    graph: dict[Any, Any], name: str, read: list[DaskArray], chunks: tuple[tuple[int, ...], ...], meta: Any
) -> DaskArray:
    """The Dask array whose chunks are the tasks (name, *index) of `graph`, which reads chunks of other arrays."""
    layers = HighLevelGraph.from_collections(name, graph, dependencies=read)
    return da.Array(layers, name, chunks, meta=meta)


def normalized_chunks(chunks: Any, shape: tuple[int, ...], dtype: Any) -> tuple[tuple[int, ...], ...]:
    """What Dask makes of the chunks that a caller asks for."""
    found: tuple[tuple[int, ...], ...] = da.core.normalize_chunks(chunks, shape, dtype=dtype)
    return found


def compute(layers: Any, keys: list[Any]) -> None:
    """Run the tasks `keys` of a graph of arrays, with the scheduler that Dask would take for them."""
    compute_as_if_collection(da.Array, layers, keys)


def on_threads(count: int) -> AbstractContextManager[Any]:
    """Within, Dask computes on so many threads of this process."""
    context: AbstractContextManager[Any] = dask.config.set(scheduler="threads", num_workers=count)
    return context
