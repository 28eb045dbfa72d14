"""torch's convolution layers, computed by convgrad: the same parameters, `state_dict`, initialisation and `repr`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .functions import forward, transposed
from .options import Options, read


class _Layer:
    """What the layers of a rank share."""

    def _conv_forward(self: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        options = _options(self, weight.ndim - 2)
        if input.ndim == weight.ndim - 1:  # one image without its axis
            return forward(input[None], weight, bias, options)[0]
        return forward(input, weight, bias, options)


class _Transposed:
    def forward(self: Any, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        rank = self.weight.ndim - 2
        alone = input.ndim == rank + 1
        more = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, rank, self.dilation
        )
        image = input[None] if alone else input
        size = [
            (entry - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
            for entry, stride, padding, dilation, kernel, extra in zip(
                image.shape[2:], self.stride, self.padding, self.dilation, self.kernel_size, more, strict=True
            )
        ]
        y = transposed(image, self.weight, self.bias, size, _options(self, rank))
        return y[0] if alone else y


def _options(layer: Any, rank: int) -> Options:
    return read(rank, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode, 0)


class Conv1d(_Layer, nn.Conv1d):
    """`torch.nn.Conv1d`, computed by convgrad; every argument and attribute is the same."""


class Conv2d(_Layer, nn.Conv2d):
    """`torch.nn.Conv2d`, computed by convgrad; every argument and attribute is the same.

    >>> import torch
    >>> layer = Conv2d(3, 8, 3, padding=1)
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    >>> layer(torch.ones(1, 3, 4, 5)).shape
    torch.Size([1, 8, 4, 5])
    """


class Conv3d(_Layer, nn.Conv3d):
    """`torch.nn.Conv3d`, computed by convgrad; every argument and attribute is the same."""


class ConvTranspose1d(_Transposed, nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d`, computed by convgrad; every argument and attribute is the same."""


class ConvTranspose2d(_Transposed, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, computed by convgrad; every argument and attribute is the same."""


class ConvTranspose3d(_Transposed, nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d`, computed by convgrad; every argument and attribute is the same."""


# torch's class -> ours
OURS: dict[type[nn.Module], type[nn.Module]] = {
    ours.__mro__[2]: ours for ours in (Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
}
