"""The shape of the house: imports point one way, importing costs nothing, comparisons have no tolerances."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import convgrad

SRC = Path(convgrad.__file__).parent
TESTS = Path(__file__).parent

# low to high: a module imports only from its own room and from those before it
LAYERS = [
    *("errors", "foreign", "settings", "boundary", "geometry", "spelling", "definition", "touching", "pieces"),
    *("machine", "plan", "tuned", "threads"),
    "jit",
    *("algorithms", "bfloat16", "complexes", "assemble", "integers", "choose", "execute", "piecewise"),
    *("arguments", "arrays", "repeats", "samples", "api", "derivatives", "gram", "operators", "signal", "ndimage"),
    "folding",
    *("layer", "autograd", "dask", "torch", "jax", "sigpy"),
    *("explanation", "train", "deblur", "bench", "conformance"),
    *("cli", "__main__"),
]

# optional libraries, and the only rooms that may import them
OPTIONAL = {
    "autograd": {"autograd", "train"},
    "PIL": {"train", "deblur"},
    "dask": {"dask"},
    "zarr": {"dask", "deblur"},
    "tifffile": {"deblur"},
    "rich": {"train"},
    "threadpoolctl": {"cli"},
    "llvmlite": {"jit"},
    "ml_dtypes": {"torch"},
    "torch": {"bench", "torch"},
    "jax": {"bench", "jax"},
    "sigpy": {"sigpy"},
    "scipy": {"bench", "operators"},
}
NEVER = {"sklearn", "matplotlib", "distributed"}


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """(top-level library, or "convgrad" and the room) for every import statement, lazy ones included."""
    package = ["convgrad", *path.relative_to(SRC).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module.split(".") if node.module else [])]
            if full[0] != "convgrad":
                yield full[0], None
            elif len(full) > 1:
                yield "convgrad", full[1]
            else:
                yield from (("convgrad", alias.name) for alias in node.names)


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_one_way_and_optional_libraries_stay_at_the_edge(path: Path) -> None:
    own = room(path)
    for library, target in imports(path):
        assert library not in NEVER, f"{own} imports {library}"
        assert own in OPTIONAL.get(library, {own}), f"{own} imports {library}"
        if library == "convgrad" and own != "__init__" and target in LAYERS:
            assert LAYERS.index(target) <= LAYERS.index(own), f"{own} imports {target}, which stands above it"


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {room(path) for path in SRC.rglob("*.py")} - {"__init__"}
    assert rooms == set(LAYERS)


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_but_names() -> None:
    bare = loaded_after("import typing, __future__")
    added = {name for name in loaded_after("import convgrad") - bare if not name.startswith("_")}
    assert added == {"convgrad"}


def test_computing_loads_no_optional_library() -> None:
    code = "import numpy as np, convgrad\nconvgrad.conv(np.ones((1, 1, 3)), np.ones((1, 1, 2)))"
    assert not loaded_after(code) & ({*OPTIONAL, *NEVER} - {"llvmlite"})  # a dependency, loaded with the first kernel


def test_the_command_line_answers_for_help_without_numpy() -> None:
    assert "numpy" not in loaded_after("from convgrad.cli import main; main(['--help'])")


def test_every_public_name_can_be_had() -> None:
    assert set(convgrad.__all__) == set(dir(convgrad))
    for name in convgrad.__all__:
        assert getattr(convgrad, name) is not None
    with pytest.raises(AttributeError, match="module 'convgrad' has no attribute 'deconvolve'"):
        _ = convgrad.deconvolve


@pytest.mark.parametrize("module", ["api", "autograd", "dask", "deblur", "ndimage", "signal", "spelling"])
def test_a_module_is_reached_through_the_package(module: str) -> None:
    code = f"import convgrad; print(convgrad.{module}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"convgrad.{module}"


def test_the_version_is_written_once() -> None:
    from importlib.metadata import version

    assert version("convgrad") == convgrad.__version__


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.name)
def test_only_the_oracles_compare_with_a_bound(path: Path) -> None:
    banned = {"all" + "close", "assert_" + "allclose", "is" + "close", "approx"}
    used = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    assert not used & banned


def test_no_source_file_asserts_against_its_user() -> None:
    # an assert may only narrow a type for the reader and the checker
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Assert):
                assert "isinstance" in ast.unparse(node.test) or "is not None" in ast.unparse(node.test), path
