"""The lattice of options as rows of `docs/coverage.md`: for each option the plainest convolution that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convgrad.geometry import Geometry
from convgrad.spelling import parse

Array = np.ndarray[Any, Any]
FLOATS = {"float32", "float64", "complex64", "complex128"}


@dataclass(frozen=True)
class Row:
    """One option: a title, a convolution that needs it, and the dtypes of input and weight."""

    part: str
    title: str
    spelling: str
    x: str = "float64"
    w: str = "float64"
    flip: bool = False
    name: str | None = None  # of a padding that a library may know by its name only
    task: str = "roles"  # or "transpose", "per-sample", "sqnorm", "second"

    @property
    def geometry(self) -> Geometry:
        return parse(self.spelling)

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """x, w and gy: small whole numbers, random and asymmetric."""
        g, rng = self.geometry, np.random.default_rng(len(self.title))
        y = np.result_type(self.x, self.w).name
        shapes = (g.input_shape, self.x), (g.weight_shape, self.w), (g.output_shape, y)
        x, w, gy = (whole_numbers(rng, shape, dtype) for shape, dtype in shapes)
        return x, w, gy


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    high = 100 if np.dtype(dtype).kind in "iu" else 5  # sums of products of small integers outgrow 8 bits
    low = 0 if dtype.startswith("u") else -high
    found = rng.integers(low, high + 1, shape).astype(dtype)
    if dtype.startswith("complex"):
        found += (1j * rng.integers(-5, 6, shape)).astype(dtype)
    return found


def rows() -> Iterator[Row]:
    yield Row("Shapes", "1-D", "i9 k3")
    yield Row("Shapes", "2-D", "i6x7 k3x2")
    yield Row("Shapes", "3-D", "i4x5x6 k3x2x3")
    yield Row("Shapes", "4-D", "i3x4x3x4 k2x2x3x2")
    yield Row("Shapes", "several images and channels", "n2 ic3 oc4 i6x7 k3x2")
    yield Row("Shapes", "groups", "ic4 oc6 g2 i6x7 k3x2")
    yield Row("Shapes", "depthwise, several outputs a channel", "ic3 oc6 g3 i6x7 k3x2")
    yield Row("Shapes", "no images", "n0 ic2 oc3 i6x7 k3x2")

    yield Row("Steps", "stride", "i9 k3 s2")
    yield Row("Steps", "stride that leaves inputs over", "i8x10 k3x3 s2x3")
    yield Row("Steps", "stride beyond the kernel", "i11 k2 s4")
    yield Row("Steps", "dilation", "i9 k3 d2")
    yield Row("Steps", "stride and dilation, other on each axis", "i9x8 k3x2 s2x1 d1x3")
    yield Row("Steps", "transposed, any output size", "i8 k3 s3", task="transpose")

    yield Row("Padding", "zeros, the same at both ends", "i6x7 k3x3 p1")
    yield Row("Padding", "zeros, different at the ends", "i9 k3 p2+1")
    yield Row("Padding", "below zero", "i9 k3 p-2+1")
    yield Row("Padding", "wider than kernel and input", "i3 k2 p5")
    yield Row("Padding", "`same`, even kernel", "i9 k4 p1+2", name="same")
    yield Row("Padding", "`same` with stride", "i9 k4 s2 p1+2", name="same")
    yield Row("Padding", "`same`, the rest before", "i9 k4 p2+1", name="same_lower")
    yield Row("Padding", "`full`", "i6 k3 p2", name="full")

    for mode, said in (
        ("constant", "a constant"),
        ("edge", "edge"),
        ("reflect", "reflect"),
        ("symmetric", "symmetric"),
        ("circular", "circular"),
    ):
        value = " v2.5" if mode == "constant" else ""
        for rank, sizes in ((1, "i9 k3"), (2, "i6x7 k3x3"), (3, "i4x5x6 k3x3x3")):
            yield Row("Borders", f"{said}, {rank}-D", f"{sizes} p1 m{mode}{value}")
        yield Row("Borders", f"{said}, stride, dilation, channels", f"n2 ic3 oc2 i9x8 k3x3 s2x1 d1x2 p2 m{mode}{value}")
        yield Row("Borders", f"{said}, wider than the input", f"i3 k2 p5 m{mode}{value}")
        yield Row("Borders", f"{said}, even kernel", f"i9 k4 p2+1 m{mode}{value}")
    yield Row("Borders", "another on each axis", "i6x7 k3x3 p1 mcircularxreflect")
    yield Row("Borders", "true convolution (kernel backwards)", "i6x7 k3x3 p1", flip=True)

    for dtype in ("float32", "float64", "complex64", "complex128"):
        yield Row("Numbers", dtype, "n2 ic2 oc3 i6x7 k3x2", dtype, dtype)
    yield Row("Numbers", "complex input, real weight", "n2 ic2 oc3 i6x7 k3x2", "complex128", "float64")
    yield Row("Numbers", "real input, complex weight", "n2 ic2 oc3 i6x7 k3x2", "float64", "complex128")
    for dtype in ("int8", "int16", "int32", "int64", "uint8"):
        yield Row("Numbers", f"{dtype}, exact", "n2 ic2 oc3 i6x7 k3x2", dtype, dtype)

    yield Row("Derivatives", "weight gradients of each image", "n3 ic2 oc4 g2 i6x7 k3x2", task="per-sample")
    yield Row("Derivatives", "their squared norms, not stored", "n3 ic2 oc4 g2 i6x7 k3x2", task="sqnorm")
    yield Row("Derivatives", "second order", "n2 ic2 oc3 i6x7 k3x2 s2 p1", task="second")
