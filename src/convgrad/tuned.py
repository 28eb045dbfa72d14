"""Which algorithm was measured to be the fastest: what `convgrad tune` found, kept in one file of the user.

The chooser receives it as a value, like the machine; nothing here measures. An entry counts for the processor,
instruction set and version that it was measured on, and for any batch: the choice never depends on it. The file is read
once in a process. One that cannot be read is reported once, and then as good as absent.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import __version__, settings
from .errors import InputError, UnsupportedError
from .geometry import Geometry
from .machine import Machine
from .plan import ROLES
from .spelling import parse, spell

FORMAT = 1
LARGEST = 1 << 24  # bytes of a file that is read at all


@dataclass(frozen=True, slots=True)
class Problem:
    """What an entry is about."""

    cpu: str
    isa: str
    version: str
    dtype: str
    role: str
    spelling: str  # of one image

    @staticmethod
    def of(role: str, geometry: Geometry, dtype: str, machine: Machine) -> Problem:
        return Problem(machine.cpu, machine.isa, __version__, dtype, role, spell(geometry.with_batch(1)))


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured: seconds of one call by each algorithm, for a batch, on some threads, on a day."""

    seconds: dict[str, float]
    batch: int
    threads: int
    day: str  # as in 2026-07-31

    @property
    def ranking(self) -> list[str]:
        """The algorithms, fastest first; by name where they took the same time."""
        return sorted(self.seconds, key=lambda name: (self.seconds[name], name))

    def __str__(self) -> str:
        fastest, *others = (f"{self.seconds[name] * 1e3:.3g} ms" for name in self.ranking)
        against = f" against {' and '.join(others)}" if others else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"tuned on {self.day} with n{self.batch} and {threads}: {fastest}{against}"


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """Everything that a file holds."""

    measured: dict[Problem, Measured] = field(default_factory=dict)

    def find(self, role: str, geometry: Geometry, dtype: str, machine: Machine) -> Measured | None:
        return self.measured.get(Problem.of(role, geometry, dtype, machine)) if self.measured else None

    def of(self, machine: Machine) -> dict[Problem, Measured]:
        """The entries that count on `machine`."""
        own = (machine.cpu, machine.isa, __version__)
        return {p: found for p, found in self.measured.items() if (p.cpu, p.isa, p.version) == own}


UNTUNED = Tuning()


def here() -> Tuning:
    """What the file of this user holds; read at the first call."""
    path = settings.tuning_file()
    return UNTUNED if path is None else _read_once(path)


def place() -> Path:
    """Where entries are kept; raises UnsupportedError where the environment says nowhere."""
    path = settings.tuning_file()
    if path is None:
        rule = "tuned choices are neither read nor kept"
        raise UnsupportedError("CONVGRAD_TUNING", "", rule, "an absolute path, or unset with a home")
    return path


def store(found: dict[Problem, Measured]) -> Path:
    """Add entries to the file, in place of those about the same problems; returns where it is."""
    return _change(lambda measured: measured | found)


def forget(geometry: Geometry | None = None) -> int:
    """Remove the entries about a geometry, or every entry; returns how many went."""
    spelling = None if geometry is None else spell(geometry.with_batch(1))
    removed = 0

    def kept(measured: dict[Problem, Measured]) -> dict[Problem, Measured]:
        nonlocal removed
        rest = {} if spelling is None else {p: m for p, m in measured.items() if p.spelling != spelling}
        removed = len(measured) - len(rest)
        return rest

    _change(kept)
    return removed


@functools.lru_cache(maxsize=8)
def _read_once(path: Path) -> Tuning:
    try:
        measured = _read(path)
    except InputError as error:
        warnings.warn(f"tuned choices are ignored: {error}", RuntimeWarning, stacklevel=2)
        return UNTUNED
    return Tuning(measured)


def _read(path: Path) -> dict[Problem, Measured]:
    accepted = "a file that `convgrad tune` wrote; `convgrad tune --forget` begins a new one"
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(LARGEST))
        if document["format"] != FORMAT:
            rule = f"has format {document['format']!r}, and this version reads {FORMAT}"
            raise InputError("tuning", str(path), rule, accepted)
        return dict(map(_entry, document["entries"]))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError("tuning", str(path), f"cannot be read ({error.strerror})", accepted) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        rule = f"holds no tuned choices ({type(error).__name__}: {error})"
        raise InputError("tuning", str(path), rule, accepted) from error


def _entry(record: dict[str, Any]) -> tuple[Problem, Measured]:
    problem, measured = Problem(**record["problem"]), Measured(**record["measured"])
    seconds = {str(name): float(taken) for name, taken in measured.seconds.items()}
    if problem.role not in ROLES or not seconds or not all(0 < taken < float("inf") for taken in seconds.values()):
        raise ValueError(f"{problem.role} in {list(seconds.values())} s")
    parse(problem.spelling)
    return problem, Measured(seconds, int(measured.batch), int(measured.threads), str(measured.day))


def _change(change: Callable[[dict[Problem, Measured]], dict[Problem, Measured]]) -> Path:
    """Replace what the file holds, whole or not at all; processes that do so at once wait for each other."""
    path = place()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            _replace(path, change(_readable(path)))
    except OSError as error:
        rule = f"cannot be written ({error.strerror})"
        raise InputError("tuning", str(path), rule, "a writable folder; CONVGRAD_TUNING names another file") from error
    _read_once.cache_clear()
    return path


def _readable(path: Path) -> dict[Problem, Measured]:
    """What the file holds; nothing, where it is broken and about to be replaced."""
    try:
        return _read(path)
    except InputError:
        return {}


def _replace(path: Path, measured: dict[Problem, Measured]) -> None:
    entries = [{"problem": asdict(problem), "measured": asdict(found)} for problem, found in measured.items()]
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "entries": entries}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among the processes that change `path`, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows: the last of two writers at once wins
        yield
        return
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
