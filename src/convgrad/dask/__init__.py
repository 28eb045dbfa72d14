"""Arrays larger than memory, or than one machine: the convolution and its gradients on Dask arrays.

    conv, conv_input_grad, conv_transpose    equal the result in memory bit for bit, however they are chunked
    conv_weight_grad                         a sum over chunks in a tree of fixed order

Each chunk of a result is one task, and reads slices of its neighbours: halos of any width, on any axes, also from
chunks smaller than the kernel. The plan of the whole problem goes to every chunk; each worker compiles it.

`load` opens a Zarr array; `store` writes a result to one chunk by chunk, and goes on where it was stopped.
"""

from __future__ import annotations

from typing import Any

from .functions import conv as conv
from .functions import conv_input_grad as conv_input_grad
from .functions import conv_transpose as conv_transpose
from .functions import conv_weight_grad as conv_weight_grad

__all__ = ["conv", "conv_input_grad", "conv_transpose", "conv_weight_grad", "load", "store"]


def __getattr__(name: str) -> Any:
    # when they are asked for, because they need Zarr too
    if name == "store":
        from .disk import store

        return store
    if name == "load":
        from .reading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
