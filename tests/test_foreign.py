"""Arrays of other libraries go in without a copy, and results are of their kind; derivatives are never cut silently."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from oracles import assert_same
from peers import peer

import convgrad as cg
from convgrad import UnsupportedError

X, W = np.arange(12.0).reshape(1, 1, 12), np.array([[[1.0, 10, 100]]])
Y = cg.conv(X, W)


class Capsule:
    """An array that offers DLPack and nothing else."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __dlpack__(self, **options: Any) -> Any:
        return self.held.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.held.__dlpack_device__()


def calls(x: Any, w: Any, gy: Any) -> list[Any]:
    return [
        cg.conv(x, w),
        cg.conv_input_grad(gy, w, input_size=12),
        cg.conv_weight_grad(gy, x, kernel_size=3),
        cg.conv_bias_grad(gy),
        cg.conv_transpose(gy, w),
    ]


def test_tensors_become_tensors() -> None:
    torch: Any = peer("torch")
    for found, expected in zip(calls(*map(torch.from_numpy, (X, W, Y))), calls(X, W, Y), strict=True):
        assert type(found) is torch.Tensor
        assert_same(found.numpy(), expected)
    assert type(cg.conv(X, torch.from_numpy(W))) is torch.Tensor


def test_arrays_of_jax_become_arrays_of_jax() -> None:
    jax: Any = peer("jax")
    with jax.enable_x64(True):
        for found, expected in zip(calls(*map(jax.numpy.asarray, (X, W, Y))), calls(X, W, Y), strict=True):
            assert isinstance(found, jax.Array)
            assert_same(np.asarray(found), expected)


@pytest.mark.parametrize("wrap", [Capsule, memoryview, lambda held: held.tolist()], ids=["dlpack", "buffer", "lists"])
def test_whatever_numpy_can_read_goes_in(wrap: Any) -> None:
    for found, expected in zip(calls(*map(wrap, (X, W, Y))), calls(X, W, Y), strict=True):
        assert_same(found, expected)


def test_memory_is_read_where_it_lies() -> None:
    from convgrad.arrays import as_array

    for held in (Capsule(X), memoryview(X)):
        assert np.shares_memory(as_array("x", held), X)
    flat = array.array("d", range(3))
    assert as_array("w", flat).tolist() == [0, 1, 2]


def test_gradients_of_tensors_are_not_cut() -> None:
    torch: Any = peer("torch")
    x, w = torch.from_numpy(X), torch.from_numpy(W).requires_grad_()
    with pytest.raises(UnsupportedError) as caught:
        cg.conv(x, w)
    assert str(caught.value) == (
        "w = 'Tensor': carries derivatives that plain functions would cut, "
        "or has a dtype or device that NumPy has not; "
        "accepted: convgrad.torch, which keeps them; or w.detach()"
    )
    with torch.no_grad():
        assert_same(cg.conv(x, w.detach()).numpy(), Y)


def test_tracers_of_jax_are_not_cut() -> None:
    jax: Any = peer("jax")
    for transformed in (jax.jit(cg.conv), jax.vmap(cg.conv), jax.grad(lambda x, w: cg.conv(x, w).sum())):
        with pytest.raises(UnsupportedError, match=r"convgrad\.jax, which keeps them"):
            transformed(X[None], W[None])


def test_boxes_of_autograd_are_not_cut() -> None:
    autograd: Any = peer("autograd")
    with pytest.raises(UnsupportedError, match=r"convgrad\.autograd, which keeps them; or w\._value"):
        autograd.grad(lambda w: cg.conv(X, w).sum())(W)


def test_arrays_elsewhere_are_refused() -> None:
    class Elsewhere:
        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("on another device")

        def __dlpack_device__(self) -> Any:
            return (2, 0)

    with pytest.raises(UnsupportedError, match=r"x = 'Elsewhere': NumPy cannot read it .*; accepted: an array in the"):
        cg.conv(Elsewhere(), W)  # type: ignore[arg-type]
