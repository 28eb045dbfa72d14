"""How the page writes numbers: one spelling of shares, losses, counts and times everywhere."""

from __future__ import annotations

import math

THIN = "\N{NARROW NO-BREAK SPACE}"


def percent(share: float) -> str:
    """A share as per cent; what is not quite all or nothing never rounds to it.

    >>> percent(1.0), percent(0.98765).replace(THIN, " "), percent(0.99999).replace(THIN, " ")
    ('100\\u202f%', '98.8 %', '> 99.9 %')
    """
    if not math.isfinite(share):
        return "not a number"
    if share in (0, 1):
        return f"{share * 100:.0f}{THIN}%"
    rounded = f"{share * 100:.1f}"
    if rounded in ("0.0", "100.0"):
        return f"<{THIN}0.1{THIN}%" if share < 0.5 else f">{THIN}99.9{THIN}%"
    return f"{rounded}{THIN}%"


def change(share: float) -> str:
    """A share more or less, signed: `+14 %`, with a minus that is as wide as the plus."""
    sign = "\N{MINUS SIGN}" if share < 0 else "+"
    return f"{sign}{abs(share) * 100:.0f}{THIN}%"


def roughly(share: float) -> str:
    """A probability without decimals, where the first two digits say enough."""
    if not math.isfinite(share):
        return "not a number"
    rounded = round(share * 100)
    if share < 1 and rounded == 100:
        return f">{THIN}99{THIN}%"
    if share > 0 and rounded == 0:
        return f"<{THIN}1{THIN}%"
    return f"{rounded}{THIN}%"


def loss(value: float) -> str:
    """Three digits, two where it is tiny: `2.30`, `0.0431`, `0.000380`, `3.1e-5`."""
    if not math.isfinite(value) or 0 < abs(value) < 1e-4:
        return tiny(value)
    return f"{value:#.3g}".rstrip(".")


def tiny(value: float) -> str:
    """Two digits of an error: `0`, `0.34`, `19`, `1.3e-9`."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    return power(float(f"{value:.2g}"))


def count(number: int) -> str:
    """A whole number in groups of three: `1 437`, but `360`."""
    return f"{number:,}".replace(",", THIN)


def many(number: int, one: str, more: str | None = None) -> str:
    """A number and what it counts: `1 image`, `12 images`."""
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def duration(seconds: float) -> str:
    """A time as a person says it: `4.1 s`, `2 min 10 s`, `1 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f}{THIN}s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {left}{THIN}s"
    return f"{minutes // 60}{THIN}h {minutes % 60:02}{THIN}min"


def power(value: float) -> str:
    """A tick of a logarithmic or linear axis: `0.01`, `10`, `1e-6`."""
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")


def shape(numbers: tuple[int, ...]) -> str:
    """Sizes with a multiplication sign: `16 × 1 × 3 × 3`."""
    return " \N{MULTIPLICATION SIGN} ".join(map(str, numbers))


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
