"""The kit finds what was planted, makes it small, and goes on; what it prints runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from random import Random

import numpy as np
import pytest
from peers import peer

import convgrad.conformance as kit
from convgrad.cli import main
from convgrad.conformance import campaign, dialects, files
from convgrad.conformance.capabilities import Capabilities
from convgrad.conformance.case import Case
from convgrad.conformance.findings import Finding
from convgrad.conformance.judge import Bench
from convgrad.conformance.processes import Limits
from convgrad.conformance.report.page import render
from convgrad.conformance.report.text import text
from convgrad.conformance.sampler import Wishes, cases, corners, shorter
from convgrad.conformance.script import LAYOUT_LINES, namespace, reproduction
from convgrad.conformance.shrink import cost, shrink
from convgrad.errors import InputError
from convgrad.geometry import Axis
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse, spell

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parent
QUICK = Limits(seconds=0.5, memory=256 << 20, growth=48 << 20, leak=1 << 20)


@pytest.fixture(autouse=True)
def children_find_the_planted_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.setenv("PYTHONPATH", f"{TESTS.parent / 'src'}:{TESTS}")  # of scripts and of pytest in a test
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "1")
    monkeypatch.setattr(campaign, "SHRINK_SECONDS", 60.0)  # also on a busy machine all is reached that is asserted
    monkeypatch.setattr(campaign, "CONFIRMATIONS", 1)


@pytest.fixture
def barely_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every attempt costs a process."""
    monkeypatch.setattr(campaign, "SHRINK_SECONDS", 0.5)


def found(name: str, tried: int = 200) -> Finding:
    """What the kit finds first in a planted backend."""
    report = kit.check(f"planted:{name}", most_cases=tried, most_findings=1, seed=1, limits=QUICK, measured=False)
    (finding,) = report.findings
    return finding


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


# ---- planted mistakes


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    report = kit.check("planted:right", most_cases=150, seed=1, limits=QUICK)
    assert report.ok and report.tried == 150 and report.processes == 1
    assert report.ulps.keys() == {4096, 25088, 401408} and report.batch["forward"]["differ"] == 0


def test_a_flipped_kernel_is_found_made_small_and_named() -> None:
    finding = found("flip")
    assert finding.verdict.kind == "wrong" and "the kernel is flipped" in finding.diagnosis
    assert np.prod(finding.case.geometry.kernel_size) <= 3 and finding.case.geometry.rank == 1
    done = run(finding.reproduction)
    assert re.match(r"[1-9]\d* of \d+ entries are wrong: \[", done.stdout), done.stderr


def test_a_mistake_with_groups_needs_two_of_them() -> None:
    finding = found("groups")
    g = finding.case.geometry
    assert finding.verdict.kind == "wrong" and g.groups == 2 and g.rank == 1 and g.batch == 1
    assert "groups" in finding.cause and not any(a.stride > 1 or a.before for a in g.axes)


def test_a_missing_tail_is_found_at_its_smallest_size() -> None:
    finding = found("tail")
    assert finding.case.geometry.output_size[-1] == 5
    assert "the wrong entries are zero" in finding.diagnosis and "last position" in finding.diagnosis


def test_a_process_that_dies_is_a_finding(barely_shrunk: None) -> None:
    finding = found("abort")
    assert finding.verdict.kind == "crash" and finding.verdict.message.startswith("SIGABRT")
    assert any(axis.dilation > 1 and axis.kernel > 1 for axis in finding.case.geometry.axes)
    assert run(finding.reproduction).returncode < 0


def test_a_run_goes_on_after_a_process_has_died(barely_shrunk: None) -> None:
    wishes = Wishes(roles=("forward",), dtypes=("float32",))
    report = kit.check("planted:abort", most_cases=12, seed=1, wishes=wishes, limits=QUICK, measured=False)
    assert report.tried == 12 and report.processes > report.failed > 1
    assert report.failed == sum(finding.seen for finding in report.findings)


def test_a_hang_is_a_finding(barely_shrunk: None) -> None:
    finding = found("hang")
    assert finding.verdict.kind == "hang" and finding.verdict.message == "no answer after 0.5 s"
    assert finding.case.role == "weight_grad" and finding.case.geometry.batch > 2


def test_memory_beyond_the_limit_is_a_finding() -> None:
    finding = found("memory")
    assert finding.verdict.kind == "memory" and finding.case.role == "input_grad"


def test_memory_that_is_never_given_back_is_a_finding() -> None:
    finding = found("leak")
    assert finding.verdict.kind == "leak" and re.fullmatch(r"20\d\d KiB more with every call", finding.verdict.message)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("repeat", "entries differ between two runs"),
        ("threads", "entries differ between 1 and 2 threads"),
        ("batch", "entries of the last image differ, alone"),
        ("inputs", "an operand has changed"),
        ("error", "ValueError: one output"),
        ("shape", "the result has shape"),
    ],
)
def test_broken_promises_are_findings(name: str, told: str) -> None:
    finding = found(name)
    assert finding.verdict.kind == name and told in finding.verdict.message
    assert finding.alone and finding.rate == 1


def test_the_same_seed_finds_the_same() -> None:
    first, again = found("tail"), found("tail")
    assert (first.case, first.first, first.number) == (again.case, again.first, again.number)


# ---- ourselves


def test_ours_passes_in_every_algorithm_and_on_a_lower_instruction_set() -> None:
    report = kit.check("ours", most_cases=250, seed=3, wishes=Wishes(isas=("", "generic")), measured=False)
    assert report.ok, text(report)
    assert {algorithm for algorithm, _, _ in report.by_program} >= {"im2col", "taps"}


@pytest.mark.skipif(not Machine.here().amx, reason="this process has no matrix tiles (AMX)")
def test_every_instruction_set_of_the_cpu_includes_its_matrix_unit(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--isa", "all", "--algorithms", "tiles", "--dtypes", "float32,bfloat16", "--cases", "60", "--seed", "1"]
    assert main(["check", "--backend", "ours", *asked]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  tiles")]
    assert {(isa, dtype) for _, isa, dtype, _ in lines} == {("amx", "float32"), ("amx", "bfloat16")}


# ---- cases


SAMPLED = list(itertools.islice(cases(dialects.find("ours"), Wishes(), 5), 1500))


def test_every_corner_is_drawn_often() -> None:
    counts = {name: sum(name in corners(case) for case in SAMPLED) for name in {n for c in SAMPLED for n in corners(c)}}
    assert len(counts) >= 22 and min(counts.values()) >= 5, counts
    assert counts["3-D"] > 300 and counts["stride"] > 300 and counts["padding > kernel/2"] > 300


def test_draws_are_the_seeds_own_and_stay_inside_the_capabilities() -> None:
    narrow = dataclasses.replace(
        dialects.find("planted:right"),
        capabilities=Capabilities(ranks=(2,), stride=False, groups=False, padding="symmetric", batch=False),
    )
    drawn = list(itertools.islice(cases(narrow, Wishes(dtypes=("float32",)), 9), 200))
    assert drawn == list(itertools.islice(cases(narrow, Wishes(dtypes=("float32",)), 9), 200))
    for case in drawn:
        g = case.geometry
        assert g.rank == 2 and g.batch == g.groups == 1 and case.dtype == "float32"
        assert all(a.stride == 1 and a.before == a.after for a in g.axes)


def test_whole_numbers_are_so_small_that_every_sum_is_exact() -> None:
    for case in SAMPLED:
        if case.data == "whole":
            assert case.magnitude >= 1 and case.terms * case.magnitude**2 <= 2**24
    assert Case("weight_grad", parse("n4 i100x100 k3x3"), "bfloat16").magnitude == 0


@pytest.mark.parametrize("layout", LAYOUT_LINES)
def test_a_layout_changes_where_numbers_lie_and_not_what_they_are(layout: str) -> None:
    names = namespace()
    names["x"] = x = np.arange(24, dtype="float32").reshape(2, 3, 4)
    exec(LAYOUT_LINES[layout].format("x"), names)
    laid = names["x"]
    assert isinstance(laid, np.ndarray)
    assert (laid == (x[:1] if layout == "expanded" else x)).all()
    changed = (laid.strides, laid.flags.aligned, laid.flags.writeable, laid.dtype.byteorder, laid.ctypes.data % 8)
    original = np.arange(24, dtype="float32").reshape(2, 3, 4)
    assert changed != (original.strides, True, True, "=", original.ctypes.data % 8)


def test_a_case_survives_its_json() -> None:
    for case in SAMPLED[:100]:
        assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case
    with pytest.raises(InputError, match="'backward' is unknown; accepted: forward, input_grad, weight_grad"):
        Case.from_json(SAMPLED[0].to_json() | {"role": "backward"})
    with pytest.raises(InputError, match="is no case"):
        Case.from_json({"role": "forward"})


# ---- shrinking


@pytest.mark.parametrize(
    ("fails", "smallest"),
    [
        (lambda g: True, "n1 ic1 oc1 i1 k1"),
        (lambda g: g.groups > 2, "n1 ic3 oc3 i1 k1 g3"),
        (lambda g: any(a.stride > a.kernel for a in g.axes), "n1 ic1 oc1 i1 k1 s2"),
        (lambda g: g.rank == 3 and g.batch > 1, "n2 ic1 oc1 i1x1x1 k1x1x1"),
        (lambda g: max(g.output_size) > 3, "n1 ic1 oc1 i4 k1"),
        (lambda g: any(a.dilation > 1 and a.kernel > 2 for a in g.axes), "n1 ic1 oc1 i1 k3 p2 d2"),
    ],
)
def test_shrinking_leaves_what_a_failure_needs(fails: Callable[..., bool], smallest: str) -> None:
    large = "n5 ic12 oc6 i19x23x17 k3x4x2 s4x5x1 p2x3x0 d1x2x3 g3"
    case = Case("forward", parse(large), data="real", layouts=("strided", "channels_last"), threads=3, isa="avx2")
    shrunk = shrink(case, lambda other: fails(other.geometry), lambda other: True, 60)
    assert shrunk == Case("forward", parse(spell(shrunk.geometry)), data="ones")
    if "d2" in smallest:
        assert cost(shrunk) <= cost(dataclasses.replace(shrunk, geometry=parse(smallest)))
    else:
        assert spell(shrunk.geometry) == smallest


def test_an_axis_is_shortened_by_whole_outputs() -> None:
    rng = Random(1)
    for _ in range(500):
        a = Axis(rng.randint(1, 30), rng.randint(1, 3), rng.randint(1, 4), 1, rng.randint(2, 6), rng.randint(2, 6))
        for outputs in range(1, a.output):
            assert shorter(a, outputs).output == outputs and shorter(a, outputs).input >= 1


# ---- reproductions


@pytest.mark.parametrize("name", ["torch", "jax", "scipy", "autograd", "sigpy", "mlx"])
@pytest.mark.parametrize("role", ROLES)
def test_a_reproduction_needs_numpy_and_the_library_alone(name: str, role: str) -> None:
    peer(name)
    dialect = dialects.find(name)
    geometry = parse("i6x7 k2x3 p1x2") if name == "scipy" else parse("n2 ic2 oc3 i6x7 k2x3 p1x2")
    case = Case(role, geometry, "float32", algorithm=dialect.capabilities.algorithms[0], seed=4)
    script = reproduction(dialect, case, "shown by a test")
    assert "convgrad" not in script
    done = run(script)
    assert done.stdout.startswith("0 of "), done.stderr
    assert Bench(dialect).judge(case).ok


def test_a_reproduction_of_real_numbers_has_the_bound_in_it() -> None:
    script = reproduction(dialects.find("ours"), Case("forward", parse("ic2 i9 k3"), data="real"), "")
    done = run(script)
    assert done.stdout.startswith("0 of 7 entries are wrong"), done.stderr


def test_the_known_wrong_gradient_of_pytorch_is_found_and_its_script_shows_it(
    tmp_path: Path, barely_shrunk: None
) -> None:
    peer("torch")
    seen = Case("weight_grad", parse("n2 ic2 oc4 i3x17x17 k4x5x1 s2x3x1 p3x1x0"), seed=3)
    report = kit.replay("torch", [seen])
    if report.ok:
        pytest.skip("this PyTorch, or this CPU, gets it right")
    (path,) = files.save(tmp_path, report)
    done = run(path.with_suffix(".py").read_text("utf-8"))
    assert done.returncode < 0 or re.match(r"[1-9]\d* of \d+ entries are wrong", done.stdout), done.stderr
    assert kit.replay("ours", files.load(tmp_path)).ok


# ---- reports, files, command


def test_the_page_holds_every_backend_and_points_nowhere() -> None:
    reports = [
        kit.check(f"planted:{name}", most_cases=15, seed=1, limits=QUICK, measured=name == "right")
        for name in ("right", "flip")
    ]
    page = render(reports)
    assert page.count("planted:right") >= 4 and "the kernel is flipped" in page and "tap_by_tap" in page
    assert not re.search(r"https?://|<script|src=", page)
    assert "prefers-color-scheme: dark" in page and "Nothing found in 15 cases with seed 1." in page
    assert all(f'href="#{name}"' in page for name in re.findall(r'<section id="(\w+)"', page))


def test_the_command_says_what_it_found_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--backend", "planted:flip", "--cases", "8", "--save", str(tmp_path / "kept"), "-q"]) == 1
    told = capsys.readouterr().out
    assert re.search(r"1\. wrong numbers \(\d+ cases?\): ", told) and "looks like: the kernel is flipped" in told
    page = tmp_path / "page.html"
    argv = [
        "check",
        "--backend",
        "planted:flip",
        "--replay",
        str(tmp_path / "kept"),
        "--json",
        "--html",
        str(page),
        "-q",
    ]
    assert main(argv) == 1
    (result,) = json.loads(capsys.readouterr().out)["result"]
    assert result["findings"][0]["kind"] == "wrong" and result["failed"] == result["cases"] > 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert main(["check", "--backend", "ours", "--replay", str(tmp_path / "kept"), "-q"]) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--backend", "nosuch"], "backend = 'nosuch'|nosuch: is no backend"),
        (["--backend", "planted:nothing"], "planted:nothing: cannot be had"),
        (["--backend", "math:pi"], "math:pi: has no function forward"),
        (["--dtypes", "int8"], "dtypes = 'int8': is nothing that ours has; accepted: float32, float64"),
        (["--replay", "nowhere"], "nowhere: holds no case"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *argv]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dialects, "find_spec", lambda name: None)
    assert main(["check", "--backend", "torch"]) == 3
    assert "torch is not installed, and the check of it needs it" in capsys.readouterr().err


# ---- plugin


def test_the_fixture_passes_a_right_backend_and_fails_a_wrong_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_right(conformance):
            assert conformance("planted:right", cases=20).ok

        def test_wrong(conformance):
            conformance("planted:groups", cases=6, roles=("forward",), dtypes=("float64",))
        """
    )
    installed = metadata.entry_points(group="pytest11", name="convgrad")
    done = pytester.runpytest_subprocess(*([] if installed else ["-p", "convgrad.conformance.plugin"]))
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*planted:groups: 6 cases in *", "*wrong numbers (* cases): forward, float64: *groups*"])
