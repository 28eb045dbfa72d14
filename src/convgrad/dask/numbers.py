"""Which numbers chunked arrays hold: real ones as they are, complex ones as real arrays that are combined at the end.

The products are those of `complexes`, lazily: real parts, imaginary parts and their sums are Dask arrays. Integers are
refused: whether their sums fit cannot be known before they are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import check_fill, common_dtype
from ..complexes import FACTORS, METHODS, REAL, Product, combine, geometries, parts_of, product_of
from ..errors import UnsupportedError
from ..geometry import Geometry
from ..piecewise import whole_plan
from ..plan import Plan
from .libraries import DaskArray, da

Array = NDArray[Any]
Build = Callable[[Plan, DaskArray, DaskArray], DaskArray]  # the lazy result of a real plan


def computed(
    role: str,
    geometry: Geometry,
    arrays: dict[str, DaskArray],
    build: Build,
    algorithm: str | None,
    complex_method: str,
    conjugate: bool,
) -> DaskArray:
    """The role of two named arrays: what `build` makes of its real plan, or of each plan of a complex product."""
    a, b = arrays.values()
    metas = [np.empty(0, array.dtype) for array in (a, b)]
    for name, meta in zip(arrays, metas, strict=True):
        if meta.dtype.kind in "iu":
            rule = "whether sums of integers fit is not known before all chunks are"
            accepted = f"{name}.astype('float64'), which holds whole numbers up to 2^53"
            raise UnsupportedError(f"{name}.dtype", meta.dtype.name, rule, accepted)
    if complex_method not in METHODS:
        raise UnsupportedError("complex_method", complex_method, "is no way to multiply here", " or ".join(METHODS))
    if geometry.fill != 0 and role != "input_grad":
        check_fill(geometry.fill, metas[0 if role == "forward" else 1])
    dtype = common_dtype(*metas)
    product = product_of(metas[0].dtype, metas[1].dtype, complex_method, conjugate)
    if product is None:
        return build(whole_plan(role, geometry, dtype.name, algorithm), a, b)
    firsts, seconds = parts_of(a, product, second=False), parts_of(b, product, second=True)
    found = [
        build(whole_plan(role, real, REAL[dtype.name], algorithm), firsts[first], seconds[second])
        for real, (first, second) in zip(geometries(role, geometry, product), FACTORS[product.method], strict=True)
    ]
    meta = np.empty((0,) * a.ndim, dtype)
    return da.map_blocks(_combined, *found, product=product, name_of=dtype.name, dtype=dtype, meta=meta)


def _combined(*found: Array, product: Product, name_of: str) -> Array:
    """A chunk of complex numbers from its real products."""
    out = np.empty(found[0].shape, name_of)
    combine([one.copy() for one in found], product, out)
    return out
