"""The pages say what is so: their code runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import dataclasses
import doctest
import importlib.util
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from peers import peer

import convgrad
from convgrad import cli
from convgrad.jit import compile as jit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)])
LIBRARIES = (
    *("torch", "jax", "scipy", "autograd", "sigpy", "dask", "xarray"),
    *("flax", "equinox", "keras", "pytensor", "skimage", "pylops"),  # of docs/recipes
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(page: Path) -> list[tuple[str, str, int]]:
    """(language, text, line of its first line) of every fenced block of a page."""
    text = page.read_text("utf-8")
    return [(found[1], found[2], text.count("\n", 0, found.start()) + 2) for found in FENCE.finditer(text)]


def need_what_it_uses(source: str) -> None:
    """Skip where a peer library, or the compiler of kernels, is not there."""
    if (source.startswith("kernel ") or 'algorithm="shifted"' in source) and jit.available() is not None:
        pytest.skip(f"no compiled kernels: {jit.available()}")
    imported = re.findall(r"^(?:>>> )?(?:import|from) ([^#\n]+)", source, re.MULTILINE)
    for name in LIBRARIES:
        if any(re.search(rf"(?:^|, ){name}\b", line.partition(" import ")[0]) for line in imported):
            peer(name)


@dataclasses.dataclass(frozen=True)
class Shown:
    """A script or a command on a page, and the output beneath it; None where the page shows none."""

    page: str
    line: int
    source: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def scripts() -> Iterator[Shown]:
    for page in PAGES:
        for (language, text, line), (next_language, next_text, _) in itertools.pairwise([*fences(page), ("", "", 0)]):
            if language == "python" and ">>>" not in text:
                yield Shown(page.name, line, text, next_text if next_language == "text" else None)


def commands() -> Iterator[Shown]:
    for page in PAGES:
        for language, text, line in fences(page):
            if language == "console":
                for shown in re.finditer(r"^\$ convgrad (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                    yield Shown(page.name, line, shown[1], shown[2] or None)


SCRIPTS, COMMANDS = list(scripts()), list(commands())
COMPUTED = ("derive", "plan", "info", "kernel")  # at once, and without files


# ---- code


@every_page
def test_examples_print_what_the_page_shows(page: Path) -> None:
    source = "\n".join(text for language, text, _ in fences(page) if language in {"python", "pycon"} and ">>>" in text)
    need_what_it_uses(source)
    test = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), 0)
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_scripts_run_on_their_own_and_print_what_the_page_shows(script: Shown) -> None:
    need_what_it_uses(script.source)
    done = subprocess.run([sys.executable, "-c", script.source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == script.output or script.output is None


def test_the_pages_have_scripts_and_examples() -> None:
    # an expression that matches nothing would pass every test above
    assert {script.page for script in SCRIPTS} >= {"tutorial.md", "numbers.md"}
    assert sum(language == "python" for page in PAGES for language, _, _ in fences(page)) >= 25


# ---- commands


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_are_accepted_and_print_what_the_page_shows(
    command: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [word.strip("\"'") for word in command.source.split()]
    cli._parser().parse_args(argv)  # raises SystemExit for what it does not know
    if argv[0] not in COMPUTED or command.output is None:
        return
    need_what_it_uses(command.source)
    cli.main(argv)
    captured = capsys.readouterr()
    printed, shown = labels(captured.out + captured.err, argv[0]), labels(command.output, argv[0])
    for part in " ".join(shown).split(" ... "):  # what the page leaves out stands between these parts
        assert part.strip(" .") in " ".join(printed)
    assert "..." in shown or printed == shown


def labels(text: str, command: str) -> list[str]:
    """What every machine prints: a derivation and an error as they are, of all else the first words of each line."""
    lines = text.rstrip("\n").split("\n")
    if command == "derive" or text.startswith("convgrad: "):
        return lines
    return [re.split(r"  +|: ", line.strip())[0] for line in lines]


def test_commands_are_shown_with_their_output() -> None:
    shown = {command.source.split()[0] for command in COMMANDS if command.output}
    assert shown >= {"train", "predict", "plan", "derive", "info"}


def test_every_command_and_every_option_is_explained() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    for command in cli.COMMANDS:
        assert f"\n## {command}\n" in page, command
        section = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
        for option in options_of(command):
            assert option in section or option in page.split("\n## ")[0], f"{command} {option}"


def options_of(command: str) -> list[str]:
    """The long options of a command, of a pair such as --augment and --no-augment the one that changes something."""
    parser = cli._parser()._subparsers._group_actions[0].choices[command]  # type: ignore[union-attr,index]
    return [action.option_strings[-1] for action in parser._actions if action.option_strings and action.dest != "help"]


def test_every_setting_of_the_environment_is_explained() -> None:
    from convgrad.settings import VARIABLES

    page = (DOCS / "commands.md").read_text("utf-8")
    assert all(f"| `{name}` |" in page for name in VARIABLES)


# ---- names


def test_every_public_name_has_its_entry_in_the_reference() -> None:
    reference = "\n".join(page.read_text("utf-8") for page in (DOCS / "api").glob("*.md"))
    for name in convgrad.__all__:
        entry = rf"^\.\. auto(function|class|exception):: {name}$"
        assert re.search(entry, reference, re.MULTILINE) or name == "__version__", name
        assert f"`{name}`" in (DOCS / "api" / "index.md").read_text("utf-8") or f"convgrad.{name}`" in reference, name


@pytest.mark.parametrize("record", [convgrad.Axis, convgrad.Geometry, convgrad.Plan, convgrad.Machine])
def test_every_field_of_a_record_is_explained(record: type) -> None:
    page = (DOCS / "api" / "records.md").read_text("utf-8")
    section = page.split(f".. autoclass:: {record.__name__}\n")[1].split(".. autoclass::")[0]
    names = {name for line in re.findall(r"^   (``.*``)$", section, re.MULTILINE) for name in re.findall(r"\w+", line)}
    assert {field.name for field in dataclasses.fields(record)} <= names


def test_every_function_of_the_autograd_adapter_is_in_the_reference() -> None:
    peer("autograd")
    from convgrad import autograd

    page = (DOCS / "api" / "autograd.md").read_text("utf-8")
    assert all(f".. autofunction:: {name}\n" in page for name in autograd.__all__)


def test_every_room_of_the_source_stands_in_the_table_of_development() -> None:
    page = (DOCS / "development.md").read_text("utf-8")
    source = Path(convgrad.__file__).parent
    rooms = {path.name + "/" for path in source.iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.name for path in source.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {room for room in rooms if f"`{room}`" not in page} == set()


# ---- links


@every_page
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        name, _, heading = target.partition("#")
        aimed = (page.parent / name).resolve() if name else page
        assert aimed.exists(), target
        if heading and aimed.suffix == ".md":
            assert heading in anchors(aimed), target


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as on GitHub."""
    text = page.read_text("utf-8")
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return names | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            for entry in tree.split():
                listed |= {found for found in page.parent.glob(f"{entry}.md") if not entry.startswith(":")}
    assert {page for page in PAGES if DOCS in page.parents} == listed


def test_decisions_are_numbered_without_gaps_and_have_three_parts() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [page.name[:5] for page in pages] == [f"{number:04}-" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text("utf-8")
        assert text.startswith(f"# {page.name[:4]}: ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


# ---- how the pages are made


def extension(name: str) -> ModuleType:
    """A Sphinx extension of docs/_ext."""
    for needed in ("sphinx", "docutils"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: it belongs to the group docs")
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_docstring_of_ours_becomes_the_sections_of_numpydoc() -> None:
    docstring = """\
Gradient of `conv` by its weight.

gy: (N, OC, *O) gradient of the loss.   x: (N, IC, *I) input, of
two lines.
stride, dilation: an int.
The other options: as in the call of `conv`.
Returns gw: (OC, IC/groups, *K); a sum.
Raises GeometryError where nothing fits, UnsupportedError for other dtypes.
Source: `definition.weight_grad`, derived in docs/derivation.md.

>>> 1 + 1
2
"""
    expected = r"""
Gradient of `conv` by its weight.

Parameters
----------
gy : (N, OC, \*O)
    gradient of the loss.
x : (N, IC, \*I)
    input, of two lines.
stride, dilation
    an int.
other options
    as in the call of `conv`.

Returns
-------
gw : (OC, IC/groups, \*K)
    a sum.

Raises
------
GeometryError
    where nothing fits
UnsupportedError
    for other dtypes

Notes
-----
Source: `definition.weight_grad`, derived in :doc:`/derivation`.


Examples
--------
>>> 1 + 1
2

"""
    converted = extension("house_docstrings").converted(docstring.splitlines())
    assert "\n".join(["", *converted]) == expected


def test_prose_and_tables_stay_what_they_are() -> None:
    lines = ["One relation:", "", "a = b * c", "", "Then |x| and *y*."]
    converted = extension("house_docstrings").converted(lines)
    assert converted == [
        "One relation:",
        "",
        ".. code-block:: text",
        "",
        "   a = b * c",
        "",
        r"Then \|x\| and \*y\*.",
        "",
    ]


def test_a_formula_keeps_its_number() -> None:
    display = extension("mathml").display
    assert display(r"y = x \tag{7}").endswith('</math><span class="number">(7)</span></div>\n')
    assert "number" not in display("y = x") and "tag" not in display(r"y = x \tag{7}")
