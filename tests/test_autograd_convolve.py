"""The convolution of `autograd.scipy.signal`: its results, its gradients, every split of the axes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from oracles import assert_same
from peers import peer

autograd: Any = peer("autograd")
import autograd.numpy as anp  # noqa: E402
from autograd.scipy.signal import convolve as theirs  # noqa: E402
from autograd.test_util import check_grads  # noqa: E402

from convgrad import GeometryError  # noqa: E402
from convgrad.autograd import convolve  # noqa: E402

# shapes, axes that slide, axes that are summed: those of autograd's own tests (tests/test_scipy.py), and more
CASES: list[tuple[Any, Any, Any, Any]] = [
    ((5,), (3,), None, ((), ())),
    ((3,), (5,), None, ((), ())),
    ((4, 5), (2, 3), None, ((), ())),
    ((3, 5), (4, 2), ([1], [1]), ((), ())),
    ((3, 2), (4, 5), ([1], [1]), ((), ())),
    ((4, 3, 6), (3, 2, 5), ([2], [1]), ([1], [0])),
    ((2, 3, 6, 5), (4, 3, 2, 3), ([2, 3], [2, 3]), ([1], [1])),
    ((6, 2, 3), (3, 4, 2), ([0], [1]), ([2, 1], [0, 2])),
    ((2, 3), (3, 4), ([], []), ([1], [0])),
]
MODES = ["full", "valid", "same"]


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).integers(-5, 6, shape).astype(float)


def pairs() -> Any:
    for (a, b, axes, dot_axes), mode in itertools.product(CASES, MODES):
        slide = axes or (range(len(a)), range(len(b)))
        longer = [a[i] >= b[j] for i, j in zip(*slide, strict=True)]
        shorter = [a[i] <= b[j] for i, j in zip(*slide, strict=True)]
        if mode == "valid" and not (all(longer) or all(shorter)):
            continue
        yield pytest.param(a, b, axes, dot_axes, mode, id=f"{a} {b} {axes} {dot_axes} {mode}")


@pytest.mark.parametrize(("a", "b", "axes", "dot_axes", "mode"), list(pairs()))
def test_results_and_gradients_are_autograds(a: Any, b: Any, axes: Any, dot_axes: Any, mode: str) -> None:
    given = {"axes": axes, "dot_axes": dot_axes, "mode": mode}
    x, w = draw(*a), draw(*b, seed=1)
    expected = theirs(x, w, **given)
    assert_same(convolve(x, w, **given), expected)
    g = draw(*expected.shape, seed=2)
    for argument, shape in enumerate((a, b)):
        ours, its = (
            autograd.grad(lambda x, w, f=f: anp.sum(g * f(x, w, **given)), argument)(x, w) for f in (convolve, theirs)
        )
        assert ours.shape == shape and (ours * (x, w)[argument]).sum() == (g * expected).sum()
        if its.shape == shape:  # it is not where the axes that are summed are named in another order
            assert_same(ours, its)


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_hold_to_second_order_in_both_modes(mode: str) -> None:
    check_grads(lambda x, w: convolve(x, w, mode=mode), modes=["fwd", "rev"], order=2)(draw(4, 5), draw(2, 3))


def test_negative_axes_count_from_the_end() -> None:
    x, w = draw(4, 3, 6), draw(3, 2, 5)
    assert_same(
        convolve(x, w, axes=([-1], [-1]), dot_axes=([1], [0])), convolve(x, w, axes=([2], [2]), dot_axes=([1], [0]))
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"axes": ([0], [0, 1])}, "do not match"),
        ({"axes": ([0], [0]), "dot_axes": ([1], [1])}, "do not match"),
        ({"axes": ([0, 0], [0, 1])}, "axes of A"),
        ({"axes": ([0], [7])}, "axes of B"),
    ],
    ids=str,
)
def test_axes_that_do_not_match_are_refused(given: Any, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        convolve(draw(4, 5), draw(2, 3), **given)
