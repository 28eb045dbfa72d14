"""SciPy: `scipy.signal.correlate` and `convolve` of one image of one channel, directly or by FFT."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect, pairs


def _call(case: Case) -> list[str]:
    g, method = case.geometry, case.algorithm or "auto"
    inside = ", ".join(f"{a.before}:{a.before + a.input}" for a in g.axes)
    if case.role == "input_grad":
        full = f"scipy.signal.convolve(gy[0, 0], w[0, 0], 'full', {method!r})"
        # what the full overlap does not reach, no window has read
        rest = [(0, max(0, a.before + a.input - a.output - a.kernel + 1)) for a in g.axes]
        return [f"full = np.pad({full}, {rest})", f"result = full[{inside}][None, None]"]
    padded = f"np.pad(x[0, 0], {pairs(g)})"
    other = "w" if case.role == "forward" else "gy"
    return [f"result = scipy.signal.correlate({padded}, {other}[0, 0], 'valid', {method!r})[None, None]"]


DIALECT = Dialect(
    name="scipy",
    capabilities=Capabilities(
        stride=False,
        dilation=False,
        groups=False,
        batch=False,
        channels=False,
        layouts=("contiguous", "fortran", "strided", "offset", "expanded", "reversed", "misaligned", "readonly"),
        algorithms=("direct", "fft"),
        transforms=frozenset({"", "fft"}),
    ),
    imports=("import scipy.signal",),
    call=_call,
    libraries=("scipy",),
)
