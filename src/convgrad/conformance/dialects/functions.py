"""A backend of one's own: an object or module with three functions and a capability record.

    forward(x, w, geometry) -> y
    input_grad(gy, w, geometry) -> gx
    weight_grad(gy, x, geometry) -> gw
    capabilities: Capabilities; everything, where it is left out
    set_threads(count): where it has threads

Arrays are NumPy's; `geometry` is a `convgrad.Geometry`, which holds stride, padding, dilation and groups.
"""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import InputError
from ...plan import ROLES
from ...spelling import spell
from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect

ACCEPTED = "module:object, with the functions forward, input_grad and weight_grad"


def dialect_of(where: str) -> Dialect:
    """The backend that `where` names, as in "mine" or "mine.kernels:backend"."""
    module, _, attribute = where.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in filter(None, attribute.split(".")):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise InputError("backend", where, f"cannot be had ({error})", ACCEPTED) from None
    capabilities = getattr(found, "capabilities", Capabilities())
    missing = [role for role in ROLES if role in capabilities.roles and not callable(getattr(found, role, None))]
    if missing:
        raise InputError("backend", where, f"has no function {missing[0]}", ACCEPTED)
    path = f"{module}.{attribute}" if attribute else module
    has_threads = callable(getattr(found, "set_threads", None))
    return Dialect(
        name=where,
        capabilities=capabilities,
        imports=(f"import {module}", "from convgrad.spelling import parse"),
        call=lambda case: _call(path, case),
        set_threads=(lambda count: f"{path}.set_threads({count})") if has_threads else None,
    )


def _call(path: str, case: Case) -> list[str]:
    return [f"result = {path}.{case.role}({', '.join(case.operands)}, parse({spell(case.geometry)!r}))"]
