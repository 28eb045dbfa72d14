"""The three roles by XLA's own convolutions, for platforms without kernels of ours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..boundary import entry
from ..geometry import Geometry


def compute(role: str, a: Any, b: Any, *, geometry: Geometry) -> Any:
    """One role; the gradients are transposes of the forward convolution, which is linear in each argument."""
    g = geometry
    if role == "forward":
        return _forward(a, b, g)
    if role == "input_grad":
        x = jax.ShapeDtypeStruct(g.input_shape, a.dtype)
        (gx,) = jax.linear_transpose(lambda x: _forward(x, b, g), x)(a)
        return gx
    w = jax.ShapeDtypeStruct(g.weight_shape, a.dtype)
    (gw,) = jax.linear_transpose(lambda w: _forward(b, w, g), w)(a)
    return gw


def _forward(x: Any, w: Any, g: Geometry) -> Any:
    pads = []
    for number, axis in enumerate(g.axes, start=2):
        if axis.mode in ("zeros", "constant"):
            pads.append((axis.before, axis.after))
            continue
        positions = range(-axis.before, axis.input + axis.after)
        x = jnp.take(x, jnp.array([entry(axis.mode, position, axis.input) for position in positions]), axis=number)
        pads.append((0, 0))
    return lax.conv_general_dilated(
        x,
        w,
        [axis.stride for axis in g.axes],
        pads,
        rhs_dilation=[axis.dilation for axis in g.axes],
        feature_group_count=g.groups,
        precision=lax.Precision.HIGHEST,
    )
