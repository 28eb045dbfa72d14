"""A real browser for tests: Chromium without a window, driven through chromedriver; absent, skipped with a reason.

Below it the hands and eyes of the tests: what they do on a page, and what they read from it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from peers import peer


@contextmanager
def chromium() -> Iterator[Any]:
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


def cell(array: str, place: tuple[int, ...]) -> str:
    return f"#grid-{array} [role=gridcell][data-at='{place[0]},{place[1]}']"


def lit(driver: Any, array: str) -> set[tuple[int, ...]]:
    return places(driver, f"#grid-{array} [role=gridcell].met")


def places(driver: Any, selector: str) -> set[tuple[int, ...]]:
    script = "return [...document.querySelectorAll(arguments[0])].map((c) => c.dataset.at.split(',').map(Number))"
    return {tuple(place) for place in driver.execute_script(script, selector)}


def text(driver: Any, selector: str) -> str:
    return str(driver.execute_script("return document.querySelector(arguments[0]).textContent", selector))


def texts(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    return list(driver.execute_script(script, selector))


def number(driver: Any, selector: str) -> float:
    return float(text(driver, selector).replace("\N{MINUS SIGN}", "-"))


def scroll_to(driver: Any, selector: str) -> Any:
    element = driver.find_element("css selector", selector)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    return element


def click(driver: Any, selector: str) -> None:
    peer("selenium")
    from selenium.webdriver import ActionChains

    ActionChains(driver).move_to_element(scroll_to(driver, selector)).click().perform()


def move_to(driver: Any, selector: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(driver).move_to_element(scroll_to(driver, selector)).perform()


def focus(driver: Any, selector: str) -> None:
    driver.execute_script("document.querySelector(arguments[0]).focus()", selector)


def keys(driver: Any, *names: str) -> None:
    """Press keys, named as in JavaScript, one after the other."""
    from selenium.webdriver import ActionChains, Keys

    known = {"Enter": Keys.ENTER, "Tab": Keys.TAB, "Home": Keys.HOME, "End": Keys.END, "Escape": Keys.ESCAPE}
    known |= {"Space": Keys.SPACE, "ArrowLeft": Keys.LEFT, "ArrowRight": Keys.RIGHT, "ArrowUp": Keys.UP}
    known["ArrowDown"] = Keys.DOWN
    for name in names:
        ActionChains(driver).send_keys(known.get(name, name)).perform()


def typed(driver: Any, selector: str, value: str) -> None:
    """Write into a field as a person does: go there, select what it holds, type, leave."""
    driver.execute_script("const e = document.querySelector(arguments[0]); e.focus(); e.select();", selector)
    keys(driver, *value, "Tab")


def choose(driver: Any, selector: str, name: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(driver.find_element("css selector", selector)).select_by_visible_text(name)


def eventually(holds: Callable[[], bool], seconds: float = 8.0) -> bool:
    """Whether something becomes so before the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False
