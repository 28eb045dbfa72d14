"""Complex numbers by real convolutions: of real parts, imaginary parts and their sums.

    4m      (a + bi)(c + di) = ac - bd + (ad + bc) i             four products, each part as accurate as a real one
    3m      t = (a + b)(c + d);  ac - bd + (t - ac - bd) i       three; errors are relative to |a + bi| |c + di|
    first   (a + bi) c, where the second array is real           two
    second  a (c + di), where the first is                       two

The names 3m and 4m are those of BLAS (`gemm3m`). A product may conjugate its second array, which makes a gradient the
adjoint. Images whose 3m product is not finite are computed again by 4m: infinities meet there as in the definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithms.compensated import CompensatedSum
from .geometry import Geometry
from .plan import Plan, of_batch

Array = NDArray[Any]
Execute = Callable[[Plan, Array, Array, Array], Array]

REAL = {"complex64": "float32", "complex128": "float64"}
METHODS = ("3m", "4m")
# which part of either array each real convolution multiplies
FACTORS = {
    "3m": (("real", "real"), ("imag", "imag"), ("sum", "sum")),
    "4m": (("real", "real"), ("imag", "imag"), ("real", "imag"), ("imag", "real")),
    "first": (("real", "all"), ("imag", "all")),
    "second": (("all", "real"), ("all", "imag")),
}
# of the bound of a real plan: what the sums of parts and of products add
ERROR_GROWTH = {"3m": 4.0, "4m": 1.5, "first": 1.5, "second": 1.5}
TOGETHER_BYTES = 4 << 20  # of the products of images that are computed together


@dataclass(frozen=True, slots=True)
class Product:
    """How complex numbers are multiplied: a key of `FACTORS`, and whether the second is conjugated."""

    method: str
    conjugate: bool = False


@dataclass(frozen=True, slots=True)
class Products:
    """The parameters of a complex plan: a real plan, for one image, for each pair of factors."""

    product: Product
    plans: tuple[Plan, ...]

    @property
    def together(self) -> int:
        """Images that are computed together."""
        return max(1, TOGETHER_BYTES // max(1, _image_bytes(self.plans[0]) * len(self.plans)))

    def __str__(self) -> str:
        conjugate = ", the second conjugated" if self.product.conjugate else ""
        return f"{self.product.method}{conjugate}: {len(self.plans)} real products; {self.plans[0].parameters}"


def product_of(first: np.dtype[Any], second: np.dtype[Any], method: str, conjugate: bool) -> Product | None:
    """How arrays of these dtypes are multiplied; None where both are real."""
    if first.kind == second.kind == "c":
        return Product(method, conjugate)
    if first.kind == "c":
        return Product("first")
    return Product("second", conjugate) if second.kind == "c" else None


def geometries(role: str, geometry: Geometry, product: Product) -> list[Geometry]:
    """The geometry of each real convolution: a complex constant in the padding falls into parts as the input does."""
    if geometry.fill == 0 or role == "input_grad":
        return [geometry] * len(FACTORS[product.method])
    place = 0 if role == "forward" else 1
    subtracts = place == 1 and product.conjugate
    found = []
    for factors in FACTORS[product.method]:
        fill = complex(geometry.fill)
        total = fill.real - fill.imag if subtracts else fill.real + fill.imag
        part = {"real": fill.real, "imag": fill.imag, "sum": total, "all": geometry.fill}[factors[place]]
        axes = (replace(a, fill=part) if a.mode == "constant" else a for a in geometry.axes)
        found.append(replace(geometry, axes=tuple(axes)))
    return found


def plan(role: str, geometry: Geometry, dtype: str, product: Product, plans: tuple[Plan, ...]) -> Plan:
    """The plan that multiplies complex numbers by these real plans."""
    products = Products(product, plans)
    buffers = products.together * _image_bytes(plans[0]) * len(plans)
    return Plan(
        role=role,
        geometry=geometry,
        dtype=dtype,
        algorithm=plans[0].algorithm,
        parameters=products,
        workspace_bytes=max(one.workspace_bytes for one in plans) + buffers,
        error_bound=ERROR_GROWTH[product.method] * (max(one.error_bound for one in plans) + 2),
        why=plans[0].why,
        rejected=plans[0].rejected,
        operations=2 * geometry.products * len(plans),
        error_scale=plans[0].error_scale,
    )


def run(plan: Plan, a: Array, b: Array, out: Array, execute: Execute) -> None:
    """Compute `plan.role` of `a` and `b`, at least one of them complex, into `out`."""
    products = plan.parameters
    assert isinstance(products, Products)
    if plan.role == "weight_grad":
        _sum_over_images(plan, products, a, b, out, execute)
        return
    weights = parts_of(b, products.product, second=True)
    for start in range(0, len(a), products.together):
        images = slice(start, start + products.together)
        found = out[images]
        combine(_multiply(products, a[images], weights, found.shape, execute), products.product, found)
        if products.product.method == "3m" and not np.isfinite(found.sum()):
            _again(plan, products, a[images], b, found, execute)


def _multiply(
    products: Products, a: Array, weights: dict[str, Array], shape: tuple[int, ...], execute: Execute
) -> list[Array]:
    """The real convolutions of some images."""
    parts, found = parts_of(a, products.product, second=False), []
    for one, (first, second) in zip(products.plans, FACTORS[products.product.method], strict=True):
        result = np.empty(shape, one.dtype)
        found.append(execute(of_batch(one, len(a)), parts[first], weights[second], result))
    return found


def _again(plan: Plan, products: Products, a: Array, b: Array, out: Array, execute: Execute) -> None:
    """By 4m, those images that are not finite."""
    exact = replace(products.product, method="4m")
    every = replace(products, product=exact, plans=_for_4m(plan.role, plan.geometry, products))
    weights = parts_of(b, exact, second=True)
    for n in range(len(a)):
        if not np.isfinite(out[n].sum()):
            found = _multiply(every, a[n : n + 1], weights, (1, *out.shape[1:]), execute)
            combine(found, exact, out[n : n + 1])


def _for_4m(role: str, geometry: Geometry, products: Products) -> tuple[Plan, ...]:
    """The plans of 3m, for the products of 4m: the same work with other constants in the padding."""
    one = products.plans[0]
    wanted = geometries(role, geometry.with_batch(1), Product("4m", products.product.conjugate))
    known = {other.geometry: other for other in products.plans}
    return tuple(known.get(g, one) for g in wanted)


def _sum_over_images(plan: Plan, products: Products, gy: Array, x: Array, gw: Array, execute: Execute) -> None:
    totals = [CompensatedSum(gw.shape, np.dtype(one.dtype)) for one in products.plans]
    for start in range(0, len(gy), products.together):
        images = slice(start, start + products.together)
        parts = parts_of(x[images], products.product, second=True)
        found = _multiply(products, gy[images], parts, gw.shape, execute)
        for total, one in zip(totals, found, strict=True):
            total.add(one)
    combine([total.value() for total in totals], products.product, gw)
    if products.product.method == "3m" and not np.isfinite(gw.sum()):
        product = replace(products.product, method="4m")
        again = replace(products, product=product, plans=_for_4m(plan.role, plan.geometry, products))
        _sum_over_images(plan, again, gy, x, gw, execute)


def parts_of(array: Array, product: Product, second: bool) -> dict[str, Array]:
    """The real arrays that stand for a complex one, by their names in `FACTORS`."""
    if array.dtype.kind != "c":
        return {"all": array}
    found = {"real": array.real, "imag": array.imag}
    if product.method == "3m":
        with np.errstate(all="ignore"):
            subtracts = second and product.conjugate
            found["sum"] = array.real - array.imag if subtracts else array.real + array.imag
    return found


def combine(found: list[Array], product: Product, out: Array) -> None:
    """A complex result from its real products; those with one second imaginary part change sign with the conjugate."""
    sign = -1 if product.conjugate else 1
    with np.errstate(all="ignore"):
        if product.method == "first":
            out.real, out.imag = found
        elif product.method == "second":
            out.real, out.imag = found[0], sign * found[1]
        elif product.method == "4m":
            reals, imags, mixed, other = found
            out.real = reals - sign * imags
            out.imag = other + sign * mixed
        else:
            reals, imags, total = found
            out.real = reals - sign * imags
            total -= reals
            total -= sign * imags
            out.imag = total


def _image_bytes(one: Plan) -> int:
    """Of one image: what is read and what is written, in one real part."""
    g = one.geometry.with_batch(1)
    return (math.prod(g.input_shape) + math.prod(g.output_shape)) * np.dtype(one.dtype).itemsize
