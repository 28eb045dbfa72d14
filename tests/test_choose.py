"""The chooser is a pure function of one image on one machine, and says why."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import geometries

from convgrad.choose import choose
from convgrad.errors import UnsupportedError
from convgrad.geometry import Geometry
from convgrad.machine import VECTOR_BITS, Machine
from convgrad.plan import ROLES, quantity
from convgrad.spelling import parse

SERVER = Machine("avx512", 2, (49152, 2097152), "a server")


@given(geometries(), st.sampled_from(ROLES), st.sampled_from(["float32", "float64"]), st.integers(0, 500))
def test_the_choice_depends_neither_on_the_batch_nor_on_the_number_of_cores(
    g: Geometry, role: str, dtype: str, batch: int
) -> None:
    plan = choose(role, g, dtype, SERVER)
    other = choose(role, g.with_batch(batch), dtype, dataclasses.replace(SERVER, cores=64))
    assert dataclasses.replace(other, geometry=g, operations=plan.operations) == plan


@given(geometries(), st.sampled_from(ROLES))
def test_every_problem_has_a_plan_that_explains_itself(g: Geometry, role: str) -> None:
    plan = choose(role, g, "float32", SERVER)
    assert plan.why and plan.workspace_bytes > 0 and plan.error_bound > 0
    every = {"shifted", "tiles", "fourier", "im2col", "taps"}
    assert {plan.algorithm, *(other.algorithm for other in plan.rejected)} == every
    assert all(other.reason for other in plan.rejected)
    assert hash(plan) == hash(choose(role, g, "float32", SERVER))


def test_a_printed_plan_shows_what_it_will_cost_and_why() -> None:
    text = str(choose("forward", parse("n8 ic64 oc64 i56x56 k3x3 p1"), "float32", SERVER))
    lines = [line.split(maxsplit=1) for line in text.splitlines()[1:]]
    assert text.startswith("forward  n8 ic64 oc64 i56x56 k3x3 p1  float32")
    assert [line[0] for line in lines] == [
        *("algorithm", "why", "operations", "arrays", "workspace", "error", "not", "not", "not", "not"),
    ]
    assert "1.8 Gflop" in text and "12.4 MiB" in text and "288.5 eps x definition(|a|, |b|)" in text
    assert "taps: estimated" in text


def test_an_algorithm_can_be_forced_and_the_plan_says_so() -> None:
    g = parse("ic64 oc64 i56x56 k3x3 p1")
    plan = choose("forward", g, "float32", SERVER, "taps")
    assert plan.algorithm == "taps" and plan.why == "asked for by name"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("backward", "i5 k3", None),
            "role = 'backward': is none of the three sums; accepted: forward, input_grad, we",
        ),
        (
            ("forward", "i5 k3", "magic"),
            "algorithm = 'magic': has no such name here; accepted: shifted, tiles, fourier, im2col, taps",
        ),
        (("forward", "i5 k1", "taps"), "algorithm = 'taps': one tap: its product is the one that im2col computes; acc"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments: tuple[str, str, str | None], message: str) -> None:
    role, text, algorithm = arguments
    with pytest.raises(UnsupportedError) as caught:
        choose(role, parse(text), "float32", SERVER, algorithm)
    assert str(caught.value).startswith(message)


def test_quantities_read_as_people_write_them() -> None:
    assert [quantity(n) for n in (0, 999, 1000, 1.8e9)] == ["0 ", "999 ", "1.0 k", "1.8 G"]
    assert quantity(32 << 20, 1024) == "32.0 Mi"


def test_this_machine_is_read() -> None:
    here = Machine.here()
    assert here.cores >= 1 and here.isa in {*VECTOR_BITS, "generic"} and Machine.here() is here
