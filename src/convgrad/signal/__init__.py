"""SciPy's signal functions, with their adjoints: the same names, shapes and centring, computed by convgrad.

    from convgrad import signal             # instead of `from scipy import signal`
    signal.convolve(image, psf, mode="same")

Each function takes what SciPy's takes; what differs on purpose is listed in docs/signal.md. The adjoints, which SciPy
does not have, are called after the argument that they give back: `convolve_in1_adjoint`, `convolve_in2_adjoint`.
"""

from .functions import (
    convolve,
    convolve_in1_adjoint,
    convolve_in2_adjoint,
    correlate,
    correlate_in1_adjoint,
    correlate_in2_adjoint,
    fftconvolve,
    oaconvolve,
)
from .planes import (
    convolve2d,
    convolve2d_in1_adjoint,
    convolve2d_in2_adjoint,
    correlate2d,
    correlate2d_in1_adjoint,
    correlate2d_in2_adjoint,
)

__all__ = [
    "convolve",
    "convolve2d",
    "convolve2d_in1_adjoint",
    "convolve2d_in2_adjoint",
    "convolve_in1_adjoint",
    "convolve_in2_adjoint",
    "correlate",
    "correlate2d",
    "correlate2d_in1_adjoint",
    "correlate2d_in2_adjoint",
    "correlate_in1_adjoint",
    "correlate_in2_adjoint",
    "fftconvolve",
    "oaconvolve",
]
