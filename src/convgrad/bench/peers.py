"""How each peer library is asked for the three roles; a peer that cannot answer says so by leaving the role out."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, UnsupportedError
from ..geometry import Geometry

Array = NDArray[Any]
Call = Callable[[], Array]
PEERS = ("torch", "jax", "scipy")


def calls(peer: str, g: Geometry, x: Array, w: Array, gy: Array, threads: int) -> dict[str, Call]:
    """role -> a call that computes it in `peer`, arrays already in its own form; empty where it has no such option."""
    if peer not in PEERS:
        raise UnsupportedError("against", peer, "is no library that this knows to ask", ", ".join(PEERS))
    if find_spec(peer) is None:
        raise MissingExtraError(peer, "", "the comparison")
    return {"torch": _torch, "jax": _jax, "scipy": _scipy}[peer](g, x, w, gy, threads)


def installed() -> list[str]:
    """The peers that are there to be compared with."""
    return [peer for peer in PEERS if find_spec(peer) is not None]


def version(peer: str) -> str:
    return metadata.version(peer)


def _torch(g: Geometry, x: Array, w: Array, gy: Array, threads: int) -> dict[str, Call]:
    import torch
    from torch.nn import functional, grad

    if g.rank > 3 or any(a.before != a.after for a in g.axes):
        return {}
    torch.set_num_threads(threads)
    a, b, c = (torch.from_numpy(array) for array in (x, w, gy))
    options = {
        "stride": [axis.stride for axis in g.axes],
        "padding": [axis.before for axis in g.axes],
        "dilation": [axis.dilation for axis in g.axes],
        "groups": g.groups,
    }
    name = f"conv{g.rank}d"
    forward, by_input, by_weight = (
        getattr(functional, name),
        getattr(grad, f"{name}_input"),
        getattr(grad, f"{name}_weight"),
    )
    return {
        "forward": lambda: forward(a, b, **options).numpy(),
        "input_grad": lambda: by_input(list(x.shape), b, c, **options).numpy(),
        "weight_grad": lambda: by_weight(a, list(w.shape), c, **options).numpy(),
    }


def _jax(g: Geometry, x: Array, w: Array, gy: Array, threads: int) -> dict[str, Call]:
    import jax

    jax.config.update("jax_enable_x64", x.dtype == np.float64)

    def conv(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x,
            w,
            window_strides=[a.stride for a in g.axes],
            padding=[(a.before, a.after) for a in g.axes],
            rhs_dilation=[a.dilation for a in g.axes],
            feature_group_count=g.groups,
        )

    a, b, c = (jax.device_put(array) for array in (x, w, gy))
    forward = jax.jit(conv)
    by_input = jax.jit(lambda c, b: jax.linear_transpose(lambda x: conv(x, b), a)(c)[0])
    by_weight = jax.jit(lambda c, a: jax.linear_transpose(lambda w: conv(a, w), b)(c)[0])
    return {
        "forward": lambda: np.asarray(forward(a, b).block_until_ready()),
        "input_grad": lambda: np.asarray(by_input(c, b).block_until_ready()),
        "weight_grad": lambda: np.asarray(by_weight(c, a).block_until_ready()),
    }


def _scipy(g: Geometry, x: Array, w: Array, gy: Array, threads: int) -> dict[str, Call]:
    """The fastest of `correlate`'s methods, for one image of one channel, stride and dilation one."""
    from scipy.signal import choose_conv_method, convolve, correlate

    plain = all((a.stride, a.dilation) == (1, 1) for a in g.axes)
    if (g.batch, g.in_channels, g.out_channels) != (1, 1, 1) or not plain:
        return {}
    wide = np.pad(x[0, 0], [(a.before, a.after) for a in g.axes])
    inside = tuple(slice(a.before, a.before + a.input) for a in g.axes)
    kernel, grad = w[0, 0], gy[0, 0]
    method = choose_conv_method(wide, kernel, mode="valid")
    return {
        "forward": lambda: correlate(wide, kernel, "valid", method)[None, None],
        "input_grad": lambda: convolve(grad, kernel, "full", method)[inside][None, None],
        "weight_grad": lambda: correlate(wide, grad, "valid", "fft")[None, None],
    }
