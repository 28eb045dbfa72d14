"""The command line: every command answers, JSON parses, errors are one line with the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import convgrad
from convgrad.cli import COMMANDS, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"    {name}" in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_takes_the_common_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--json", "--seed", "--threads", "--quiet"))


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "convgrad", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"convgrad {convgrad.__version__}\n"


def test_no_command_prints_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: convgrad" in capsys.readouterr().out


def test_plan_prints_all_three_roles_or_the_one_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "n8", "ic64", "oc64", "i56x56", "k3x3", "p1"]) == 0
    assert capsys.readouterr().out.count("n8 ic64 oc64 i56x56 k3x3 p1  float32") == 3
    assert main(["plan", "i5 k3", "--role", "input_grad", "--dtype", "float64"]) == 0
    out = capsys.readouterr().out
    assert out == f"{convgrad.plan_for('input_grad', 'i5 k3', dtype='float64')}\n"


def test_plan_as_json_holds_what_the_text_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "n2 ic3 oc4 i9x9 k3x3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["command"] == "plan"
    first = document["result"][0]
    assert first["role"] == "forward" and first["shapes"]["y"] == [2, 4, 7, 7]
    assert first["operations"] == 2 * 2 * 4 * 3 * 49 * 9
    assert {first["algorithm"], *first["rejected"]} == {"shifted", "tiles", "fourier", "im2col", "taps"}


def test_info_names_versions_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert convgrad.__version__ in text and "usable cores" in text
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["result"]
    assert facts["versions"]["convgrad"] == convgrad.__version__
    assert facts["convgrad"]["algorithms"] == "shifted, tiles, fourier, im2col, taps"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plan", "i5 k6"], "convgrad: kernel = 6: spans 6 positions, but input 5 plus padding 0+0 offers 5; accepted"),
        (["plan", "i5 q6"], "convgrad: spelling = 'i5 q6': the word 'q6' is none of"),
        (["plan", "i5 k1", "--algorithm", "taps"], "convgrad: algorithm = 'taps': one tap"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(message) and captured.err.count("\n") == 1


def test_an_error_with_json_is_one_document_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "i5 k6", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["type"] == "GeometryError" and error["argument"] == "kernel" and error["value"] == "6"


@pytest.mark.parametrize(
    "argv", [["plan"], ["fly"], ["plan", "i5 k3", "--threads", "0"], ["plan", "i5 k3", "--seed", "-1"]]
)
def test_wrong_usage_is_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage:" in capsys.readouterr().err


def test_a_closed_pipe_ends_quietly() -> None:
    script = f"{sys.executable} -m convgrad info | true"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_threads_set_before_numpy_reach_its_blas() -> None:
    code = (
        "import sys; from convgrad.cli import main; main(['plan', 'i5 k3', '--threads', '1']); "
        "import numpy, threadpoolctl as t; print({p['num_threads'] for p in t.threadpool_info()}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "{1}"
