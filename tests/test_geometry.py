"""The index relation, tested as mathematics: exhaustively on small axes, and again by drawing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from strategies import axes, every_axis, geometries

from convgrad.errors import GeometryError
from convgrad.geometry import Axis, Geometry

SMALL = every_axis(range(1, 6), range(1, 4), range(1, 4), range(1, 4), range(4))


def check_axis(axis: Axis) -> None:
    """Every property of an axis against the positions written out."""
    positions = range(-axis.before, axis.input + axis.after)
    starts = [i for i in positions if (axis.kernel - 1) * axis.dilation + i in positions]
    outputs = starts[:: axis.stride]
    assert axis.output == len(outputs)
    reads = [[i + tap * axis.dilation for tap in range(axis.kernel)] for i in outputs]
    assert reads == [[axis.source(o, tap) for tap in range(axis.kernel)] for o in range(axis.output)]
    inside = [[0 <= i < axis.input for i in row] for row in reads]
    for tap in range(axis.kernel):
        assert list(axis.readers(tap)) == [o for o in range(axis.output) if inside[o][tap]]
    assert axis.pairs == sum(map(sum, inside))
    assert axis.clips == (not all(map(all, inside)))


def test_an_axis_equals_its_positions_written_out_exhaustive() -> None:
    assert len(SMALL) > 1000
    for axis in SMALL:
        check_axis(axis)


@given(axes())
def test_an_axis_equals_its_positions_written_out_drawn(axis: Axis) -> None:
    check_axis(axis)


@given(geometries(max_rank=2))
def test_products_counts_the_terms_of_the_definition(g: Geometry) -> None:
    from convgrad.definition import terms

    assert g.products == sum(1 for _ in terms(g))


def test_shapes_follow_from_the_axes() -> None:
    g = Geometry(2, 6, 4, 2, (Axis(7, 3, stride=2, before=1), Axis(5, 2)))
    assert g.input_shape == (2, 6, 7, 5)
    assert g.weight_shape == (4, 3, 3, 2)
    assert g.output_shape == (2, 4, 3, 4)


def test_numpy_integers_become_plain_ones_so_that_equal_geometries_are_equal_keys() -> None:
    import numpy as np

    axis = Axis(np.int64(5), np.int32(3))  # type: ignore[arg-type]
    assert axis == Axis(5, 3) and hash(axis) == hash(Axis(5, 3)) and type(axis.input) is int


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Axis(input=3, kernel=3, dilation=2, before=1),
            "kernel = 3: spans 5 positions, but input 3 plus padding 1+0 offers 4; "
            "accepted: kernel <= 2, or more padding",
        ),
        (lambda: Axis(input=0, kernel=1), "input = 0: must be at least 1; accepted: an int >= 1"),
        (lambda: Axis(input=5, kernel=0), "kernel = 0: must be at least 1; accepted: an int >= 1"),
        (lambda: Axis(5, 3, stride=0), "stride = 0: must be at least 1; accepted: an int >= 1"),
        (lambda: Axis(5, 3, stride=1.5), "stride = 1.5: is not a whole number; accepted: an int >= 1"),
        (lambda: Axis(5, 3, dilation=-1), "dilation = -1: must be at least 1; accepted: an int >= 1"),
        (
            lambda: Axis(5, 3, before=-2, after=-1),
            "kernel = 3: spans 3 positions, but input 5 plus padding -2+-1 offers 2; "
            "accepted: kernel <= 2, or more padding",
        ),
        (
            lambda: Axis(5, 3, mode="mirror"),
            "padding_mode = 'mirror': is no way to continue an input; accepted: 'reflect', which means the same; "
            "all: zeros, constant, edge, reflect, symmetric, circular",
        ),
        (
            lambda: Axis(5, 3, fill=2.0),
            "padding_value = 2.0: means nothing with padding_mode = 'zeros'; accepted: 0, or 'constant'",
        ),
        (
            lambda: Geometry(1, 1, 1, 1, tuple(Axis(5, 3, mode="constant", fill=v) for v in (1.0, 2.0))),
            "padding_value = (1.0, 2.0): differs between axes, so corners have no value; accepted: one number",
        ),
        (lambda: Geometry(1, 1, 1, 1, ()), "axes = (): holds no spatial axis; accepted: one Axis or more"),
        (lambda: Geometry(-1, 1, 1, 1, (Axis(5, 3),)), "batch = -1: must be at least 0; accepted: an int >= 0"),
        (lambda: Geometry(1, 4, 6, 0, (Axis(5, 3),)), "groups = 0: must be at least 1; accepted: an int >= 1"),
        (
            lambda: Geometry(1, 4, 6, 4, (Axis(5, 3),)),
            "groups = 4: out_channels = 6 cannot be shared equally by 4 groups; "
            "accepted: groups that divide 6: 1, 2, 3, 6",
        ),
    ],
)
def test_what_is_no_convolution_is_refused_with_the_remedy(make, message: str) -> None:
    with pytest.raises(GeometryError) as caught:
        make()
    assert str(caught.value) == message
    error = caught.value
    assert f"{error.argument} = {error.value!r}: {error.rule}; accepted: {error.accepted}" == message


def test_the_longest_kernel_that_an_error_names_is_accepted_and_the_next_is_not() -> None:
    for numbers in itertools.product(range(1, 5), range(1, 8), range(1, 4), range(3), range(3)):
        length, kernel, dilation, before, after = numbers
        try:
            Axis(length, kernel, 1, dilation, before, after)
        except GeometryError as error:
            longest = int(error.accepted.split("<= ")[1].split(",")[0])
            Axis(length, longest, 1, dilation, before, after)
            assert longest == kernel - 1 or longest < kernel
            with pytest.raises(GeometryError):
                Axis(length, longest + 1, 1, dilation, before, after)
