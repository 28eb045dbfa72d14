"""The three roles as primitives of JAX, each bilinear, with the others as its derivatives.

    by its first argument       by its second argument
    conv(x, w)           gx = input_grad(g, w)       gw = weight_grad(g, x)
    input_grad(gy, w)    conv(h, w)                  weight_grad(gy, h)
    weight_grad(gy, x)   conv(x, v)                  input_grad(gy, v)

Nothing is conjugated, as everywhere in JAX. Padding is zeros or a border that is linear; a constant is taken care of in
`functions`. A batch of `vmap` becomes images, channels or groups of one convolution.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..errors import UnsupportedError
from ..folding import FOLDS
from ..geometry import Geometry
from ..plan import ROLES
from . import elsewhere, handlers

SHAPES = {"forward": "output_shape", "input_grad": "input_shape", "weight_grad": "weight_shape"}
DTYPES = ("float32", "float64", "complex64", "complex128")

PRIMITIVES = {role: Primitive(f"convgrad_{role}") for role in ROLES}


def apply(role: str, a: Any, b: Any, geometry: Geometry) -> Any:
    """One role: (x, w), (gy, w) or (gy, x)."""
    return PRIMITIVES[role].bind(a, b, geometry=geometry)


def _eagerly(role: str, a: Any, b: Any, *, geometry: Geometry) -> Any:
    return _compiled(role, geometry)(a, b)


@functools.lru_cache(maxsize=4096)
def _compiled(role: str, geometry: Geometry) -> Any:
    return jax.jit(functools.partial(apply, role, geometry=geometry))


def _shape_and_dtype(role: str, a: Any, b: Any, *, geometry: Geometry) -> Any:
    if a.dtype != b.dtype or a.dtype.name not in DTYPES:
        accepted = f"two arrays of one of {', '.join(DTYPES)}"
        raise UnsupportedError("dtypes", (a.dtype.name, b.dtype.name), "no kernel computes them together", accepted)
    return jax.core.ShapedArray(getattr(geometry, SHAPES[role]), a.dtype)


def _batched(role: str, arguments: Any, dims: Any, *, geometry: Geometry) -> Any:
    (a, b), (a_dim, b_dim) = arguments, dims
    count = next(array.shape[dim] for array, dim in zip(arguments, dims, strict=True) if dim is not None)
    fold = FOLDS[role, a_dim is not None, b_dim is not None]
    if fold.a is not None:
        a = _folded(a, a_dim, fold.a, geometry.groups if fold.a_inside else 1)
    if fold.b is not None:
        b = _folded(b, b_dim, fold.b, geometry.groups if fold.b_inside else 1)
    groups = geometry.groups * (count if fold.as_groups else 1)
    result = apply(role, a, b, _of_shapes(role, a.shape, b.shape, groups, geometry))
    blocks, axis, shape = geometry.groups if fold.out_inside else 1, fold.out, result.shape
    each = shape[axis] // (blocks * count)
    apart = jnp.moveaxis(result.reshape(*shape[:axis], blocks, count, each, *shape[axis + 1 :]), axis + 1, 0)
    return apart.reshape(count, *shape[:axis], blocks * each, *shape[axis + 1 :]), 0


def _folded(array: Any, dim: int, axis: int, blocks: int) -> Any:
    """Axis `dim` inside axis `axis` of the others, which has `blocks` blocks."""
    array = jnp.moveaxis(array, dim, 0)
    count, *shape = array.shape
    apart = array.reshape(count, *shape[:axis], blocks, shape[axis] // blocks, *shape[axis + 1 :])
    return jnp.moveaxis(apart, 0, axis + 1).reshape(*shape[:axis], count * shape[axis], *shape[axis + 1 :])


def _of_shapes(role: str, a: tuple[int, ...], b: tuple[int, ...], groups: int, g: Geometry) -> Geometry:
    """The geometry of arguments of these shapes, with the axes of `g`."""
    inputs = a[1] if role == "forward" else b[1] * (groups if role == "input_grad" else 1)
    outputs = b[0] if role == "forward" else a[1]
    return replace(g, batch=a[0], in_channels=inputs, out_channels=outputs, groups=groups)


ADJOINTS: dict[str, Any] = {
    "forward": (
        lambda g, x, w, geometry: apply("input_grad", g, w, geometry),
        lambda g, x, w, geometry: apply("weight_grad", g, x, geometry),
    ),
    "input_grad": (
        lambda h, gy, w, geometry: apply("forward", h, w, geometry),
        lambda h, gy, w, geometry: apply("weight_grad", gy, h, geometry),
    ),
    "weight_grad": (
        lambda v, gy, x, geometry: apply("forward", x, v, geometry),
        lambda v, gy, x, geometry: apply("input_grad", gy, v, geometry),
    ),
}

for _role, _primitive in PRIMITIVES.items():
    _primitive.def_impl(functools.partial(_eagerly, _role))
    _primitive.def_abstract_eval(functools.partial(_shape_and_dtype, _role))
    ad.defbilinear(_primitive, *ADJOINTS[_role])
    batching.primitive_batchers.__setitem__(_primitive, functools.partial(_batched, _role))
    mlir.register_lowering(
        _primitive, mlir.lower_fun(functools.partial(elsewhere.compute, _role), multiple_results=False)
    )
    mlir.register_lowering(_primitive, functools.partial(handlers.lower, _role), platform="cpu")
