"""Arrays of other libraries: what they are to NumPy, and results of their kind.

Any array on the CPU goes in that offers the buffer protocol, `__array__` or `__dlpack__`, without a copy. Results are
of the kind of the first argument that has one: a tensor for a tensor. Nothing here imports a library.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UnsupportedError

Array = NDArray[Any]
# libraries whose arrays know their own derivatives, which plain functions would cut: the adapter that does not
ADAPTERS = {
    "torch": ("convgrad.torch", ".detach()"),
    "jax": ("convgrad.jax", ""),
    "jaxlib": ("convgrad.jax", ""),
    "autograd": ("convgrad.autograd", "._value"),
}


def to_numpy(argument: str, value: Any) -> Array:
    """`value` as an ndarray over the same memory."""
    library = type(value).__module__.partition(".")[0]
    if library == "autograd":
        raise _cut(argument, value, library)
    try:
        if hasattr(value, "__array__") or not hasattr(value, "__dlpack__"):
            return np.asarray(value)
        return np.from_dlpack(value)
    except (RuntimeError, TypeError, BufferError) as error:
        if library in ADAPTERS:
            raise _cut(argument, value, library) from error
        raise UnsupportedError(
            argument, type(value).__name__, f"NumPy cannot read it ({error})", "an array in the memory of the CPU"
        ) from error


def _cut(argument: str, value: Any, library: str) -> UnsupportedError:
    adapter, plain = ADAPTERS[library]
    rule = "carries derivatives that plain functions would cut, or has a dtype or device that NumPy has not"
    accepted = f"{adapter}, which keeps them" + (f"; or {argument}{plain}" if plain else "")
    return UnsupportedError(argument, type(value).__name__, rule, accepted)


def of_kind(result: Array, *arguments: Any) -> Any:
    """`result` as an array of the library of the first argument that is of one."""
    for value in arguments:
        if isinstance(value, np.ndarray | np.generic | list | tuple | int | float | complex):
            continue
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None and isinstance(value, torch.Tensor):
            return torch.from_numpy(result)
        if jax is not None and isinstance(value, jax.Array):
            return jax.numpy.asarray(result)
        if hasattr(value, "__array_namespace__") and hasattr(value, "__dlpack__"):
            return value.__array_namespace__().from_dlpack(result)
    return result
