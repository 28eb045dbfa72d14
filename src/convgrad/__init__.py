"""convgrad: convolution and its gradients. NumPy in, NumPy out.

    y  = conv(x, w)                 forward
    gx = conv_input_grad(gy, w)     dL/dx
    gw = conv_weight_grad(gy, x)    dL/dw

Names only; each is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import conv as conv
    from .api import conv_bias_grad as conv_bias_grad
    from .api import conv_input_grad as conv_input_grad
    from .api import conv_transpose as conv_transpose
    from .api import conv_weight_grad as conv_weight_grad
    from .api import plan_for as plan_for
    from .api import sizes as sizes
    from .derivatives import conv_double_vjp as conv_double_vjp
    from .derivatives import conv_jvp as conv_jvp
    from .derivatives import conv_vjp as conv_vjp
    from .errors import ConvgradError as ConvgradError
    from .errors import GeometryError as GeometryError
    from .errors import InputError as InputError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import UnsupportedError as UnsupportedError
    from .explanation.page import Explanation as Explanation
    from .explanation.page import explain as explain
    from .geometry import Axis as Axis
    from .geometry import Geometry as Geometry
    from .layer import Conv as Conv
    from .machine import Machine as Machine
    from .plan import Plan as Plan
    from .touching import Touch as Touch
    from .touching import touches as touches

__version__ = "0.1.0"

_HOME = {
    "Axis": "geometry",
    "Conv": "layer",
    "ConvgradError": "errors",
    "Explanation": "explanation.page",
    "Geometry": "geometry",
    "GeometryError": "errors",
    "InputError": "errors",
    "Machine": "machine",
    "MissingExtraError": "errors",
    "Plan": "plan",
    "Touch": "touching",
    "UnsupportedError": "errors",
    "conv": "api",
    "conv_bias_grad": "api",
    "conv_double_vjp": "derivatives",
    "conv_input_grad": "api",
    "conv_jvp": "derivatives",
    "conv_transpose": "api",
    "conv_vjp": "derivatives",
    "conv_weight_grad": "api",
    "explain": "explanation.page",
    "plan_for": "api",
    "sizes": "api",
    "touches": "touching",
}

# Modules reached as `convgrad.signal.convolve`; one that needs an extra says so when it is reached.
_MODULES = frozenset({"api", "autograd", "dask", "deblur", "jax", "ndimage", "signal", "sigpy", "spelling", "torch"})

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f".{name}", __name__)  # which also sets it here
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
