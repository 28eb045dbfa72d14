"""`convgrad.explain` and its command: one self-contained file, refused politely where the page has no room."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convgrad
from convgrad import GeometryError, explain
from convgrad.cli import main
from convgrad.explanation import page
from convgrad.explanation.inline import inlined

WEB = Path(page.__file__).parent / "web"


def test_the_page_is_one_small_file_that_points_nowhere() -> None:
    text = explain("i7x7 k3x3 s2 p1").html
    assert text.startswith("<!doctype html>") and len(text.encode()) < 300_000
    assert not re.search(r"""(src|href)=["'](?!#|data:)|@import|url\(|https?://(?!www\.w3\.org/)""", text)
    assert "default-src 'none'" in text  # and the browser would refuse to ask
    assert "{{" not in text.partition("<script>")[0] and "{{version" not in text


def test_every_module_is_in_the_page_and_every_text_can_be_read_there() -> None:
    text = explain().html
    for module in WEB.glob("*.js"):
        assert f"const module_{module.stem} = " in text, module.name
    assert "</script" not in "".join(module.read_text("utf-8") for module in WEB.glob("*.js"))


def start(found: convgrad.Explanation) -> str:
    match = re.search(r'data-start="(.*?)"', found.html)
    assert match is not None
    return html.unescape(match[1])


def test_it_opens_with_what_was_asked_for() -> None:
    assert start(explain("i7x7 k3x3 s2 p1+0")) == "i7x7.k3x3.s2.p1+0&mode=zeros&random=1"
    asked = explain("i4 k2 ic2 oc2 g2", padding_mode="circular", flip=True, seed=7)
    assert start(asked) == "ic2.oc2.i4.k2.g2&mode=circular&flip&random=7"
    x, w, gy = np.arange(4)[None, None], np.array([[[0.1, -2]]]), np.float32([[[1, 2, 3]]])
    assert start(explain("i4 k2", x=x, w=w, gy=gy)).endswith("random=1&x=0,1,2,3&w=0.10000000000000001,-2&gy=1,2,3")
    geometry = convgrad.Geometry(1, 1, 1, 1, (convgrad.Axis(5, 3),))
    assert start(explain(geometry)) == start(explain("i5 k3"))


def test_a_notebook_shows_it_in_a_frame_of_its_own() -> None:
    found = explain("i5 k3", height=700)
    frame = found._repr_html_()
    assert frame.startswith("<iframe ") and frame.endswith("</iframe>") and "height:700px" in frame
    match = re.search(r'srcdoc="([^"]*)"', frame)
    assert match is not None and html.unescape(match[1]) == found.html
    assert "KiB of HTML" in repr(found)


def test_the_function_stays_the_function_whatever_is_imported_first() -> None:
    code = "import convgrad.explanation.page, convgrad.cli.explain, convgrad; print(convgrad.explain, convgrad.touches)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<function explain ") and "<function touches " in done.stdout


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("i5x5x5 k3x3x3", "input = '5x5x5': has 3 axes; accepted: one axis or two"),
        ("n2 i5 k3", "batch = 2: images do not see each other"),
        ("i25 k3", "input = 25: does not fit on the page; accepted: input <= 24"),
        ("i13x5 k3", "input = 13: does not fit on the page; accepted: input <= 12"),
        ("i12 k8", "kernel = 8: does not fit on the page; accepted: kernel <= 7"),
        ("i12 k2 p7", "before = 7: does not fit"),
        ("ic5 i5 k3", "in_channels = 5: does not fit on the page; accepted: 1 to 4"),
        ("oc0 i5 k3", "out_channels = 0: does not fit"),
        ("i5 k6", "kernel = 6: spans 6 positions"),
    ],
)
def test_what_the_page_cannot_show_is_refused(spelling: str, message: str) -> None:
    with pytest.raises(GeometryError, match=re.escape(message)):
        explain(spelling)


def test_arrays_and_modes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        GeometryError, match=r"x.shape = \(1, 1, 4\): is not the geometry's; accepted: x.shape = \(1, 1, 5"
    ):
        explain("i5 k3", x=np.zeros((1, 1, 4)))
    with pytest.raises(GeometryError, match=r"w.dtype = 'complex128': holds no real numbers"):
        explain("i5 k3", w=np.zeros((1, 1, 3), complex))
    with pytest.raises(
        GeometryError, match="padding_mode = 'mirror': is no way to continue an input; accepted: 'reflect', "
    ):
        explain("i5 k3", padding_mode="mirror")
    for spelling, message in (
        ("i5x5 k3 p1 medgexreflect", "padding_mode = 'edge, reflect': differs between axes; the page shows one border"),
        ("i5 k3 p1+-1", "padding = -1: cuts the input off; accepted: padding >= 0"),
        ("i5 k3 p1 mconstant v1+2j", "padding_value = (1+2j): is not real; the page shows real numbers"),
    ):
        with pytest.raises(GeometryError, match=re.escape(message)):
            explain(spelling)


def test_the_page_opens_with_the_border_of_the_spelling() -> None:
    assert "i5.k3.p1&amp;mode=reflect&amp;" in explain("i5 k3 p1 mreflect").html
    assert "i5.k3.p1&amp;mode=constant&amp;value=2.5&amp;" in explain("i5 k3 p1 mconstant v2.5").html
    assert "&amp;mode=edge&amp;" in explain("i5 k3 p1 mreflect", padding_mode="edge").html


# ---- the command


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["explain", "i7x7", "k3x3", "s2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"page    {out}\n"
    assert out.read_text("utf-8") == explain("i7x7 k3x3 s2").html
    assert main(["explain", "--out", str(out), "--seed", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["result"] == {"page": str(out), "bytes": out.stat().st_size}
    assert out.read_text("utf-8") == explain(seed=5).html


def test_the_command_opens_a_browser_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["explain", "i5 k3", "--out", str(tmp_path / "a b.html"), "--open"]) == 0
    assert opened == [(tmp_path / "a b.html").as_uri()]


def test_the_command_says_why_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "i99 k3"]) == 2
    assert "does not fit on the page" in capsys.readouterr().err
    assert main(["explain", "--out", str(tmp_path / "none" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


# ---- modules into one script


def test_modules_are_written_once_and_after_what_they_import() -> None:
    modules = {
        "main": 'import { a } from "./a.js";\nimport { b } from "./b.js";\nprint(a, b);\n',
        "a": 'import { c } from "./c.js";\nexport const a = c;\n',
        "b": 'import { c } from "./c.js";\nexport function b() {}\nexport class d {}\n',
        "c": "export const c = 1;\n",
    }
    script = inlined("main", modules.__getitem__)
    assert re.findall(r"const module_(\w+) =", script) == ["c", "a", "b", "main"]
    assert "return { b, d };" in script and "export" not in script and "import" not in script


@pytest.mark.parametrize(
    "text", ["export default 1;\n", 'import a from "./a.js";\n', 'import "./a.js";\n', "export { a };\n"]
)
def test_modules_that_are_not_understood_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not understood here"):
        inlined("main", {"main": text}.__getitem__)


def test_modules_in_a_circle_are_refused() -> None:
    modules = {"a": 'import { b } from "./b.js";\nexport const a = 1;\n', "b": 'import { a } from "./a.js";\n'}
    with pytest.raises(ValueError, match="in a circle: a -> b -> a"):
        inlined("a", modules.__getitem__)
