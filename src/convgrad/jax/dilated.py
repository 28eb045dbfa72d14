"""`jax.lax.conv_general_dilated`, with its signature and all its options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..errors import GeometryError, UnsupportedError
from .functions import Array, conv, conv_transpose


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`jax.lax.conv_general_dilated`, computed by convgrad on CPUs.

    The arguments are those of JAX's function. precision is accepted and has no effect: products and sums have the full
    precision of the dtype. out_sharding must be None: our kernels run where the program runs. lhs_dilation above 1 is a
    transposed convolution, without products with the zeros between.
    Returns an array as `dimension_numbers` lays it out, in preferred_element_type where one is given.
    Raises what `conv` raises.

    >>> x, w = jnp.arange(6.).reshape(1, 6, 1), jnp.array([1., 10]).reshape(2, 1, 1)
    >>> conv_general_dilated(x, w, (2,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")).ravel()
    Array([10., 32., 54.], dtype=float32)
    """
    if out_sharding is not None:
        raise UnsupportedError("out_sharding", out_sharding, "the kernels run on one device", "None, inside shard_map")
    lhs, rhs = jnp.asarray(lhs), jnp.asarray(rhs)
    layout = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    x, w = jnp.transpose(lhs, layout.lhs_spec), jnp.transpose(rhs, layout.rhs_spec)
    rank = x.ndim - 2
    strides, spreads = tuple(window_strides), tuple(rhs_dilation or (1,) * rank)
    holes = tuple(lhs_dilation or (1,) * rank)
    for name, given in (("window_strides", strides), ("rhs_dilation", spreads), ("lhs_dilation", holes)):
        if len(given) != rank:
            rule = f"has {len(given)} entries for {rank} spatial axes"
            raise GeometryError(name, given, rule, f"{rank} whole numbers")
    groups = feature_group_count
    if batch_group_count > 1:
        x, groups = _images_to_groups(x, batch_group_count, feature_group_count), batch_group_count
    pads = _pads(padding, x.shape[2:], w.shape[2:], strides, holes, spreads)
    if max(holes) > 1 and max(strides) == 1:
        y = _transposed(x, w, pads, holes, spreads, groups)
    else:
        if max(holes) > 1:  # both: the entries between are zeros
            x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * 2 + [(0, 0, hole - 1) for hole in holes])
        y = conv(x, w, stride=strides, padding=pads, dilation=spreads, groups=groups)
    if preferred_element_type is not None:
        y = y.astype(preferred_element_type)
    return jnp.transpose(y, [layout.out_spec.index(axis) for axis in range(y.ndim)])


def _pads(
    padding: Any, sizes: Sequence[int], kernels: Sequence[int], strides: Any, holes: Any, spreads: Any
) -> tuple[tuple[int, int], ...]:
    """Pairs, also of a name."""
    if isinstance(padding, str):
        if max(holes) > 1:
            rule = f"has no one meaning with lhs_dilation = {holes}, and JAX refuses it too"
            raise GeometryError("padding", padding, rule, "a pair of whole numbers for each axis")
        windows = [(k - 1) * spread + 1 for k, spread in zip(kernels, spreads, strict=True)]
        padding = lax.padtype_to_pads(sizes, windows, strides, padding)
    return tuple((int(before), int(after)) for before, after in padding)


def _images_to_groups(x: Array, count: int, feature_groups: int) -> Array:
    """(N, C, *I) -> (N / count, count * C, *I): each part of the batch is a group, as JAX means `batch_group_count`."""
    if feature_groups > 1 or x.shape[0] % count:
        rule = f"x has {x.shape[0]} images, and feature_group_count is {feature_groups}"
        raise GeometryError("batch_group_count", count, rule, "a divisor of the images, with feature_group_count = 1")
    apart = x.reshape(count, x.shape[0] // count, *x.shape[1:])
    return jnp.swapaxes(apart, 0, 1).reshape(x.shape[0] // count, count * x.shape[1], *x.shape[2:])


def _transposed(x: Array, w: Array, pads: Any, holes: Any, spreads: Any, groups: int) -> Array:
    """A convolution of an input with zeros between its entries: the transpose of one with that stride."""
    oc, ic, *kernel = w.shape
    turned = jnp.flip(w, range(2, w.ndim)).reshape(groups, oc // groups, ic, *kernel)
    turned = jnp.swapaxes(turned, 1, 2).reshape(groups * ic, oc // groups, *kernel)
    spans = [(k - 1) * spread for k, spread in zip(kernel, spreads, strict=True)]
    sizes = [
        (size - 1) * hole + 1 + sum(pad) - span
        for size, hole, pad, span in zip(x.shape[2:], holes, pads, spans, strict=True)
    ]
    around = tuple((span - before, span - after) for span, (before, after) in zip(spans, pads, strict=True))
    given: dict[str, Any] = {"stride": holes, "padding": around, "dilation": spreads, "groups": groups}
    return conv_transpose(x, turned, output_size=sizes, **given)
