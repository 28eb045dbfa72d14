"""The one spelling: what is printed parses back, and what cannot be parsed says why."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import geometries

from convgrad.errors import GeometryError
from convgrad.geometry import Axis, Geometry
from convgrad.spelling import parse, spell


@given(geometries())
def test_what_is_spelled_parses_back(g: Geometry) -> None:
    assert parse(spell(g)) == g


@pytest.mark.parametrize(
    "text",
    [
        "n8 ic64 oc64 i56x56 k3x3 p1",
        "n1 ic1 oc1 i5 k2",
        "n2 ic4 oc6 i9x8x7 k3x2x1 s2x1x3 p1+0x0x2 d2 g2",
        "n0 ic0 oc3 i4 k4",
    ],
)
def test_a_spelling_without_defaults_is_its_own_canonical_form(text: str) -> None:
    assert spell(parse(text)) == text


def test_words_that_equal_the_default_may_stand_or_be_left_out() -> None:
    long = parse("n1 ic1 oc1 i5x6 k3x3 s1x1 p0+0x0 d1 g1")
    assert long == parse("i5x6 k3") == Geometry(1, 1, 1, 1, (Axis(5, 3), Axis(6, 3)))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("i5x5", "lacks the kernel size"),
        ("k3", "lacks the input size"),
        ("i5 k3 z2", "the word 'z2' is none of n ic oc i k s p d g with a size, m with a mode, v with a number"),
        ("i5 k3 i6", "the word 'i' stands twice"),
        ("i5x5 k3 s1x1x1", "s1x1x1 has 3 sizes, but the input has 2 axes"),
        ("i5 k3 p1+2+3", "'2+3' in the word p is not a whole number"),
        ("i5 k3 p1+", "'' in the word p is not a whole number"),
        ("i5 k3xx3", "k3xx3 has 3 sizes, but the input has 1 axes"),
        ("i5 k3 p1+--1", "'-1' in the word p is not a whole number"),
        ("i5 k3 p1 mconstant vone", "'one' in the word v is not a number"),
        ("i5x5 k3 medgexedgexedge", "medgexedgexedge has 3 sizes, but the input has 2 axes"),
        ("i5 k3 n1.5", "'1.5' in the word n is not a whole number"),
        ("i5 k3 n9999999999999999999", "'9999999999999999999' in the word n is not a whole number"),
    ],
)
def test_a_text_that_spells_nothing_is_refused_whole(text: str, rule: str) -> None:
    with pytest.raises(GeometryError) as caught:
        parse(text)
    assert caught.value.rule == rule and caught.value.value == text


def test_a_text_that_spells_no_convolution_gets_the_message_of_the_axis() -> None:
    with pytest.raises(GeometryError, match="kernel = 6: spans 6 positions, but input 5 plus padding 0\\+0 offers 5"):
        parse("i5 k6")
