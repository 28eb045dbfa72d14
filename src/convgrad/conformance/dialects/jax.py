"""JAX: `jax.lax.conv_general_dilated` and its transposes, as `jax.vjp` finds them."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect, numbers, pairs


def _call(case: Case) -> list[str]:
    g = case.geometry
    lines = [
        f"jax.config.update('jax_enable_x64', {case.dtype == 'float64'})",
        "conv = lambda x, w: jax.lax.conv_general_dilated(",
        f"    x, w, {numbers(g, 'stride')}, {pairs(g)}, rhs_dilation={numbers(g, 'dilation')}, "
        f"feature_group_count={g.groups}, precision='highest'",
        ")",
    ]
    cast, back = (".astype('bfloat16')", ".astype('float32')") if case.dtype == "bfloat16" else ("", "")
    first, second = (f"jax.numpy.asarray({name}){cast}" for name in case.operands)
    dtype = f"'{case.dtype}'"
    if case.role == "forward":
        return [*lines, f"result = np.asarray(conv({first}, {second}){back})"]
    if case.role == "input_grad":
        like, found = f"jax.ShapeDtypeStruct({case.result_shape}, {dtype})", f"lambda x: conv(x, {second})"
    else:
        like, found = f"jax.ShapeDtypeStruct({case.result_shape}, {dtype})", f"lambda w: conv({second}, w)"
    return [*lines, f"result = np.asarray(jax.linear_transpose({found}, {like})({first})[0]{back})"]


DIALECT = Dialect(
    name="jax",
    capabilities=Capabilities(
        dtypes=("float32", "float64", "bfloat16"),
        layouts=("contiguous", "channels_last", "strided", "offset", "reversed"),
    ),
    imports=("import jax",),
    call=_call,
    libraries=("jax", "jaxlib"),
)
