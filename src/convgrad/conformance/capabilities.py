"""What a backend says of itself: the options that it takes, and what it promises beyond right numbers.

The sampler draws nothing outside this record, so whatever a backend then does with a case is its own doing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..geometry import Geometry
from ..plan import ROLES

PADDINGS = ("none", "symmetric", "any")
LAYOUTS = (
    *("contiguous", "channels_last", "fortran", "strided", "offset", "expanded"),
    *("reversed", "misaligned", "readonly", "swapped"),
)
PROMISES = ("threads", "batch", "special")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The part of the option lattice that a backend computes.

    padding: "none", "symmetric" (the same zeros before and after) or "any".
    layouts: how operands may lie in memory, of `LAYOUTS`.   threads: counts that it can be told to use.
    algorithms: names of its own that a case may ask for, "" lets it choose; what stands twice is drawn twice as often.
    transforms: those of its algorithms (FFT, Winograd) that are exact to rounding in the norm only.
    promises: of "threads" (the same bits for any number), "batch" (an image has the same bits in any batch; forward
    and input_grad), "special" (NaN, infinity and denormals as in the definition); without one, it is only measured.
    """

    roles: tuple[str, ...] = ROLES
    ranks: tuple[int, ...] = (1, 2, 3)
    dtypes: tuple[str, ...] = ("float32", "float64")
    stride: bool = True
    dilation: bool = True
    groups: bool = True
    padding: str = "any"
    batch: bool = True
    channels: bool = True
    empty: bool = False  # no images, or no channels
    layouts: tuple[str, ...] = ("contiguous",)
    threads: tuple[int, ...] = (1,)
    algorithms: tuple[str, ...] = ("",)
    transforms: frozenset[str] = frozenset()
    promises: frozenset[str] = frozenset()

    def takes(self, g: Geometry) -> bool:
        """Whether a geometry lies in this part of the lattice."""
        return (
            g.rank in self.ranks
            and (self.stride or all(a.stride == 1 for a in g.axes))
            and (self.dilation or all(a.dilation == 1 for a in g.axes))
            and (self.groups or g.groups == 1)
            and (self.padding != "none" or not any(a.before or a.after for a in g.axes))
            and (self.padding == "any" or all(a.before == a.after for a in g.axes))
            and (self.batch or g.batch == 1)
            and (self.channels or (g.in_channels, g.out_channels) == (1, 1))
            and (self.empty or min(g.batch, g.in_channels, g.out_channels) > 0)
        )
