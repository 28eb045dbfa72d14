"""JAX adapter: convolutions with every derivative, computed on CPUs by convgrad inside compiled programs.

    from convgrad.jax import conv, conv_general_dilated
    y = jax.jit(conv)(x, w)                     # grad, jvp, vmap, linear_transpose, scan: to any order
    y = conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

The three roles are primitives with bilinear rules. On CPUs they are foreign functions of XLA that call our kernels; on
other platforms XLA's own convolutions. How it is done, and what it costs: docs/jax.md.
"""

from ..errors import MissingExtraError

try:
    import jax as _jax  # noqa: F401
except ImportError:
    raise MissingExtraError("jax", "jax", "convgrad.jax") from None

from .dilated import conv_general_dilated
from .functions import conv, conv_input_grad, conv_transpose, conv_weight_grad
from .handlers import handler

__all__ = ["conv", "conv_general_dilated", "conv_input_grad", "conv_transpose", "conv_weight_grad", "handler"]
