"""Sums of products of symbols: the little algebra that lets `definition` run on letters instead of numbers.

Terms keep the order in which they were added and are never collected, so a printed sum shows what the
definition did, product by product. What the symbols are called is left to `derive`.

>>> a, x, b, y = (Symbol(name, (0,)) for name in "axby")
>>> total = 0 + a * x + b * y
>>> print(total)
ax + by
>>> print(total.derivative(b))
y
"""

from __future__ import annotations

from dataclasses import dataclass

from ..definition import Index


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name that stands for one entry of an array, and the index of that entry."""

    name: str
    place: Index

    def __mul__(self, other: Symbol) -> Sum:
        return Sum(((self, other),))

    def __str__(self) -> str:
        return self.name


Product = tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum of products; without terms it is 0."""

    terms: tuple[Product, ...] = ()

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.terms + other.terms)

    def __radd__(self, zero: int) -> Sum:
        return self  # every entry of an array of zeros starts as the int 0

    def derivative(self, by: Symbol) -> Sum:
        """The product rule: one term for each place where `by` stands, which is taken out there."""
        return Sum(
            tuple(
                term[:place] + term[place + 1 :]
                for term in self.terms
                for place, factor in enumerate(term)
                if factor == by
            )
        )

    def __str__(self) -> str:
        return " + ".join(map(product, self.terms)) or "0"


def product(factors: Product) -> str:
    """`ax` for single letters, `I[0]*w[1]` where a name is longer.

    >>> product((Symbol("0", (-1,)), Symbol("w[0]", (0,))))
    '0*w[0]'
    """
    names = [factor.name for factor in factors]
    return ("" if all(len(name) == 1 for name in names) else "*").join(names)
