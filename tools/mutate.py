"""Plant every mistake of `mutations.toml` in a copy of the source, one at a time, and see that the tests notice.

    python tools/mutate.py                    all of them; half an hour on two cores
    python tools/mutate.py --only flip race   those whose name holds one of the words

As many at a time as there are cores, each in a copy of its own; --jobs 1 for less. Prints a table of mistake, the test
that noticed it, and seconds. Exit code 0: every mistake was noticed; 1: one was not; 2: a mistake no longer fits the
source (its text is not there exactly once), or the tests fail without any.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).with_name("mutations.toml")
COPIED = ("src", "tests", "docs", "tools", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PATIENCE_SECONDS = 400  # a mistake that makes the tests hang has been noticed

# the tests that a mistake must get past, in this order; those of its own file or folder come first
TESTS = (
    *("geometry", "spelling", "definition", "compensated", "choose", "blocks", "shifted"),
    *("memory", "api", "algorithms", "threads", "layer", "jit", "conventions"),
)
FIRST = {
    "algorithms": ["algorithms"],
    "algorithms/blocks": ["blocks"],
    "algorithms/compensated": ["compensated", "dask"],
    "algorithms/fourier": ["fourier"],
    "algorithms/fourier/whole": ["fourier_whole"],
    "algorithms/shifted/launch": ["algorithms", "threads"],
    "algorithms/shifted/layout": ["shifted", "algorithms"],
    "algorithms/shifted/outer_kernel": ["shifted", "algorithms"],
    "algorithms/shifted/passes": ["shifted"],
    "algorithms/tiles": ["tiles"],
    "arguments": ["api"],
    "assemble": ["pieces"],
    "autograd": ["autograd"],
    "autograd/convolve": ["autograd_convolve"],
    "dask": ["dask"],
    "dask/disk": ["dask_disk", "dask_cluster"],
    "execute": ["api"],
    "folding": ["torch", "jax"],
    "gram": ["operators"],
    "jit/cache": ["jit_cache"],
    "jit/ir": ["algorithms"],
    "piecewise": ["dask"],
}


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Replace `old`, which stands in `file` exactly once, by `new`."""

    name: str
    file: str  # below src/convgrad
    old: str
    new: str

    @property
    def tests(self) -> list[str]:
        place = Path(self.file).with_suffix("")
        above = [str(part) for part in (place, *place.parents)]
        known = next((FIRST[name] for name in above if name in FIRST), None)
        if known is None:  # the tests that are named like the file, or like its folder
            known = [name for name in above if (ROOT / "tests" / f"test_{name}.py").exists()]
        return [f"tests/test_{name}.py" for name in dict.fromkeys([*known, *TESTS])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="at a time; one a core")
    options = parser.parse_args()
    mutations = [Mutation(**entry) for entry in tomllib.loads(DATA.read_text("utf-8"))["mutation"]]
    misfits = [f"{m.name}: its text stands {n} times in {m.file}" for m in mutations if (n := places(m)) != 1]
    if misfits or len({m.name for m in mutations}) < len(mutations):
        print("mend tools/mutations.toml:", *misfits or ["two have one name"], sep="\n  ", file=sys.stderr)
        return 2
    chosen = [m for m in mutations if any(word in m.name for word in options.only)]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(options.jobs) as pool:
        folders: Queue[Path] = Queue()
        for _ in range(options.jobs):
            folders.put(stack.enter_context(copied()))
        failing = []
        for name, (failed, seconds) in zip(
            needed := sorted({test for mutation in chosen for test in mutation.tests}),
            pool.map(lambda test: attempt(folders, None, [test]), needed),
            strict=True,
        ):
            print(f"{'(none)':<58} {failed or name.removeprefix('tests/'):<70} {seconds:6.1f} s", flush=True)
            failing += [failed] if failed else []
        if failing:
            print("without any mistake, this fails:", *failing, sep="\n  ", file=sys.stderr)
            return 2
        survivors = 0
        attempts = pool.map(lambda mutation: attempt(folders, mutation, mutation.tests), chosen)
        for mutation, (failed, seconds) in zip(chosen, attempts, strict=True):
            survivors += not failed
            print(f"{mutation.name:<58} {failed or 'NOT NOTICED':<70} {seconds:6.1f} s", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mistakes noticed")
    return 1 if survivors else 0


def attempt(folders: Queue[Path], mutation: Mutation | None, tests: list[str]) -> tuple[str, float]:
    """`run` in a free folder, with this mistake."""
    folder = folders.get()
    try:
        with contextlib.nullcontext() if mutation is None else planted(folder, mutation):
            return run(folder, tests)
    finally:
        folders.put(folder)


def places(mutation: Mutation) -> int:
    """How often the text to replace stands in its file."""
    path = ROOT / "src" / "convgrad" / mutation.file
    return path.read_text("utf-8").count(mutation.old) if path.exists() else 0


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the project in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="convgrad-mutate-") as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "_build"))
            else:
                shutil.copy(source, folder / part)
        yield folder


@contextmanager
def planted(folder: Path, mutation: Mutation) -> Iterator[None]:
    path = folder / "src" / "convgrad" / mutation.file
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        yield
    finally:
        path.write_text(text, "utf-8")


def run(folder: Path, tests: list[str]) -> tuple[str, float]:
    """(the test that failed first, empty where all pass; seconds)."""
    # kernels are kept by the text they were made from, so that the copies may share them
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "CONVGRAD_CACHE_DIR": str(folder / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # two versions of a file within one second would share theirs
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "(no answer in time)", time.monotonic() - start
    seconds = time.monotonic() - start
    if done.returncode == 0:
        return "", seconds
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed or [f"(exit code {done.returncode})"])[0].removeprefix("tests/"), seconds


if __name__ == "__main__":
    sys.exit(main())
