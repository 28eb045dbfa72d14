"""PyTorch adapter: the layers of `torch.nn` computed by convgrad, with every derivative that torch knows.

    import convgrad.torch as cg
    y = cg.conv(x, w, bias, stride=2, padding=1)      # tensors in, tensors out, no copies
    layer = cg.Conv2d(64, 64, 3, padding=1)           # a torch.nn.Conv2d in every other respect
    cg.accelerate(model, example_inputs=(x,))         # swaps layers where ours are faster here

Works with autograd, double backward, forward mode, `torch.func`, `torch.compile`, `torch.export`, autocast and DDP. Any
other device than the CPU takes torch's own path. How it is done, and what it costs: docs/torch.md.
"""

from ..errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise MissingExtraError("torch", "", "convgrad.torch") from None

from .functions import conv, conv_transpose
from .layers import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .swap import accelerate, restore

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "accelerate",
    "conv",
    "conv_transpose",
    "restore",
]
