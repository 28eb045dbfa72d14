"""Settings of the whole suite: deterministic draws, as many as the run is meant for; and one browser for all pages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, eventually, sized
from hypothesis import HealthCheck, settings

os.environ["CONVGRAD_TUNING"] = ""  # what this user has tuned is no part of the suite
os.environ["KERAS_BACKEND"] = "torch"  # Keras chooses when it is imported

settings.register_profile(
    "convgrad",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=int(os.environ.get("CONVGRAD_TEST_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("convgrad")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What a test sets in the environment, by `--threads` for instance, ends with it; so does the width of JAX."""
    before = dict(os.environ)
    yield
    jax: Any = sys.modules.get("jax")
    if jax is not None and jax.config.jax_enable_x64:
        jax.config.update("jax_enable_x64", False)
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="session")
def explain_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `convgrad explain`, as a file."""
    import convgrad

    path = tmp_path_factory.mktemp("explain") / "explain.html"
    path.write_text(convgrad.explain().html, "utf-8")
    return path


@pytest.fixture
def at(browser: Any, explain_page: Path) -> Any:
    """Opens that page with a link's setting and gives the browser; at the end nothing may stand in its console."""

    def opened(link: str = "", width: int = 1440, height: int = 1000, **asked: bool) -> Any:
        sized(browser, width, height, **asked)
        browser.get("about:blank")
        browser.get(f"{explain_page.as_uri()}#{link}" if link else explain_page.as_uri())
        assert eventually(lambda: browser.execute_script("return 'ready' in document.documentElement.dataset"))
        return browser

    browser.get_log("browser")
    yield opened
    assert browser.get_log("browser") == []
