"""Adapter to HIPS autograd: convolutions that it differentiates to any order, in both modes.

>>> from autograd import grad
>>> import autograd.numpy as np
>>> from convgrad.autograd import conv
>>> x = np.array([[[1., 2, 3, 4, 5]]]); w = np.array([[[1., 10, 100]]])
>>> grad(lambda w: np.sum(conv(x, w)))(w)
array([[[ 6.,  9., 12.]]])

`convolve` has the signature of `autograd.scipy.signal.convolve`, and its results.
"""

from ..errors import MissingExtraError

try:
    import autograd.extend as _extend  # noqa: F401
except ImportError:
    raise MissingExtraError("autograd", "autograd", "convgrad.autograd") from None

from .convolve import convolve
from .functions import conv, conv_input_grad, conv_transpose, conv_weight_grad

__all__ = ["conv", "conv_input_grad", "conv_transpose", "conv_weight_grad", "convolve"]
