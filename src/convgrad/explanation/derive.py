"""A small convolution and its derivatives, written out in symbols, as one would on paper.

`definition` itself runs here, on arrays of symbols, so what is printed is the definition and not a second
account of it. Lines, columns and words are left to `layout`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import definition
from ..definition import Array
from ..errors import GeometryError
from ..geometry import Geometry, joined
from ..spelling import spell
from .layout import written
from .names import indexed, names
from .symbols import Sum, Symbol

READABLE = 5000  # entries of dO/dI and dO/dw together: about a dozen screens

Sums = tuple[Sum, ...]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A convolution in symbols. Every array is flat, its last axis fastest; printing it gives the whole page.

    inputs, weights, arriving: the symbols of I, of w, and of dE/dO, which arrives from behind.
    outputs: O, one sum per output; padding stands in it as 0.
    by_input, by_weight: for each input (weight) the derivative of every output by it.
    input_grad, weight_grad: dE/dI and dE/dw, one sum for each input (weight).
    """

    geometry: Geometry
    inputs: tuple[Symbol, ...]
    weights: tuple[Symbol, ...]
    arriving: tuple[Symbol, ...]
    outputs: Sums
    by_input: tuple[Sums, ...]
    by_weight: tuple[Sums, ...]
    input_grad: Sums
    weight_grad: Sums

    def output_names(self) -> tuple[str, ...]:
        """`O[0]`, `O[1]`, ...: what the outputs are called."""
        return tuple(indexed("O", place) for place in np.ndindex(*self.geometry.output_size))

    def to_json(self) -> dict[str, Any]:
        """Names and expressions as strings, nested like the arrays that they belong to."""
        g = self.geometry
        inputs, weights = (tuple(map(str, symbols)) for symbols in (self.inputs, self.weights))
        return {
            "spelling": spell(g),
            "input": nested(inputs, g.input_size),
            "weight": nested(weights, g.kernel_size),
            "output_gradient": nested(self.arriving, g.output_size),
            "output": nested(self.outputs, g.output_size),
            "output_by_input": {
                name: nested(row, g.output_size) for name, row in zip(inputs, self.by_input, strict=True)
            },
            "output_by_weight": {
                name: nested(row, g.output_size) for name, row in zip(weights, self.by_weight, strict=True)
            },
            "input_grad": nested(self.input_grad, g.input_size),
            "weight_grad": nested(self.weight_grad, g.kernel_size),
        }

    def __str__(self) -> str:
        return written(self)


def derive(geometry: Geometry) -> Derivation:
    """Outputs, their partial derivatives and both gradients of `geometry`, in symbols.

    Raises GeometryError for more than one image, channel or group, and where the page would be too long to read.
    Source: `definition`, derived in docs/derivation.md.

    >>> from convgrad.spelling import parse
    >>> d = derive(parse("i5 k2 p1"))
    >>> print(*d.outputs, sep=", ")
    0x + ay, ax + by, bx + cy, cx + dy, dx + ey, ex + 0y
    >>> print(*d.by_input[1])  # of each output by b: the kernel, backwards
    0 y x 0 0 0
    >>> print(d.input_grad[1])
    gy + hx
    """
    _refuse_unreadable(geometry)
    shapes = (geometry.input_shape, geometry.weight_shape, geometry.output_shape)
    x, w, gy = (_symbols(row, shape) for row, shape in zip(names(geometry), shapes, strict=True))
    outputs = _flat(definition.forward(_with_zeros(x, geometry), w, _without_padding(geometry)))
    inputs, weights, arriving = (tuple(array.flat) for array in (x, w, gy))
    return Derivation(
        geometry,
        inputs,
        weights,
        arriving,
        outputs,
        tuple(tuple(output.derivative(symbol) for output in outputs) for symbol in inputs),
        tuple(tuple(output.derivative(symbol) for output in outputs) for symbol in weights),
        _flat(definition.input_grad(gy, w, geometry)),
        _flat(definition.weight_grad(gy, x, geometry)),
    )


def nested(entries: tuple[Any, ...], shape: tuple[int, ...]) -> list[Any]:
    """Flat entries as strings, in lists nested like `shape`."""
    result: list[Any] = np.array([str(entry) for entry in entries], object).reshape(shape).tolist()
    return result


def _refuse_unreadable(g: Geometry) -> None:
    for argument in ("batch", "in_channels", "out_channels"):
        number = getattr(g, argument)
        if number != 1:
            rule = "symbols are written for one image with one channel"
            raise GeometryError(argument, number, rule, f"{argument} = 1")
    # padding counts too: its zeros are written out
    padded = math.prod(axis.padded for axis in g.axes)
    entries = math.prod(g.output_size) * (padded + math.prod(g.kernel_size))
    if entries > READABLE:
        rule = (
            f"{joined(g.output_size)} outputs by {joined(axis.padded for axis in g.axes)} inputs (with padding) and "
            f"{joined(g.kernel_size)} weights are {entries} derivatives, too many to read"
        )
        raise GeometryError(
            "input", joined(g.input_size), rule, f"at most {READABLE}: a smaller input, or a larger stride"
        )


def _symbols(row: list[str], shape: tuple[int, ...]) -> Array:
    array = np.empty(shape, object)
    for name, index in zip(row, np.ndindex(*shape), strict=True):
        array[index] = Symbol(name, index[2:])
    return array


def _with_zeros(x: Array, g: Geometry) -> Array:
    """`x` with its padding as symbols named 0, placed where the padding lies: at -1, -2, ... before the input."""
    padded = np.empty((1, 1, *(axis.padded for axis in g.axes)), object)
    for index in np.ndindex(*padded.shape):
        place = tuple(i - axis.before for i, axis in zip(index[2:], g.axes, strict=True))
        padded[index] = Symbol("0", place)
    inside = tuple(slice(axis.before, axis.before + axis.input) for axis in g.axes)
    padded[0, 0][inside] = x[0, 0]
    return padded


def _without_padding(g: Geometry) -> Geometry:
    return replace(g, axes=tuple(replace(axis, input=axis.padded, before=0, after=0) for axis in g.axes))


def _flat(array: Array) -> Sums:
    """The entries of an array of sums; what no product reached is still the int 0."""
    return tuple(entry if isinstance(entry, Sum) else Sum() for entry in array.flat)
