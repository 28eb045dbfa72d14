"""What each library makes of a row of `coverage_rows`: its own call, its own derivatives, no padding by hand.

Each function returns {"y": ..., "gx": ..., "gw": ...}, or fewer where the library has no such derivative, and raises
`AbsentError` where the library has no call for it. Errors of the library count as absent too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from coverage_rows import Array, Row

import convgrad as cg
from convgrad import definition
from convgrad.api import compute
from convgrad.geometry import Axis, Geometry

Results = dict[str, Array]


class AbsentError(Exception):
    """The library has no call for this."""


def need(holds: bool) -> None:
    if not holds:
        raise AbsentError


# ---- what is right


def expected(row: Row) -> Results:
    """The definition; gradients conjugate what they multiply with, so that they are adjoints."""
    g, (x, w, gy) = row.geometry, row.arrays
    if row.x.startswith(("int", "uint")):
        x, w, gy = (array.astype("int64") for array in (x, w, gy))
    if row.task == "transpose":
        return {"y": definition.input_grad(gy, w, g)}
    if row.task in ("per-sample", "sqnorm"):
        one = g.with_batch(1)
        every = np.stack([definition.weight_grad(gy[n : n + 1], x[n : n + 1], one) for n in range(g.batch)])
        return {"gw": every if row.task == "per-sample" else np.sum(every**2, axis=(1, 2, 3, 4))}
    if row.task == "second":  # <gx, x'> by gy and w, <gw, w'> by gy and x, at x' = x, w' = w
        return {
            "y": definition.forward(x, w, g),
            "gx": definition.input_grad(gy, w, g),
            "gw": definition.weight_grad(gy, x, g),
        }
    turned = flip(w) if row.flip else w
    gw = definition.weight_grad(gy, x.conj(), g)
    return {
        "y": definition.forward(x, turned, g),
        "gx": definition.input_grad(gy, turned.conj(), g),
        "gw": flip(gw) if row.flip else gw,
    }


def right(row: Row, found: Results) -> dict[str, bool]:
    """Which of a library's results equal the definition; a real derivative of a complex result is its real part."""
    judged = {}
    for name, exact in expected(row).items():
        if name not in found:
            continue
        got = np.asarray(found[name])
        if np.iscomplexobj(exact) and not np.iscomplexobj(got):
            exact = exact.real
        # everything is a multiple of a half; what a transform leaves beside it is rounded away
        judged[name] = got.shape == exact.shape and np.array_equal(np.rint(2 * got), 2 * exact)
    return judged


def flip(w: Array) -> Array:
    return np.flip(w, tuple(range(2, w.ndim)))


def padding(g: Geometry) -> list[tuple[int, int]]:
    return [(a.before, a.after) for a in g.axes]


def options(g: Geometry) -> dict[str, Any]:
    return {"stride": [a.stride for a in g.axes], "dilation": [a.dilation for a in g.axes], "groups": g.groups}


# ---- ours


def convgrad(row: Row) -> Results:
    g, (x, w, gy) = row.geometry, row.arrays
    said: dict[str, Any] = {**options(g), "padding": row.name or padding(g)}
    said |= {"padding_mode": [a.mode for a in g.axes], "padding_value": g.fill, "flip": row.flip}
    if row.task == "transpose":
        return {"y": cg.conv_transpose(gy, w, output_size=g.input_size, **said)}
    if row.task in ("per-sample", "sqnorm"):
        reduce: Any = "none" if row.task == "per-sample" else "sqnorm"
        return {"gw": cg.conv_weight_grad(gy, x, kernel_size=g.kernel_size, reduce=reduce, **said)}
    if row.task == "second":  # every role is linear in each argument, so its derivatives are the roles
        return {
            "y": compute("forward", g, x, w),
            "gx": compute("input_grad", g, gy, w),
            "gw": compute("weight_grad", g, gy, x),
        }
    found = {"y": cg.conv(x, w, **said)}
    if row.x.startswith(("int", "uint")):
        gy = gy.astype(row.x)
    found["gx"] = cg.conv_input_grad(gy, w, input_size=g.input_size, **said)
    found["gw"] = cg.conv_weight_grad(gy, x, kernel_size=g.kernel_size, **said)
    return found


# ---- PyTorch: nn.ConvNd and functional.convNd


def pytorch(row: Row) -> Results:
    import torch
    from torch.nn import functional

    g, (x, w, gy) = row.geometry, row.arrays
    need(g.rank <= 3 and not row.flip)
    same = row.name == "same"
    need(same or all(a.before == a.after >= 0 for a in g.axes))
    modes = {a.mode for a in g.axes}
    need(len(modes) == 1)
    mode = {"zeros": "zeros", "reflect": "reflect", "edge": "replicate", "circular": "circular"}.get(modes.pop())
    need(mode is not None)
    said: dict[str, Any] = options(g)
    pads: Any = "same" if same else [a.before for a in g.axes]
    if row.task == "transpose":
        conv = getattr(functional, f"conv_transpose{g.rank}d")
        least = [(a.output - 1) * a.stride + a.span - a.before - a.after for a in g.axes]
        rest = [a.input - one for a, one in zip(g.axes, least, strict=True)]
        y = conv(*map(torch.from_numpy, (gy, w)), padding=pads, output_padding=rest, **said)
        return {"y": y.numpy()}
    module = getattr(torch.nn, f"Conv{g.rank}d")(
        g.in_channels, g.out_channels, g.kernel_size, padding=pads, padding_mode=mode, bias=False, **said
    )

    def layer(x: Any, w: Any) -> Any:
        return torch.func.functional_call(module, {"weight": w}, (x,))

    floats = row.x.startswith(("float", "complex")) and row.w.startswith(("float", "complex"))
    tx, tw, tgy = map(torch.from_numpy, (x, w, gy))
    if row.task in ("per-sample", "sqnorm"):
        need(row.task == "per-sample")

        def one(x: Any, gy: Any) -> Any:
            return torch.func.vjp(lambda w: layer(x[None], w), tw)[1](gy[None])[0]

        return {"gw": torch.func.vmap(one)(tx, tgy).numpy()}
    if not floats:
        return {"y": layer(tx, tw).numpy()}
    tx.requires_grad_()
    tw.requires_grad_()
    y = layer(tx, tw)
    if row.task == "second":
        gy2 = tgy.clone().requires_grad_()
        gx, gw = torch.autograd.grad(y, (tx, tw), gy2, create_graph=True)
        # <gx, x> and <gw, w> are the trilinear form: its derivatives are y, gx and gw again
        form = (gx * tx.detach()).sum()
        by_gy, by_w = torch.autograd.grad(form, (gy2, tw), retain_graph=True)
        (by_x,) = torch.autograd.grad((gw * tw.detach()).sum(), (tx,))
        return {"y": by_gy.detach().numpy(), "gx": by_x.numpy(), "gw": by_w.numpy()}
    gx, gw = torch.autograd.grad(y, (tx, tw), tgy)
    return {"y": y.detach().numpy(), "gx": gx.numpy(), "gw": gw.numpy()}


# ---- JAX: lax.conv_general_dilated, and its derivatives


def jax(row: Row) -> Results:
    import jax

    jax.config.update("jax_enable_x64", True)
    g, (x, w, gy) = row.geometry, row.arrays
    need(all(a.mode == "zeros" for a in g.axes) and not row.flip)
    letters = "DHWTUV"[: g.rank]
    pads: Any = {"same": "SAME", "same_lower": "SAME_LOWER"}.get(row.name or "", padding(g))

    def conv(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x,
            w,
            [a.stride for a in g.axes],
            pads,
            rhs_dilation=[a.dilation for a in g.axes],
            dimension_numbers=(f"NC{letters}", f"OI{letters}", f"NC{letters}"),
            feature_group_count=g.groups,
        )

    if row.task == "transpose":
        (y,) = jax.linear_transpose(lambda x: conv(x, w), x)(gy)
        return {"y": np.asarray(y)}
    if row.task in ("per-sample", "sqnorm"):
        need(row.task == "per-sample")

        def one(x: Any, gy: Any) -> Any:
            return jax.vjp(lambda w: conv(x[None], w), w)[1](gy[None])[0]

        return {"gw": np.asarray(jax.vmap(one)(x, gy))}
    if not (row.x.startswith(("float", "complex")) and row.w.startswith(("float", "complex"))):
        return {"y": np.asarray(conv(x, w))}
    y, back = jax.vjp(conv, x, w)
    if row.task == "second":

        def form(x: Any, w: Any, gy: Any) -> Any:
            return (jax.vjp(conv, x, w)[1](gy)[0] * x).sum()

        by_w, by_gy = jax.grad(form, argnums=(1, 2))(x, w, gy)
        by_x = jax.grad(lambda x: (jax.vjp(conv, x, w)[1](gy)[1] * w).sum())(x)
        return {"y": np.asarray(by_gy), "gx": np.asarray(by_x), "gw": np.asarray(by_w)}
    # JAX's derivatives do not conjugate: the adjoint is theirs, conjugated on both sides
    gx, gw = back(gy.conj())
    return {"y": np.asarray(y), "gx": np.asarray(gx).conj(), "gw": np.asarray(gw).conj()}


# ---- SciPy: signal and ndimage have one channel, no steps and no derivatives


def plain(row: Row) -> tuple[Geometry, Array, Array]:
    """One image of one channel, without stride and dilation, as libraries of filters take it."""
    g, (x, w, _) = row.geometry, row.arrays
    need(row.task == "roles" and (g.batch, g.in_channels, g.out_channels) == (1, 1, 1))
    need(all(a.stride == a.dilation == 1 for a in g.axes))
    return g, x[0, 0], w[0, 0]


def centred(a: Axis, before: int) -> bool:
    return (a.before, a.after) == (before, a.kernel - 1 - before)


def scipy_signal(row: Row) -> Results:
    from scipy import signal

    g, x, w = plain(row)
    need(not np.iscomplexobj(w) or not row.flip)
    modes = {a.mode for a in g.axes}
    if modes == {"zeros"}:
        if all((centred(a, 0) and a.kernel == 1) or a.before == a.after == 0 for a in g.axes):
            mode = "valid"
        elif all(a.before == a.after == a.kernel - 1 for a in g.axes):
            mode = "full"
        else:
            need(all(centred(a, (a.kernel - 1) // 2 if row.flip else a.kernel // 2) for a in g.axes))
            mode = "same"
        y = signal.convolve(x, w, mode) if row.flip else signal.correlate(x, w.conj(), mode)
        return {"y": y[None, None]}
    need(g.rank == 2 and len(modes) == 1 and all(centred(a, a.kernel // 2) for a in g.axes))
    boundary = {"symmetric": "symm", "circular": "wrap", "constant": "fill"}.get(modes.pop())
    need(boundary is not None)
    y = signal.correlate2d(x, w.conj(), "same", boundary, fillvalue=g.fill)
    return {"y": y[None, None]}


def scipy_ndimage(row: Row) -> Results:
    from scipy import ndimage

    g, x, w = plain(row)
    need(all(0 <= a.before < a.kernel and a.before + a.after == a.kernel - 1 for a in g.axes))
    words = {"zeros": "constant", "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "circular": "wrap"}
    modes = [words.get(a.mode, "constant") for a in g.axes]
    origin = [a.before - a.kernel // 2 for a in g.axes]
    said: Any = {"mode": modes if len(set(modes)) > 1 else modes[0], "cval": g.fill}
    if row.flip:
        y = ndimage.convolve(
            x, w, origin=[-o - (a.kernel % 2 == 0) for o, a in zip(origin, g.axes, strict=True)], **said
        )
    else:
        y = ndimage.correlate(x, w, origin=origin, **said)
    return {"y": y[None, None]}


# ---- SigPy: true convolution with its two adjoints; PyLops: an operator with its adjoint


def sigpy(row: Row) -> Results:
    import sigpy

    g, (x, w, gy) = row.geometry, row.arrays
    need(row.task == "roles" and g.groups == 1 and all(a.dilation == 1 and a.mode == "zeros" for a in g.axes))
    if all(a.before == a.after == 0 for a in g.axes):
        mode = "valid"
    else:
        need(all(a.before == a.after == a.kernel - 1 for a in g.axes))
        mode = "full"
    said: Any = {"mode": mode, "strides": [a.stride for a in g.axes], "multi_channel": True}
    turned = w if row.flip else flip(w)
    gw = sigpy.convolve_filter_adjoint(gy, x, w.shape, **said)
    return {
        "y": sigpy.convolve(x, turned, **said),
        "gx": sigpy.convolve_data_adjoint(gy, turned, x.shape, **said),
        "gw": gw if row.flip else flip(gw),
    }


def pylops(row: Row) -> Results:
    import pylops

    g, x, w = plain(row)
    gy = row.arrays[2][0, 0]
    need(all(a.mode == "zeros" and a.before >= 0 and a.before + a.after == a.kernel - 1 for a in g.axes))
    turned = w if row.flip else np.flip(w)
    offset = [a.before if row.flip else a.kernel - 1 - a.before for a in g.axes]
    dtype = np.result_type(x, w)
    operator = pylops.signalprocessing.ConvolveND(x.shape, turned, axes=range(g.rank), offset=offset, dtype=dtype)
    return {"y": (operator @ x)[None, None], "gx": (operator.H @ gy)[None, None]}


LIBRARIES: dict[str, tuple[str, Callable[[Row], Results]]] = {
    "convgrad": ("convgrad", convgrad),
    "PyTorch": ("torch", pytorch),
    "JAX": ("jax", jax),
    "SciPy signal": ("scipy", scipy_signal),
    "SciPy ndimage": ("scipy", scipy_ndimage),
    "SigPy": ("sigpy", sigpy),
    "PyLops": ("pylops", pylops),
}


@functools.cache
def cell(library: str, row: Row) -> str:
    """What a cell of the table says: the results that are right, "-" where there is no call, "wrong" where one errs."""
    try:
        found = LIBRARIES[library][1](row)
    except ImportError:
        raise
    except Exception:  # whatever a library says instead of a result
        return "-"
    judged = right(row, found)
    said = [name for name, holds in judged.items() if holds]
    wrong = [f"**wrong {name}**" for name, holds in judged.items() if not holds]
    if not wrong and list(judged) == list(expected(row)):
        return "yes" if judged else "-"
    return ", ".join([*(f"`{name}`" for name in said), *wrong]) or "-"
