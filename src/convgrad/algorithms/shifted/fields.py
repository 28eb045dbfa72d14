"""The fields of a record that all kernels read: a pass, its tiles, and the strides of its arrays."""

from __future__ import annotations

from ...geometry import Geometry
from .layout import Layout
from .passes import Pass
from .record import AXES

Strides = tuple[int, ...]


def common_fields(g: Geometry, p: Pass, layout: Layout, x: Strides, y: Strides, itemsize: int) -> dict[str, int]:
    """Fields that both kernels read; a convolution of lower rank has leading axes of extent one."""
    fields = {
        "images": g.batch,
        "together": layout.together,
        "groups": g.groups,
        "channels_together": layout.channels_together,
        "taps": len(p.offsets),
        "phase_count": len(layout.phases),
        "plane": layout.plane,
        "panel_size": layout.panel_size,
        "run": layout.run,
        "buffer_at": layout.buffer_at,
    }
    packed = tuple(s // walk for s, walk in zip(p.stride, layout.walk, strict=True))
    sizes = {
        "in": p.input,
        "out": p.output,
        "tile": layout.tile,
        "tiles": tiles_along(p, layout),
        "panel": layout.panel,
    }
    sizes |= {"reach": layout.reach, "stride": packed, "walk": layout.walk, "before": p.before}
    for k, axis in enumerate(AXES):
        fields |= {f"{what}_{axis}": numbers[k] for what, numbers in sizes.items()}
    for name, strides in (("x", x), ("y", y)):
        full = (*strides[:2], *(0,) * (3 - g.rank), *strides[2:])
        fields |= {f"{name}_{axis}": stride // itemsize for axis, stride in zip(("n", "c", *AXES), full, strict=True)}
    return fields


def tiles_along(p: Pass, layout: Layout) -> tuple[int, ...]:
    return tuple(-(-size // cut) for size, cut in zip(p.output, layout.tile, strict=True))
