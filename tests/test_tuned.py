"""Tuned choices: plans follow and cite them, where they count; a broken file is reported once and stops nobody."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from oracles import assert_same

import convgrad as cg
from convgrad import api, cli, tuned
from convgrad.algorithms.matmul import IM2COL, TAPS
from convgrad.bench import measure
from convgrad.choose import choose
from convgrad.errors import InputError, UnsupportedError
from convgrad.execute import execute
from convgrad.machine import Machine
from convgrad.plan import ROLES
from convgrad.spelling import parse
from convgrad.tuned import Measured, Problem, Tuning

SERVER = Machine("avx512", 2, (49152, 2097152), "a server")
G = parse("n8 ic4 oc6 i12x12 k3x3 p1")
MEASURED = Measured({"shifted": 0.004, "im2col": 0.003, "taps": 0.002}, batch=8, threads=2, day="2026-07-31")


def tuning(role: str = "forward", dtype: str = "float32", machine: Machine = SERVER) -> Tuning:
    return Tuning({Problem.of(role, G, dtype, machine): MEASURED})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test keeps tuned choices; the folder is not there yet."""
    path = tmp_path / "settings" / "tuned.json"
    monkeypatch.setenv("CONVGRAD_TUNING", str(path))
    tuned._read_once.cache_clear()
    return path


def test_a_plan_follows_and_cites_what_was_measured() -> None:
    plan = choose("forward", G, "float32", SERVER, tuning=tuning())
    assert plan.algorithm == "taps"
    assert plan.why == "tuned on 2026-07-31 with n8 and 2 threads: 2 ms against 3 ms and 4 ms"
    assert {other.algorithm: other.reason for other in plan.rejected} == {
        "im2col": "measured 1.5 times the time",
        "shifted": "measured 2 times the time",
        "fourier": "was not there to be tuned",
        "tiles": "this process has no matrix tiles (AMX)",
    }
    untuned = choose("forward", G, "float32", SERVER, "taps")
    assert (plan.parameters, plan.error_bound) == (untuned.parameters, untuned.error_bound)


def test_a_tuned_choice_depends_neither_on_the_batch_nor_on_the_number_of_cores() -> None:
    for batch, cores in ((0, 1), (1, 2), (300, 64)):
        machine = dataclasses.replace(SERVER, cores=cores)
        assert choose("forward", G.with_batch(batch), "float32", machine, tuning=tuning()).algorithm == "taps"


@pytest.mark.parametrize(
    "problem",
    [
        {"role": "input_grad"},
        {"dtype": "float64"},
        {"machine": dataclasses.replace(SERVER, cpu="another")},
        {"machine": dataclasses.replace(SERVER, isa="avx2")},
    ],
    ids=str,
)
def test_it_counts_for_its_own_role_dtype_and_machine(problem: dict[str, object]) -> None:
    plan = choose("forward", G, "float32", SERVER, tuning=tuning(**problem))
    assert plan == choose("forward", G, "float32", SERVER)


def test_it_counts_for_its_own_geometry_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    other, kept = parse("n8 ic4 oc6 i12x12 k3x3"), tuning()
    assert choose("forward", other, "float32", SERVER, tuning=kept) == choose("forward", other, "float32", SERVER)
    assert len(kept.of(SERVER)) == 1 and not kept.of(dataclasses.replace(SERVER, cpu="another"))
    monkeypatch.setattr(tuned, "__version__", "99")
    assert kept.find("forward", G, "float32", SERVER) is None and not kept.of(SERVER)


def test_an_algorithm_that_is_asked_for_or_not_there_overrides_it() -> None:
    asked = choose("forward", G, "float32", SERVER, "im2col", tuning=tuning())
    assert asked.why == "asked for by name" and asked == choose("forward", G, "float32", SERVER, "im2col")
    gone = Tuning({Problem.of("forward", G, "float32", SERVER): dataclasses.replace(MEASURED, seconds={"gone": 1.0})})
    assert choose("forward", G, "float32", SERVER, tuning=gone) == choose("forward", G, "float32", SERVER)
    alone = Tuning({Problem.of("forward", G, "float32", SERVER): Measured({"taps": 0.5}, 1, 1, "2026-07-31")})
    plan = choose("forward", G, "float32", SERVER, tuning=alone)
    assert plan.why == "tuned on 2026-07-31 with n1 and 1 thread: 500 ms"
    reasons = {other.reason for other in plan.rejected if other.algorithm != "tiles"}
    assert reasons == {"was not there to be tuned"}


def test_calls_and_plans_read_the_file_once_and_never_write_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = np.ones((1, 4, 12, 12), "f4"), np.ones((6, 4, 3, 3), "f4")
    expected = cg.conv(x, w, padding=1)
    assert not file.parent.exists() and tuned.here().measured == {}
    tuned.store({Problem.of("forward", G, "float32", Machine.here()): MEASURED})
    plan = cg.plan_for("forward", G)
    assert plan.algorithm == "taps" and "tuned on 2026-07-31" in str(plan)
    computed = []
    monkeypatch.setattr(api, "execute", lambda plan, *arrays: computed.append(plan.algorithm) or execute(plan, *arrays))
    assert_same(cg.conv(x, w, padding=1), expected)
    assert_same(api.compute("forward", G.with_batch(1), x, w), expected)
    assert computed == ["taps", "taps"]
    file.write_text("no longer what it was", "utf-8")
    assert cg.plan_for("forward", G) == plan


def test_what_is_stored_is_read_back_and_can_be_forgotten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem.of(role, g, "float64", SERVER) for g in (G, parse("i5 k3")) for role in ROLES]
    for problem in problems:
        assert tuned.store({problem: MEASURED}) == file
    assert tuned.here().measured == dict.fromkeys(problems, MEASURED)
    slower = dataclasses.replace(MEASURED, seconds={"taps": 5.0})
    tuned.store({problems[0]: slower})
    assert tuned.here().measured[problems[0]] == slower and len(tuned.here().measured) == 6
    assert tuned.forget(G.with_batch(3)) == 3 and set(tuned.here().measured) == set(problems[3:])
    assert tuned.forget() == 3 and tuned.here().measured == {}
    assert sorted(path.name for path in file.parent.iterdir()) in ([".tuned.json.lock", "tuned.json"], ["tuned.json"])
    tuned.store({problems[0]: MEASURED})
    monkeypatch.setenv("CONVGRAD_TUNING", "")
    assert tuned.here().measured == {}


GOOD = {
    "problem": dataclasses.asdict(Problem.of("forward", G, "float32", SERVER)),
    "measured": dataclasses.asdict(MEASURED),
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"format": 1}',
        b'{"format": 1, "entries": 3}',
        b'{"format": 2, "entries": []}',
        json.dumps({"format": 1, "entries": [GOOD]}).encode()[:-20],
        json.dumps({"format": 1, "entries": [{**GOOD, "measured": {}}]}).encode(),
        json.dumps({"format": 1, "entries": [{**GOOD, "problem": {**GOOD["problem"], "role": "sideways"}}]}).encode(),
        json.dumps({"format": 1, "entries": [{**GOOD, "problem": {**GOOD["problem"], "spelling": "q9"}}]}).encode(),
        *(
            json.dumps({"format": 1, "entries": [{**GOOD, "measured": {**GOOD["measured"], "seconds": s}}]}).encode()
            for s in ({}, [], 3, {"taps": None}, {"taps": -1}, {"taps": float("nan")}, {"taps": float("inf")})
        ),
    ],
    ids=range(18),
)
def test_a_broken_file_is_reported_once_ignored_and_replaced(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"^tuned choices are ignored: .*tuned.json: ") as reported:
        assert cg.plan_for("forward", G).why.endswith("on one thread")
    assert len(reported) == 1 and "`convgrad tune --forget` begins a new one" in str(reported[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cg.plan_for("forward", G)
    problem = Problem.of("forward", G, "float32", SERVER)
    tuned.store({problem: MEASURED})
    assert tuned.here().measured == {problem: MEASURED}


def test_a_folder_in_the_way_is_reported(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.warns(RuntimeWarning, match=r"cannot be read \(Is a directory\)"):
        assert tuned.here().measured == {}
    with pytest.raises(
        InputError, match=r"tuned.json: cannot be written \(Is a directory\); accepted: a writable fold"
    ):
        tuned.store({})
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".tmp"] == []


WRITER = """
import sys
from convgrad import tuned
from convgrad.machine import Machine
from convgrad.spelling import parse
for size in range(5, 25):
    g = parse(f"n1 ic{sys.argv[1]} i{size} k3")
    problem = tuned.Problem.of("forward", g, "float32", Machine.here())
    tuned.store({problem: tuned.Measured({"taps": 1.0}, 1, 1, "2026-07-31")})
"""


def test_processes_that_store_at_once_lose_nothing(file: Path) -> None:
    pytest.importorskip("fcntl")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(n)], env=os.environ) for n in range(1, 5)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(tuned.here().measured) == 4 * 20


def test_the_command_measures_keeps_lists_and_forgets(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["n2", "ic3", "oc4", "i9x9", "k3x3"]
    assert cli.main(["tune", *words, "--rounds", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("n1 ic3 oc4 i9x9 k3x3") == 3 and str(file) in captured.out
    assert captured.err.count("1/1  n2 ic3 oc4 i9x9 k3x3") == 3
    for role in ROLES:
        plan = cg.plan_for(role, "n7 ic3 oc4 i9x9 k3x3")
        assert plan.why.startswith("tuned on 20") and "with n2 and" in plan.why
    assert cli.main(["tune", "i9 k3", "i12 k3", "--role", "forward", "--dtype", "float64", "-q", "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)["result"]
    assert captured.err == "" and [m["spelling"] for m in result["measured"]] == [
        "n1 ic1 oc1 i9 k3",
        "n1 ic1 oc1 i12 k3",
    ]
    assert all(m["seconds"][m["fastest"]] == min(m["seconds"].values()) for m in result["measured"])
    assert cli.main(["tune", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 5
    assert cli.main(["info"]) == 0
    assert f"{file}: 5 for this machine" in capsys.readouterr().out
    assert cli.main(["tune", "--forget", *words]) == 0
    assert capsys.readouterr().out == "3 forgotten\n"
    assert cli.main(["tune", "--forget", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["removed"] == 2
    assert cli.main(["tune", "--list"]) == 0
    assert capsys.readouterr().out == "nothing is tuned on this machine\n"


def test_the_command_measures_nothing_that_it_may_not_keep(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVGRAD_TUNING", "")
    assert cli.main(["tune", "i9 k3"]) == 2
    assert capsys.readouterr().err == (
        "convgrad: CONVGRAD_TUNING = '': tuned choices are neither read nor kept; "
        "accepted: an absolute path, or unset with a home\n"
    )
    with pytest.raises(UnsupportedError):
        tuned.forget()
    assert cli.main(["tune"]) == 2
    assert capsys.readouterr().err.startswith("convgrad: tune: names no problem; accepted: a spelling, as in")


def test_a_wrong_result_is_never_tuned(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convgrad.bench import tune

    right = measure.execute
    monkeypatch.setattr(tune, "execute", lambda plan, *arrays: right(plan, *arrays) + (plan.algorithm == "taps"))
    assert cli.main(["tune", "i9 k3", "-q"]) == 2 and not file.exists()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ((0.001, 0.04), {"im2col", "taps"}),  # short enough to have been a hiccup
        ((0.001, 0.06), {"im2col"}),
        ((9.0, 0.875), {"taps"}),
        ((8.0, 0.875), {"im2col", "taps"}),
    ],
)
def test_the_least_of_all_turns_counts_and_the_hopeless_have_one(
    first: tuple[float, float], again: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from convgrad.bench import tune

    ticks = iter([0.0, first[0], 0.0, first[1]])
    monkeypatch.setattr(tune, "ALGORITHMS", (IM2COL, TAPS))
    monkeypatch.setattr(tune, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(tune, "in_turns", lambda calls, rounds: {name: [0.5, 0.25, 0.5] for name in calls})
    problem, measured = tune.tune("forward", G, "float64", rounds=3, threads=5, seed=0)
    assert problem == Problem.of("forward", G, "float64", Machine.here())
    assert (measured.batch, measured.threads) == (8, 5)
    once = dict(zip(("im2col", "taps"), first, strict=True))
    assert measured.seconds == {name: 0.25 if name in again else taken for name, taken in once.items()}
