"""MLX: `mlx.core.conv_general` with channels last, and `mlx.core.vjp` of it."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect, numbers


def _call(case: Case) -> list[str]:
    g = case.geometry
    before, after = numbers(g, "before"), numbers(g, "after")
    lines = [
        "conv = lambda x, w: mx.moveaxis(mx.conv_general(",
        f"    mx.moveaxis(x, 1, -1), mx.moveaxis(w, 1, -1), {numbers(g, 'stride')}, ({before}, {after}),",
        f"    kernel_dilation={numbers(g, 'dilation')}, groups={g.groups}",
        "), -1, 1)",
    ]
    first, second = (f"mx.array({name})" for name in case.operands)
    if case.role == "forward":
        return [*lines, f"result = np.array(conv({first}, {second}))"]
    like = f"mx.zeros({case.result_shape})"
    function = f"lambda x: conv(x, {second})" if case.role == "input_grad" else f"lambda w: conv({second}, w)"
    return [*lines, f"result = np.array(mx.vjp({function}, [{like}], [{first}])[1][0])"]


DIALECT = Dialect(
    name="mlx",
    capabilities=Capabilities(dtypes=("float32",), layouts=("contiguous", "strided")),
    imports=("import mlx.core as mx",),
    call=_call,
    libraries=("mlx",),
    # "Can only handle groups != 1 in 1D or 2D convolutions."
    algorithm_of=lambda case: None if case.geometry.groups > 1 and case.geometry.rank > 2 else "",
)
