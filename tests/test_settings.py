"""The environment variables: what each does, and what a wrong value says."""

from __future__ import annotations

from pathlib import Path

import pytest

from convgrad import UnsupportedError, settings


@pytest.mark.parametrize(
    ("variable", "value", "read", "message"),
    [
        (
            "CONVGRAD_NUM_THREADS",
            "two",
            settings.num_threads,
            "CONVGRAD_NUM_THREADS = 'two': is no number of threads; accepted: a whole number >= 1, or unset",
        ),
        (
            "CONVGRAD_NUM_THREADS",
            "0",
            settings.num_threads,
            "CONVGRAD_NUM_THREADS = '0': is no number of threads; accepted: a whole number >= 1, or unset",
        ),
        (
            "CONVGRAD_JIT",
            "yes",
            settings.jit_enabled,
            "CONVGRAD_JIT = 'yes': is neither on nor off; accepted: 0, 1, or unset",
        ),
        (
            "CONVGRAD_ISA",
            "avx512",
            lambda: settings.limit_isa("avx2"),
            "CONVGRAD_ISA = 'avx512': is no level that this CPU has (it has avx2); accepted: generic, sse2, avx2",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable, value, read, message, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UnsupportedError) as caught:
        read()
    assert str(caught.value) == message


def test_a_lower_instruction_set_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVGRAD_ISA", raising=False)
    assert settings.limit_isa("avx512") == "avx512"
    monkeypatch.setenv("CONVGRAD_ISA", "sse2")
    assert settings.limit_isa("avx512") == "sse2"
    monkeypatch.setenv("CONVGRAD_ISA", "generic")
    assert settings.limit_isa("neon") == "generic"


def test_the_cache_folder_is_the_users_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", str(tmp_path))
    assert settings.cache_dir() == tmp_path
    monkeypatch.setenv("CONVGRAD_CACHE_DIR", "")
    assert settings.cache_dir() is None
    monkeypatch.delenv("CONVGRAD_CACHE_DIR")
    found = settings.cache_dir()
    assert found is None or found.name == "convgrad"


def test_threads_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", "7")
    assert settings.num_threads() == 7
    monkeypatch.delenv("CONVGRAD_NUM_THREADS")
    assert settings.num_threads() is None
