"""How fast the page of `convgrad explain` is in a real browser: its first paint, and its answer to the pointer.

Needs Chromium with its driver, and selenium. Prints medians and worst cases; nothing is judged, since a shared machine
would judge differently every time.

    python tools/measure_page.py
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser import chromium, sized

import convgrad

LINKS = {
    "as it opens": "",
    "largest, one axis": "i24.k7.p6.ic4.oc4&random=1&at=gw,0,0,3",
    "largest, two axes": "i12x12.k7x7.p6.ic4.oc4&random=1&at=gw,0,3,3",
}
OPENINGS, MOVES = 9, 60

# from the event's arrival to the end of style and layout: what has to fit between two frames
WATCH = """
window.taken = [];
let arrived = 0;
addEventListener('pointerover', () => { arrived = performance.now(); }, true);
addEventListener('pointerover', () => { document.body.offsetHeight; taken.push(performance.now() - arrived); });
"""
PAINTED = """
return 'ready' in document.documentElement.dataset
  ? performance.getEntriesByName('first-contentful-paint')[0]?.startTime : null;
"""
CENTRES = """
return [...document.querySelectorAll(`#grid-${arguments[0]} [role=gridcell]`)].map((cell) => {
  const box = cell.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}).filter(([, y]) => y > 0 && y < innerHeight);
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as driver:
        page = Path(folder) / "explain.html"
        page.write_text(convgrad.explain().html, "utf-8")
        sized(driver, 1440, 1000)
        print(f"{'':20} {'first paint, ms':>20} {'hover x':>18} {'hover w':>18} {'hover y':>18}")
        print(f"{'':20} {'median':>10} {'worst':>9}" + f" {'median':>9} {'worst':>8}" * 3)
        for name, link in LINKS.items():
            paints = [opened(driver, f"{page.as_uri()}#{link}" if link else page.as_uri()) for _ in range(OPENINGS)]
            driver.execute_script(WATCH)
            hovers = [hovered(driver, array) for array in ("x", "w", "y")]
            row = "".join(f" {statistics.median(times):9.1f} {max(times):8.1f}" for times in hovers)
            print(f"{name:20} {statistics.median(paints):10.0f} {max(paints):9.0f}{row}")


def opened(driver: Any, address: str) -> float:
    """Milliseconds from the start of loading to the first paint of content."""
    driver.get("about:blank")
    driver.get(address)
    while (painted := driver.execute_script(PAINTED)) is None:
        pass
    return float(painted)


def hovered(driver: Any, array: str) -> list[float]:
    """Milliseconds of each answer while the pointer moves over entries of `array`."""
    driver.execute_script("document.getElementById('grids').scrollIntoView(); taken.length = 0;")
    centres = driver.execute_script(CENTRES, array)
    for n in range(MOVES):
        x, y = centres[(n * 11) % len(centres)]
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
    return [float(time) for time in driver.execute_script("return taken")]


if __name__ == "__main__":
    main()
