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
        (
            "CONVGRAD_ISA",
            "AVX9",
            settings.isa_limit,
            "CONVGRAD_ISA = 'AVX9': is no instruction set known here; "
            "accepted: avx2, avx512, generic, neon, sse2, or unset",
        ),
        (
            "CONVGRAD_ISA",
            "neon",
            lambda: settings.limit_isa("sse2"),
            "CONVGRAD_ISA = 'neon': is no level that this CPU has (it has sse2); accepted: generic, sse2",
        ),
        (
            "CONVGRAD_CACHE_DIR",
            "kernels",
            settings.cache_dir,
            "CONVGRAD_CACHE_DIR = 'kernels': is relative: another place after every change of directory; "
            "accepted: an absolute path, empty for no cache, or unset",
        ),
        (
            "CONVGRAD_TUNING",
            "tuned.json",
            settings.tuning_file,
            "CONVGRAD_TUNING = 'tuned.json': is relative: another place after every change of directory; "
            "accepted: an absolute path, empty for no tuned choices, or unset",
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


def test_what_is_not_set_limits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in settings.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert settings.isa_limit() is None and settings.jit_enabled() and settings.num_threads() is None
    for variable in ("CONVGRAD_ISA", "CONVGRAD_JIT", "CONVGRAD_NUM_THREADS"):
        monkeypatch.setenv(variable, "")
    assert settings.isa_limit() is None and settings.jit_enabled() and settings.num_threads() is None
    monkeypatch.setenv("CONVGRAD_JIT", "0")
    assert not settings.jit_enabled()


@pytest.mark.parametrize("detected", [*settings.X86_LEVELS, "neon"])
def test_every_level_below_can_be_forced_and_none_above(detected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = settings.ARM_LEVELS if detected == "neon" else settings.X86_LEVELS
    for level in {*settings.X86_LEVELS, *settings.ARM_LEVELS}:
        monkeypatch.setenv("CONVGRAD_ISA", level)
        assert settings.isa_limit() == level
        if level in levels[: levels.index(detected) + 1]:
            assert settings.limit_isa(detected) == level
        else:
            with pytest.raises(UnsupportedError, match="is no level that this CPU has"):
                settings.limit_isa(detected)


@pytest.mark.parametrize("text", ["-1", "1.5", "0x2", " 2", "+2", "٣", "²", "9" * 5000])
def test_only_plain_digits_are_a_number_of_threads(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAD_NUM_THREADS", text)
    with pytest.raises(UnsupportedError, match="is no number of threads"):
        settings.num_threads()


@pytest.mark.parametrize(
    ("system", "variable", "default"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache/convgrad"),
        ("darwin", None, "Library/Caches/convgrad"),
        ("win32", "LOCALAPPDATA", "AppData/Local/convgrad"),
    ],
)
def test_each_system_has_its_own_place(
    system: str, variable: str | None, default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONVGRAD_CACHE_DIR", raising=False)
    monkeypatch.setattr(settings.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, "relative/is/ignored")
    assert settings.cache_dir() == tmp_path / default
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "named"))
        assert settings.cache_dir() == tmp_path / "named" / "convgrad"


@pytest.mark.parametrize(
    ("system", "variable", "default"),
    [
        ("linux", "XDG_CONFIG_HOME", ".config/convgrad/tuned.json"),
        ("darwin", None, "Library/Application Support/convgrad/tuned.json"),
        ("win32", "APPDATA", "AppData/Roaming/convgrad/tuned.json"),
    ],
)
def test_each_system_has_its_own_place_for_tuned_choices(
    system: str, variable: str | None, default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONVGRAD_TUNING", raising=False)
    monkeypatch.setattr(settings.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, "relative/is/ignored")
    assert settings.tuning_file() == tmp_path / default
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "named"))
        assert settings.tuning_file() == tmp_path / "named" / "convgrad" / "tuned.json"
    monkeypatch.setenv("CONVGRAD_TUNING", str(tmp_path / "my.json"))
    assert settings.tuning_file() == tmp_path / "my.json"
    monkeypatch.setenv("CONVGRAD_TUNING", "")
    assert settings.tuning_file() is None


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
