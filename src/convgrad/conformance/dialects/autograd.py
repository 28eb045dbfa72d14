"""HIPS autograd: `autograd.scipy.signal.convolve` over named axes, and its vector-Jacobian products."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect, pairs


def _call(case: Case) -> list[str]:
    g = case.geometry
    axes = list(range(2, 2 + g.rank))
    lines = [
        f"flip = (slice(None), slice(None)) + (slice(None, None, -1),) * {g.rank}",
        "conv = lambda x, w: convolve(",
        f"    anp.pad(x, {[(0, 0), (0, 0), *pairs(g)]}, 'constant'), w[flip],",
        f"    axes=({axes}, {axes}), dot_axes=([1], [1]), mode='valid'",
        ")",
    ]
    if case.role == "forward":
        return [*lines, "result = conv(x, w)"]
    like = f"np.zeros({case.result_shape}, {case.dtype!r})"
    function = "lambda x: conv(x, w)" if case.role == "input_grad" else "lambda w: conv(x, w)"
    return [*lines, f"result = make_vjp({function})({like})[0](gy)"]


DIALECT = Dialect(
    name="autograd",
    capabilities=Capabilities(
        stride=False,
        dilation=False,
        groups=False,
        layouts=("contiguous", "channels_last", "fortran", "strided", "offset", "expanded", "reversed", "readonly"),
    ),
    imports=(
        "import autograd.numpy as anp",
        "from autograd import make_vjp",
        "from autograd.scipy.signal import convolve",
    ),
    call=_call,
    libraries=("autograd",),
)
