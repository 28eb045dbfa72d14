"""The named lists of problems in `suites.txt`, and single spellings."""

from __future__ import annotations

from importlib.resources import files

from ..errors import InputError
from ..geometry import Geometry
from ..spelling import parse


def suites() -> dict[str, list[str]]:
    """Spellings under the name of their suite."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in files(__package__).joinpath("suites.txt").read_text("utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            name = text.strip("[]")
            found[name] = []
        elif text:
            found[name].append(text)
    return found


def problems(names: list[str]) -> list[Geometry]:
    """The geometries of suites by name, and of anything else by spelling."""
    known = suites()
    found = []
    for name in names:
        if " " not in name and not any(character.isdigit() for character in name) and name not in known:
            raise InputError("suite", name, "is neither a suite nor a spelling", ", ".join(known))
        found += [parse(text) for text in known.get(name, [name])]
    return found
