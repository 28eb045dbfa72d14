"""Four models, trained by PyTorch as it is and by PyTorch with our layers, in turns on the same batches.

resnet18     He et al. 2015, for images of 32 x 32: dense 3 x 3 and 1 x 1 layers
depthwise    a stack of MobileNet's (3 x 3) and ConvNeXt's (7 x 7) blocks
unet3d       a small U-Net for volumes
wavenet      a stack of gated, dilated, causal 1-D layers
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..errors import MissingExtraError

try:
    import torch
    from torch import nn
except ImportError:
    raise MissingExtraError("torch", "", "the suite `models`") from None

from ..torch import accelerate

LEARNING_RATE = 1e-3
WARM_STEPS = 2  # compile kernels, fill caches; their losses are compared like all others


@dataclass(frozen=True, slots=True)
class Trained:
    """Seconds of training steps, and how far the losses of the two runs are apart."""

    name: str
    layers: int
    swapped: int
    ours: list[float]
    theirs: list[float]
    apart: float  # largest difference of two losses, relative

    @property
    def ratio(self) -> float:
        """PyTorch's least time over ours."""
        return min(self.theirs) / min(self.ours)

    @property
    def median_ratio(self) -> float:
        return median(self.theirs) / median(self.ours)


def compare(name: str, rounds: int, threads: int, seed: int) -> Trained:
    """Train one model both ways, a step each in turns."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    build, shape = MODELS[name]
    theirs, x = build(), torch.randn(shape)
    with torch.no_grad():
        target = torch.randn_like(theirs(x))
    ours = copy.deepcopy(theirs)
    swapped = accelerate(ours, example_inputs=(x,))
    runs = [(model, torch.optim.SGD(model.parameters(), LEARNING_RATE)) for model in (theirs, ours)]
    times: list[list[float]] = [[], []]
    apart = 0.0
    for step in range(WARM_STEPS + rounds):
        losses = []
        for (model, optimizer), seconds in zip(runs, times, strict=True):
            started = time.perf_counter()
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), target)
            loss.backward()
            optimizer.step()
            if step >= WARM_STEPS:
                seconds.append(time.perf_counter() - started)
            losses.append(loss.item())
        apart = max(apart, abs(losses[1] - losses[0]) / abs(losses[0]))
    layers = sum(isinstance(layer, nn.modules.conv._ConvNd) for layer in theirs.modules())
    return Trained(name, layers, len(swapped), times[1], times[0], apart)


class _Residual(nn.Module):
    """x + f(x), with a shortcut that changes the shape where f does."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut or nn.Identity(), after or nn.Identity()

    def forward(self, x: Any) -> Any:
        return self.after(self.shortcut(x) + self.body(x))


def _resnet18() -> nn.Module:
    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        return _Residual(body, None if same else project, nn.ReLU())

    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [block(inputs, outputs, stride), block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def _depthwise() -> nn.Module:
    def mobile(channels: int) -> nn.Module:
        wide = 4 * channels
        body = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        return _Residual(body)

    def convnext(channels: int) -> nn.Module:
        body = nn.Sequential(
            nn.Conv2d(channels, channels, 7, 1, 3, groups=channels),
            nn.GroupNorm(1, channels),
            nn.Conv2d(channels, 4 * channels, 1),
            nn.GELU(),
            nn.Conv2d(4 * channels, channels, 1),
        )
        return _Residual(body)

    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 4),
        *(mobile(32) for _ in range(2)),
        *(convnext(32) for _ in range(2)),
        nn.Conv2d(32, 64, 2, 2),
        *(mobile(64) for _ in range(2)),
        *(convnext(64) for _ in range(2)),
    )


class _Unet3d(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def twice(inputs: int, outputs: int) -> nn.Module:
            layers = []
            for count in (inputs, outputs):
                layers += [nn.Conv3d(count, outputs, 3, padding=1), nn.InstanceNorm3d(outputs), nn.LeakyReLU(0.01)]
            return nn.Sequential(*layers)

        self.down = nn.ModuleList([twice(1, 8), twice(8, 16), twice(16, 32)])
        self.grow = nn.ModuleList([nn.ConvTranspose3d(32, 16, 2, 2), nn.ConvTranspose3d(16, 8, 2, 2)])
        self.up = nn.ModuleList([twice(32, 16), twice(16, 8)])
        self.last = nn.Conv3d(8, 2, 1)

    def forward(self, x: Any) -> Any:
        kept = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool3d(x, 2) if level else x)
            kept.append(x)
        for grow, block, beside in zip(self.grow, self.up, reversed(kept[:-1]), strict=True):
            x = block(torch.cat([grow(x), beside], dim=1))
        return self.last(x)


class _Wavenet(nn.Module):
    def __init__(self, channels: int = 32, depth: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, channels, 1)
        self.gates = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2, dilation=1 << k) for k in range(depth))
        self.mixes = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(depth))
        self.last = nn.Conv1d(channels, 1, 1)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for gate, mix in zip(self.gates, self.mixes, strict=True):
            past = nn.functional.pad(x, (gate.dilation[0], 0))  # causal
            signal, opening = gate(past).chunk(2, dim=1)
            x = x + mix(torch.tanh(signal) * torch.sigmoid(opening))
        return self.last(x)


# name -> how the model is built, and the shape of a batch
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18": (_resnet18, (16, 3, 32, 32)),
    "depthwise": (_depthwise, (8, 3, 128, 128)),
    "unet3d": (_Unet3d, (1, 1, 32, 64, 64)),
    "wavenet": (_Wavenet, (4, 1, 8000)),
}
