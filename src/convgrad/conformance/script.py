"""A case as lines of Python: what a child process runs, and what a reproduction shows.

Data are drawn by NumPy from the case's seed, so a few lines hold a case of any size.
"""

from __future__ import annotations

import inspect
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np

from ..machine import Machine
from . import oracle
from .case import EXACT_DATA, Case
from .dialects.record import Dialect, numbers

LAYOUT_LINES = {
    "channels_last": "{0} = np.moveaxis(np.ascontiguousarray(np.moveaxis({0}, 1, -1)), -1, 1)",
    "fortran": "{0} = np.asfortranarray({0})",
    "strided": "{0} = np.repeat({0}, 2, axis=-1)[..., ::2]",
    "reversed": "{0} = np.ascontiguousarray({0}[..., ::-1])[..., ::-1]",
    "offset": "{0} = np.append({0}.ravel()[:1], {0})[1:].reshape({0}.shape)",
    "expanded": "{0} = np.broadcast_to({0}[:1], {0}.shape)",
    "misaligned": "{0} = np.frombuffer(b'-' + {0}.tobytes(), {0}.dtype, offset=1).reshape({0}.shape)",
    "readonly": "{0}.flags.writeable = False",
    "swapped": "{0} = {0}.astype({0}.dtype.newbyteorder())",
}
SMALLEST = {"float32": -149, "float64": -1074}  # exponents of the smallest denormals


def data_lines(case: Case) -> list[str]:
    """The two operands, drawn and laid out."""
    lines = [] if case.data == "ones" else [f"rng = np.random.default_rng({case.seed})"]
    lines += [
        f"{name} = {_drawn(case, place, shape)}"
        for place, (name, shape) in enumerate(zip(case.operands, case.shapes, strict=True))
    ]
    if case.data == "special":
        name = case.operands[case.seed % 2]
        lines.append(f"{name}.flat[rng.integers({name}.size)] = rng.choice([np.nan, np.inf, -np.inf])")
    for name, layout in zip(case.operands, case.layouts, strict=True):
        if layout != "contiguous":
            lines.append(LAYOUT_LINES[layout].format(name))
    return lines


def _drawn(case: Case, place: int, shape: tuple[int, ...]) -> str:
    dtype = "float32" if case.dtype == "bfloat16" else case.dtype  # NumPy has none: the dialect rounds
    most = case.magnitude
    if case.data == "ones":
        return f"np.ones({shape}, {dtype!r})"
    if case.data == "real" and case.dtype in ("float16", "bfloat16"):
        return f"(rng.integers(-127, 128, {shape}) / 64).astype({dtype!r})"  # they hold these exactly
    if case.data == "positive" and case.dtype in ("float16", "bfloat16"):
        return f"(rng.integers(32, 65, {shape}) / 64).astype({dtype!r})"
    if case.data == "real":
        return f"rng.standard_normal({shape}).astype({dtype!r})"
    if case.data == "positive":
        return f"rng.uniform(0.5, 1, {shape}).astype({dtype!r})"
    if case.data == "tiny" and place == 0:
        return f"np.ldexp(rng.integers({-most}, {most + 1}, {shape}), {SMALLEST[dtype]}).astype({dtype!r})"
    return f"rng.integers({-most}, {most + 1}, {shape}).astype({dtype!r})"


def thread_lines(dialect: Dialect, threads: int) -> list[str]:
    return [dialect.set_threads(threads)] if dialect.set_threads is not None else []


def oracle_call(case: Case, operands: tuple[str, str] | None = None, wide: str = "np.float64") -> str:
    """The call of `oracle.tap_by_tap` for a case."""
    g = case.geometry
    a, b = operands or case.operands
    options = f"{numbers(g, 'stride')}, {numbers(g, 'before')}, {numbers(g, 'dilation')}, {g.groups}"
    return f"tap_by_tap({case.role!r}, {a}, {b}, {case.result_shape}, {options}, {wide})"


def reproduction(dialect: Dialect, case: Case, verdict: str, crashes: bool = False) -> str:
    """A script that shows the failure and needs NumPy and the library alone."""
    environment = dialect.environments.get(case.isa, {})
    lines = [f"# {line}" for line in (conditions(dialect), f"{case}: {verdict}")]
    lines += ["import os"] * bool(environment and "import os" not in dialect.imports)
    lines += [f"os.environ[{name!r}] = {value!r}" for name, value in environment.items()]
    lines += ["import numpy as np", *dialect.imports, "", *thread_lines(dialect, case.threads), *data_lines(case)]
    lines += dialect.call(case)
    if not crashes:
        source = inspect.getsource(oracle.tap_by_tap).replace("np.ndarray[Any, Any]", "np.ndarray").rstrip()
        lines += ["", "# the definition, tap by tap", "", "", source.replace("wide: Any", "wide: type"), "", ""]
        lines += [f"expected = {oracle_call(case)}", *_comparison(case)]
    return "\n".join(lines) + "\n"


def _comparison(case: Case) -> list[str]:
    lines = ["assert result.shape == expected.shape, (result.shape, expected.shape)"]
    if case.data in EXACT_DATA:
        lines.append("wrong = (result != expected) & ~(np.isnan(result) & np.isnan(expected))")
    else:
        first, second = (f"np.abs({name})" for name in case.operands)
        lines.append(f"scale = {oracle_call(case, (first, second))}")
        bound = f"{case.terms + 2} * {eps_text(case.dtype)} * scale"
        lines.append(f"wrong = ~(np.abs(result - expected) <= {bound})")
    told = "{wrong.sum()} of {wrong.size} entries are wrong:"
    return [*lines, f"print(f'{told}', result[wrong][:4], 'for', expected[wrong][:4])"]


def eps_text(dtype: str) -> str:
    return "2.0**-7" if dtype == "bfloat16" else f"np.finfo({dtype!r}).eps"


def conditions(dialect: Dialect) -> str:
    """Versions, CPU and instruction set."""
    machine = Machine.here()
    libraries = ", ".join(f"{name} {version(name)}" for name in (*dialect.libraries, "numpy"))
    return f"{libraries}, Python {platform.python_version()}, {platform.system()}; {machine.cpu} ({machine.isa})"


def version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def environment_of(dialect: Dialect, isa: str) -> Mapping[str, str]:
    """Variables of a child process that runs `dialect` on an instruction set, and imports what this process can."""
    path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    return {**os.environ, "PYTHONPATH": path, **dialect.environments.get(isa, {})}


def namespace() -> dict[str, object]:
    """What the lines of a script find defined."""
    return {"np": np, "tap_by_tap": oracle.tap_by_tap, "__name__": "__main__"}


PYTHON = sys.executable
