"""The page of `convgrad explain` in a real browser: everything on it answers, to the mouse and to the keyboard.

It is long because the page is one: there is a test for each thing that one can do on it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import (
    cell,
    choose,
    click,
    eventually,
    focus,
    keys,
    lit,
    move_to,
    number,
    places,
    scroll_to,
    text,
    texts,
    typed,
)
from peers import peer

import convgrad
from convgrad import Axis, Geometry, definition, touches

# ---- pointing, by mouse and by keyboard


def test_pointing_at_an_entry_lights_what_it_meets_and_writes_its_sum(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2")
    for array, place, kind in (("gx", (2, 2), "x"), ("gw", (0, 1), "w"), ("y", (1, 2), "y"), ("x", (0, 0), "x")):
        move_to(driver, cell(array, place))
        meetings = touches("i5x5 k3x3", **{kind: (0, 0, *place)})
        assert text(driver, "#looked-at").startswith(f"{array}[{place[0]},{place[1]}]")
        first, second = {"x": ("gy", "w"), "w": ("gy", "x"), "y": ("x", "w")}[kind]
        for name in (first, second):
            assert lit(driver, name) == {getattr(touch, name[-1])[2:] for touch in meetings}
        assert driver.execute_script("return convgrad.store.meetings.length") == len(meetings)
        result = {"x": "gx", "w": "gw", "y": "y"}[kind]
        value = number(driver, f"#grid-{result} [data-at='{place[0]},{place[1]}']")
        assert text(driver, "#pairs tr:last-child td:last-child") == written(value)
        assert text(driver, "#formula").endswith(f"= {written(value)}")
    move_to(driver, "h1")
    assert text(driver, "#looked-at").startswith("gx[2,2]")  # back to what was chosen


def test_the_list_of_an_input_walks_the_kernel_backwards(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2&at=gx,0,2,2")
    taps = [line.split(" ")[0] for line in texts(driver, "#pairs td.w")]
    assert [tap[:6] for tap in taps] == [f"w[{a},{b}]" for a in (2, 1, 0) for b in (2, 1, 0)]
    numbers = {
        place: driver.execute_script(f'return document.querySelector("{cell("w", place)}").dataset.n')
        for place in np.ndindex(3, 3)
    }
    assert numbers == {place: str(9 - n) for n, place in enumerate(np.ndindex(3, 3))}
    assert "backwards" in text(driver, "#remark")


def test_arrow_keys_walk_the_entries_and_the_tab_key_the_grids(at: Any) -> None:
    driver = at("i5x5.k3x3.p1&random=1&at=gx,0,2,2")
    driver.execute_script("document.querySelector(arguments[0]).focus()", cell("gx", (2, 2)))
    keys(driver, "ArrowUp", "ArrowRight")
    assert chosen(driver) == ["gx", 0, 1, 3]
    keys(driver, "Home")
    assert chosen(driver) == ["gx", 0, 1, 0]
    keys(driver, "ArrowLeft")
    assert chosen(driver) == ["gx", 0, 1, 0]  # the edge
    keys(driver, "End", "ArrowDown")
    assert chosen(driver) == ["gx", 0, 2, 4]
    keys(driver, "Tab")
    assert chosen(driver)[0] == "gw"
    keys(driver, "Tab")
    assert chosen(driver)[0] == "gy"
    assert driver.execute_script("return location.hash").endswith("at=gy,0,0,0")


def test_a_click_keeps_an_entry_and_the_link_holds_it(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2")
    click(driver, cell("gw", (1, 2)))
    move_to(driver, "h1")
    assert chosen(driver) == ["gw", 0, 1, 2] and text(driver, "#looked-at").startswith("gw[1,2]")
    link = driver.execute_script("return location.hash")
    assert link == "#i5x5.k3x3&random=2&at=gw,0,1,2"
    at(link.lstrip("#"))
    assert chosen(driver) == ["gw", 0, 1, 2]


def test_what_lies_in_the_padding_leads_to_the_input_that_is_read_there(at: Any) -> None:
    driver = at("i4.k3.p2&mode=reflect&random=2")
    ghosts = driver.find_elements("css selector", "#grid-x .ghost")
    assert len(ghosts) == 4
    driver.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))", ghosts[0])
    assert text(driver, "#looked-at").startswith("x[2]")
    assert "met" in ghosts[0].get_attribute("class")
    assert "folds back" in text(driver, "#remark")


def test_a_tap_chooses_on_a_telephone(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2", 390, 844)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        spot = driver.execute_script(
            "const c = document.querySelector(arguments[0]); c.scrollIntoView({block: 'center'});"
            "const r = c.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2];",
            cell("gw", (2, 0)),
        )
        for kind, points in (("touchStart", [{"x": spot[0], "y": spot[1]}]), ("touchEnd", [])):
            driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert eventually(lambda: chosen(driver) == ["gw", 0, 2, 0])
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


# ---- the player


def test_the_player_walks_first_between_and_last(at: Any) -> None:
    driver = at("i5.k3&random=2&at=gx,0,0,2")
    for button, step, said in (("first", 0, "①"), ("between", 1, "②"), ("last", 2, "③")):
        click(driver, f"#{button}")
        assert text(driver, "#point").startswith(said) and text(driver, "#position") == f"{step + 1} of 3"
        assert now(driver) == {"gy": {(0, step)}, "w": {(0, 2 - step)}, "y": {(0, step)}}
        assert driver.execute_script("return document.querySelectorAll('[data-array=x] .window').length") == 1
    click(driver, "#back")
    assert text(driver, "#position") == "2 of 3"
    click(driver, "#whole")
    assert text(driver, "#position") == "3 products" and now(driver) == {}


def test_the_player_plays_pauses_and_keeps_its_speed(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2&at=gx,0,2,2")
    driver.execute_script("document.getElementById('speed').value = 6")
    focus(driver, "#play")
    keys(driver, "Enter")
    assert text(driver, "#play") == "Pause"
    assert eventually(lambda: text(driver, "#position") == "3 of 9")
    keys(driver, "Enter")
    stopped = text(driver, "#position")
    assert text(driver, "#play") == "Play"
    driver.execute_async_script("setTimeout(arguments[0], 400)")
    assert text(driver, "#position") == stopped
    focus(driver, "#forth")
    keys(driver, "Enter")
    assert int(text(driver, "#position").split()[0]) == int(stopped.split()[0]) + 1
    click(driver, "#play")
    assert eventually(lambda: text(driver, "#position") == "9 of 9" and text(driver, "#play") == "Play")


def test_a_row_of_the_list_shows_its_product(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2&at=gx,0,2,2")
    click(driver, "#pairs tr:nth-child(4)")
    assert text(driver, "#position") == "4 of 9" and now(driver)["w"] == {(1, 2)}
    focus(driver, "#pairs tr:nth-child(6) button")
    keys(driver, "Enter")
    assert text(driver, "#position") == "6 of 9"


def test_a_long_list_is_completed(at: Any) -> None:
    driver = at("i12x12.k3x3.p1&random=2&at=gw,0,1,1")
    assert eventually(lambda: len(driver.find_elements("css selector", "#pairs tr")) == 144)
    click(driver, "#back")
    assert text(driver, "#position") == "144 of 144"


# ---- controls


def test_every_size_and_option_can_be_set_with_the_mouse(at: Any) -> None:
    driver = at("i6x6.k2x2&random=2")
    for field in ("input", "kernel", "stride", "dilation", "before", "after"):
        click(driver, f"[data-for={field}-1] button[aria-label^=more]")
    assert spelling(driver) == "i7x7 k3x3 s2 p1 d2"
    click(driver, "[data-for=before-1] button[aria-label^=less]")
    assert spelling(driver) == "i7x7 k3x3 s2 p0+1 d2"
    for field in ("inChannels", "outChannels", "outChannels", "outChannels", "groups"):
        click(driver, f"[data-for={field}] button[aria-label^=more]")
    assert spelling(driver) == "i7x7 k3x3 ic2 oc4 s2 p0+1 d2 g2"
    click(driver, "#flip")
    choose(driver, "#mode", "circular")
    assert "mode=circular&flip" in driver.execute_script("return location.hash")
    click(driver, "label[for=rank-1]")
    assert spelling(driver) == "i7 k3 ic2 oc4 s2 p0+1 d2 g2"


def test_every_size_and_option_can_be_set_with_the_keyboard(at: Any) -> None:
    driver = at("i6x6.k2x2&random=2")
    for field, value in (("input", 8), ("kernel", 3), ("stride", 3), ("dilation", 2), ("before", 2), ("after", 1)):
        typed(driver, f"#{field}-1", f"{value}")
    assert spelling(driver) == "i8x8 k3x3 s3 p2+1 d2"
    focus(driver, "#together")
    keys(driver, "Space")
    typed(driver, "#kernel-0", "1")
    assert spelling(driver) == "i8x8 k1x3 s3 p2+1 d2"
    focus(driver, "#mode")
    keys(driver, "ArrowDown")
    typed(driver, "#value", "7")
    assert "mode=constant&value=7" in driver.execute_script("return location.hash")
    assert set(texts(driver, "#grid-x .ghost")) == {"7"}
    focus(driver, "#rank-2")
    keys(driver, "ArrowLeft")
    assert spelling(driver) == "i8 k3 s3 p2+1 d2"


def test_what_describes_no_convolution_is_said_and_not_done(at: Any) -> None:
    driver = at("i5.k3&random=2")
    typed(driver, "#kernel-1", "7")
    assert "spans 7 positions, but input 5 plus padding 0+0 offers 5" in text(driver, "#fault")
    assert spelling(driver) == "i5 k3" and driver.find_element("id", "kernel-1").get_attribute("value") == "3"
    typed(driver, "#input-1", "25")
    assert "at most 24" in text(driver, "#fault")
    typed(driver, "#input-1", "9")
    assert text(driver, "#fault") == ""


def test_a_link_that_cannot_be_read_is_said_and_the_page_still_opens(at: Any) -> None:
    for link, said in (
        ("i5.k7", "spans 7"),
        ("i5", "kernel size"),
        ("nonsense", "nonsense"),
        ("i5.k3&mode=fog", "fog"),
        ("i5.k3&x=1,2", "x has 2"),
        ("i2x2x2.k1x1x1", "3 axes"),
        ("i5.k3.n2", "one image"),
    ):
        driver = at(link)
        assert said in text(driver, "#fault") and spelling(driver) == "i5x5 k3x3 p1"


def test_holes_padding_and_unread_pixels_are_marked(at: Any) -> None:
    driver = at("i8x8.k3x3.s3.d1&random=6")
    assert len(driver.find_elements("css selector", "#grid-gy [role=row] .hole")) == 2 * 2
    unread = driver.find_elements("css selector", "#grid-x .unread")
    assert len(unread) == 8 * 8 - 6 * 6
    assert "2 left over" in unread[0].get_attribute("title")
    driver = at("i8.k2.d3.s4&random=6&at=gx,0,0,1")
    assert len(driver.find_elements("css selector", "#grid-w .hole")) == 2
    assert "hole of the kernel" in text(driver, "#remark") and "exactly 0" in text(driver, "#remark")
    driver = at("i5.k3.p2&random=6")
    assert len(driver.find_elements("css selector", "#grid-x .ghost")) == 4


def test_the_strips_slide_and_choose_what_they_show(at: Any) -> None:
    driver = at("i9.k3.d2.s3.p1&random=4&at=gw,0,0,1")
    assert "holes in it: stride 3; each step: dilation 2" in text(driver, "#strips [data-array=gw]")
    assert "holes in it: dilation 2; each step: stride 3" in text(driver, "#strips [data-array=y]")
    for array, at_end in (("y", 2), ("gw", 2), ("gx", 8)):
        focus(driver, f"#slide-{array}")
        keys(driver, "End")
        assert chosen(driver) == [array, 0, 0, at_end]


def test_channels_are_tabs_for_mouse_and_keyboard(at: Any) -> None:
    driver = at("i4x4.k2x2.ic4.oc4.g2&random=5&at=gx,1,1,1")
    assert texts(driver, "[data-array=w] [role=tab]") == [
        f"{i}→{o}" for o in range(4) for i in (0, 1, 2, 3)[o // 2 * 2 :][:2]
    ]
    click(driver, "[data-array=y] [role=tab]:nth-child(4)")
    one = "document.querySelector(`[data-array=${array}] [aria-selected=true]`).dataset.channel"
    selected = f"return ['x', 'w', 'y'].map((array) => {one})"
    assert driver.execute_script(selected) == ["3", "7", "3"]  # of the same group, so that they meet
    focus(driver, "[data-array=gx] [role=tab][aria-selected=true]")
    keys(driver, "ArrowRight")
    assert driver.execute_script(selected)[0] == "0" and chosen(driver)[:2] == ["gx", 0]
    assert {touch.w[:2] for touch in touches("i4x4 k2x2 ic4 oc4 g2", x=(0, 0, 1, 1))} == {(0, 0), (1, 0)}
    click(driver, "#last")  # lies in another channel, which opens
    assert driver.execute_script(selected) == ["0", "2", "1"]


def test_every_preset_opens_and_is_what_it_says(at: Any) -> None:
    driver = at()
    seen = []
    for button in driver.find_elements("css selector", "#presets button"):
        button.click()
        seen.append(driver.execute_script("return location.hash"))
        assert text(driver, "#fault") == ""
    assert len(seen) == len(set(seen)) >= 8


# ---- numbers of one's own


def test_numbers_can_be_typed_with_the_keyboard(at: Any) -> None:
    driver = at("i5.k3&random=2")
    driver.execute_script("document.querySelector(arguments[0]).focus()", cell("x", (0, 2)))
    keys(driver, "Enter", "4", "2", "Enter")
    assert number(driver, cell("x", (0, 2))) == 42 and "x=" in driver.execute_script("return location.hash")
    keys(driver, "-", "1", ".", "5", "Enter")
    assert number(driver, cell("x", (0, 2))) == -1.5
    keys(driver, "Enter", "9", "Escape")
    assert number(driver, cell("x", (0, 2))) == -1.5
    keys(driver, "Enter", "e", "Enter")  # no number: it waits for one
    assert driver.find_element("css selector", ".typed").get_attribute("aria-invalid") == "true"
    keys(driver, "Escape")
    x, w, y = driver.execute_script(
        "return ['x', 'w', 'y'].map((n) => [...(convgrad.store.setting.arrays[n] ?? convgrad.store.results[n])])"
    )
    assert (definition.forward(np.array([[x]]), np.array([[w]]), Geometry(1, 1, 1, 1, (Axis(5, 3),))) == [[y]]).all()


def test_numbers_can_be_typed_after_clicks(at: Any) -> None:
    driver = at("i5.k3&random=2")
    for array in ("w", "gy"):
        click(driver, cell(array, (0, 1)))
        click(driver, cell(array, (0, 1)))
        keys(driver, "8", "Enter")
        assert number(driver, cell(array, (0, 1))) == 8
    click(driver, cell("gx", (0, 1)))
    click(driver, cell("gx", (0, 1)))
    assert driver.find_elements("css selector", ".typed") == []  # a result is not typed


def test_digits_spell_the_windows_and_letters_the_sums_of_the_note(at: Any) -> None:
    driver = at("i5.k3&random=2")
    click(driver, "#digits")
    assert texts(driver, "#grid-y .cell") == ["321", "432", "543"]
    assert texts(driver, "#grid-gx .cell") == ["1", "12", "123", "230", "300"]
    before = texts(driver, "#grid-x .cell")
    focus(driver, "#random")
    keys(driver, "Enter", "Enter")
    assert texts(driver, "#grid-x .cell") != before
    driver = at("i5.k2.p1&letters&at=gx,0,0,1")
    assert texts(driver, "#grid-x .cell") == list("abcde") and texts(driver, "#grid-w .cell") == ["x", "y"]
    assert texts(driver, "#grid-y .cell") == ["0x + ay", "ax + by", "bx + cy", "cx + dy", "dx + ey", "ex + 0y"]
    assert texts(driver, "#grid-gx .cell") == ["fy + gx", "gy + hx", "hy + ix", "iy + jx", "jy + kx"]
    assert texts(driver, "#grid-gw .cell") == ["ga + hb + ic + jd + ke", "fa + gb + hc + id + je"]


def test_letters_are_those_of_derive(at: Any) -> None:
    from convgrad.explanation.derive import derive
    from convgrad.spelling import parse

    for words in ("i5 k2 p1", "i6 k3 s2", "i4 k2 d2"):
        derivation = derive(parse(words))
        driver = at(words.replace(" ", ".") + "&letters")
        assert texts(driver, "#grid-gx .cell") == [str(entry) for entry in derivation.input_grad]
        assert texts(driver, "#grid-y .cell") == [str(entry) for entry in derivation.outputs]


# ---- derivation, matrix, picture


def test_terms_of_the_derivation_lead_to_the_grids(at: Any) -> None:
    driver = at("i5x5.k3x3&random=2")
    assert len(driver.find_elements("css selector", "#derivation li math")) == 4
    move_to(driver, "#step-4 [data-term=gy]")
    assert driver.execute_script("return document.getElementById('grids').dataset.named") == "gy"
    click(driver, "#step-1 [data-term=w]")
    assert chosen(driver)[0] == "w"
    focus(driver, "#derivation li:nth-child(2) button[data-term=gw]")
    keys(driver, "Enter")
    assert chosen(driver)[0] == "gw"
    assert driver.execute_script("return document.querySelector('#derivation li.here').dataset.for") == "w"
    driver = at("i9.k3.s2.p1&random=2&at=gx,0,0,3")
    assert text(driver, "#here-3") == "i = 3: k = 0: o = 2; k = 1: 3/2 is not whole; k = 2: o = 1."


def test_the_matrix_tells_what_each_entry_is_and_leads_to_its_row(at: Any) -> None:
    for link in (
        "i5x4.k3x2.s2x1.p1&random=3",
        "i6.k3.p2.d2&mode=reflect&random=4",
        "i4.k3.p2&mode=constant&value=3&random=5",
    ):
        driver = at(link)
        said = []
        scroll_to(driver, "#matrix")
        focus(driver, "#matrix")
        keys(driver, "ArrowRight", "ArrowDown")
        said.append(text(driver, "#matrix-said"))
        for name in ("At", "X", "Xt"):
            click(driver, f"label[for=matrix-{name}]")
            focus(driver, "#matrix")
            keys(driver, "ArrowRight")
            said.append(text(driver, "#matrix-said"))
        assert all(" takes " in line or " never meet" in line for line in said)
        keys(driver, "Enter")
        assert chosen(driver)[0] == "gw"


def test_a_picture_can_be_dropped_and_has_a_gradient(at: Any, tmp_path: Path) -> None:
    from PIL import Image

    driver = at("i5x5.k3x3&random=2")
    scroll_to(driver, "#picture")
    assert eventually(lambda: picture_size(driver) == "120x160")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)).save(tmp_path / "noise.png")
    driver.find_element("id", "file").send_keys(str(tmp_path / "noise.png"))
    assert eventually(lambda: picture_size(driver) == "30x50")
    drawn = "return document.getElementById('picture-gx').toDataURL();"
    pictures = {driver.execute_script(drawn)}
    choose(driver, "#loss", "Σ y (gy = 1)")
    pictures.add(settled(driver, drawn))
    choose(driver, "#filter", "blur")
    pictures.add(settled(driver, drawn))
    assert len(pictures) == 3
    (tmp_path / "text.png").write_text("no picture")
    driver.find_element("id", "file").send_keys(str(tmp_path / "text.png"))
    assert eventually(lambda: "is no picture" in text(driver, "#picture-fault"))
    drop = """
      const noise = {type: 'image/png'};
      const canvas = document.createElement('canvas'); canvas.width = 20; canvas.height = 10;
      canvas.toBlob((blob) => {
        const data = new DataTransfer(); data.items.add(new File([blob], 'a.png', noise));
        document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data})); });
    """
    driver.execute_script(drop)
    assert eventually(lambda: picture_size(driver) == "10x20")
    click(driver, "#sample")
    assert eventually(lambda: picture_size(driver) == "120x160")


# ---- the page as a document


def test_the_copy_button_copies_the_program_that_is_shown(at: Any) -> None:
    driver = at("i5.k3.s2&random=3")
    driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    for language in ("NumPy", "convgrad", "PyTorch", "JAX"):
        click(driver, f"label[for=language-{language}]")
        click(driver, "#copy")
        program = text(driver, "#code")
        assert program == driver.execute_script("return convgrad.code(location.hash, arguments[0])", language)
        assert eventually(lambda name=language: text(driver, "#copied") == f"Copied: {name}.")
        assert driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == program


def test_the_page_asks_the_network_for_nothing(at: Any, browser: Any) -> None:
    browser.get_log("performance")
    driver = at("i5x5.k3x3&random=2")
    for section in driver.find_elements("css selector", ".wide"):
        driver.execute_script("arguments[0].scrollIntoView()", section)
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert {url.split(":")[0] for url in asked} <= {"file", "about", "data"}
    assert sum(url.startswith("file") for url in asked) == 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("link", ["", "i4x4.k2x2.ic4.oc4.g2.s2&random=5", "i9.k3.d2.s3.p1&mode=reflect&letters"])
def test_axe_finds_nothing_serious(at: Any, dark: bool, link: str) -> None:
    axe = Path(str(peer("axe_core_python").__file__)).parent / "axe.min.js"
    for width in (1440, 390):
        driver = at(link, width, 900, dark=dark)
        click(driver, "#forth")
        driver.execute_script(axe.read_text("utf-8"))
        found = driver.execute_async_script("axe.run(document).then(arguments[0])")
        told = [(v["id"], v["impact"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found["violations"]]
        assert [line for line in told if line[1] in ("serious", "critical")] == []
        assert found["passes"]


def test_a_notebook_shows_a_page_that_works(at: Any, browser: Any, tmp_path: Path) -> None:
    frame = convgrad.explain("i5 k3", x=np.array([[[5.0, 4, 3, 2, 1]]]))._repr_html_()
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><title>notebook</title><h1>cell</h1>{frame}", "utf-8")
    browser.get(notebook.as_uri())
    browser.switch_to.frame(browser.find_element("tag name", "iframe"))
    assert texts(browser, "#grid-x .cell") == ["5", "4", "3", "2", "1"]
    focus(browser, cell("gw", (0, 1)))
    keys(browser, "ArrowRight")
    assert text(browser, "#looked-at").startswith("gw[2]")
    browser.switch_to.default_content()
    heading = "return getComputedStyle(document.querySelector('h1')).letterSpacing"
    assert browser.execute_script(heading) == "normal"  # its styles stay inside


def test_light_and_dark_can_be_chosen(at: Any) -> None:
    driver = at(dark=True)
    paper = "return getComputedStyle(document.body).backgroundColor"
    dark = driver.execute_script(paper)
    click(driver, "#theme")
    light = driver.execute_script(paper)
    assert dark != light
    focus(driver, "#theme")
    keys(driver, "Enter")
    assert driver.execute_script(paper) == dark


def test_who_wants_less_motion_gets_none(at: Any) -> None:
    moving = "return getComputedStyle(document.querySelector('.strip .kernel i')).transitionDuration"
    driver = at(calm=True)
    scroll_to(driver, "#strips")
    assert driver.execute_script(moving) == "0s"
    driver = at()
    scroll_to(driver, "#strips")
    assert driver.execute_script(moving) != "0s"


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1920, 2560])
def test_nothing_is_wider_than_the_screen(at: Any, width: int) -> None:
    for link in ("", "i12x12.k7x7.p6&random=2", "i24.k7.p6.d3&digits", "i5.k2.p1&letters"):
        driver = at(link, width, 900)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width, link


def test_it_prints(at: Any) -> None:
    driver = at(dark=True)
    pdf = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(pdf) > 20_000


# ---- what these tests ask the page


def now(driver: Any) -> dict[str, set[tuple[int, ...]]]:
    found = {array: places(driver, f"#grid-{array} [role=gridcell].now") for array in ("x", "w", "y", "gx", "gw", "gy")}
    return {array: cells for array, cells in found.items() if cells}


def chosen(driver: Any) -> list[Any]:
    found = driver.execute_script("const { at } = convgrad.store.setting; return [at.array, ...at.index]")
    return list(found)


def written(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def spelling(driver: Any) -> str:
    return text(driver, "#spelling")


def settled(driver: Any, script: str) -> Any:
    """The answer after the browser has drawn twice."""
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return driver.execute_script(script)


def picture_size(driver: Any) -> str:
    return text(driver, "#picture-sizes").partition(" pixels")[0].replace(" \N{MULTIPLICATION SIGN} ", "x")
