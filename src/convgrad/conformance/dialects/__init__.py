"""The backends that the kit knows by name, one file each, and those that a user brings."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from ...errors import InputError, MissingExtraError
from .functions import dialect_of
from .record import Dialect

NAMES = ("ours", "torch", "jax", "scipy", "autograd", "sigpy", "mlx")


def find(name: str) -> Dialect:
    """The dialect of a backend: a name of `NAMES`, or "module:object".

    Raises InputError for what is neither, MissingExtraError where the library is not installed.
    """
    if name not in NAMES:
        if ":" not in name and not find_spec(name.partition(".")[0]):
            raise InputError("backend", name, "is no backend", f"{', '.join(NAMES)}, or module:object")
        return dialect_of(name)
    if name != "ours" and find_spec(name) is None:
        raise MissingExtraError(name, "", "the check of it")
    dialect: Dialect = importlib.import_module(f".{name}", __name__).DIALECT
    return dialect
