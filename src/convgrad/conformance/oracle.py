"""The kit's own word on every case: the definition, tap by tap in float64. It uses NumPy alone and knows no convgrad,
because reproductions print its text as it stands.

`tests/test_conformance_oracle.py` holds it against `convgrad.definition`, exhaustively on small geometries.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def tap_by_tap(
    role: str,
    a: np.ndarray[Any, Any],
    b: np.ndarray[Any, Any],
    shape: tuple[int, ...],
    stride: list[int],
    before: list[int],
    dilation: list[int],
    groups: int,
    wide: Any = np.float64,
) -> np.ndarray[Any, Any]:
    # all positions with  input = output * stride + tap * dilation - before
    result = np.zeros(shape, wide)
    a, b = a.astype(wide), b.astype(wide)
    x, w, y = {"forward": (a, b, result), "input_grad": (result, b, a), "weight_grad": (b, result, a)}[role]
    x = x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])
    w = w.reshape(groups, len(w) // groups, *w.shape[1:])
    y = y.reshape(len(y), groups, y.shape[1] // groups, *y.shape[2:])
    q = "uvwxyz"[: len(stride)]
    for tap in np.ndindex(*w.shape[3:]):
        i, o = [], []
        for axis, k in enumerate(tap):
            s, at = stride[axis], k * dilation[axis] - before[axis]
            first, last = max(0, -(at // s)), min(y.shape[3 + axis] - 1, (x.shape[3 + axis] - 1 - at) // s)
            i.append(slice(first * s + at, last * s + at + 1, s) if first <= last else slice(0))
            o.append(slice(first, last + 1) if first <= last else slice(0))
        x_k, w_k, y_k = x[:, :, :, *i], w[:, :, :, *tap], y[:, :, :, *o]
        if role == "forward":
            y_k += np.einsum(f"ngi{q},goi->ngo{q}", x_k, w_k)
        elif role == "input_grad":
            x_k += np.einsum(f"ngo{q},goi->ngi{q}", y_k, w_k)
        else:
            w_k += np.einsum(f"ngo{q},ngi{q}->goi", y_k, x_k)
    return result
