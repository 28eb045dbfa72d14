"""A real browser for tests: Chromium without a window, driven through chromedriver; absent, skipped with a reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peers import peer


@contextmanager
def chromium(downloads: Path | None = None) -> Iterator[Any]:
    """A selenium driver. Without a browser the test skips, or fails if CONVGRAD_REQUIRE_PEERS names chromium."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        lacking = "chromium" if binary is None else "chromedriver"
        if "chromium" in os.environ.get("CONVGRAD_REQUIRE_PEERS", "").split(","):
            pytest.fail(f"CONVGRAD_REQUIRE_PEERS asks for chromium: no {lacking} on the path")
        pytest.skip(f"no {lacking} on the path, and this test drives a page")
    webdriver = peer("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()


def sized(driver: Any, width: int, height: int, *, dark: bool = False, calm: bool = False) -> None:
    """Pretend a screen of this size, and what its reader asked for."""
    mobile = width < 600
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = {
        "prefers-color-scheme": "dark" if dark else "light",
        "prefers-reduced-motion": "reduce" if calm else "no-preference",
    }
    wanted = [{"name": name, "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})
