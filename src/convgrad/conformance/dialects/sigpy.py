"""SigPy: `sigpy.convolve` and its two adjoints, many channels, strides, one group."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect, numbers, pairs


def _call(case: Case) -> list[str]:
    g = case.geometry
    options = f"mode='valid', strides={numbers(g, 'stride')}, multi_channel=True"
    flip = "[(slice(None), slice(None)) + (slice(None, None, -1),) * " + f"{g.rank}]"
    zeros = [(0, 0), (0, 0), *pairs(g)]
    wide = (g.batch, g.in_channels, *(a.padded for a in g.axes))
    inside = ", ".join(["...", *(f"{a.before}:{a.before + a.input}" for a in g.axes)])
    if case.role == "forward":
        return [f"result = sigpy.convolve(np.pad(x, {zeros}), w{flip}, {options})"]
    if case.role == "input_grad":
        return [f"result = sigpy.convolve_data_adjoint(gy, w{flip}, {wide}, {options})[{inside}]"]
    return [f"result = sigpy.convolve_filter_adjoint(gy, np.pad(x, {zeros}), {case.result_shape}, {options}){flip}"]


DIALECT = Dialect(
    name="sigpy",
    capabilities=Capabilities(
        dilation=False,
        groups=False,
        layouts=("contiguous", "channels_last", "fortran", "strided", "offset", "expanded", "reversed", "readonly"),
        transforms=frozenset({""}),  # it lets scipy.signal choose between sums and FFT
    ),
    imports=("import sigpy",),
    call=_call,
    libraries=("sigpy", "scipy"),
)
