"""The page of detections in Chromium, opened as a file: picture, list, filters, selection, keys, phone; no requests, no errors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="the browser is driven by playwright")

import basrelief as br
from basrelief.scenes.crops import embed_boxes
from basrelief.scenes.label import label_boxes
from support.browser import CHROMIUM, drive
from support.made_detections import made_detections
from support.small_scenes import given, planted_scene

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

HOSTILE = ("</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<b>bold</b>", "lamp")

DRIVER = """
import json, sys
from playwright.sync_api import sync_playwright
home, chromium, flags = sys.argv[1:]
said = {"outside": [], "errors": [], "dialogs": []}

with sync_playwright() as player:
    browser = player.chromium.launch(executable_path=chromium, args=json.loads(flags))

    def open_page(name, script="", **options):
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else said["outside"].append(r.url))
        page.on("pageerror", lambda e: said["errors"].append(str(e)))
        page.on("console", lambda m: said["errors"].append(m.text) if m.type == "error" else None)
        page.on("dialog", lambda d: (said["dialogs"].append(d.message), d.dismiss()))
        if script:
            page.add_init_script(script)
        page.goto(f"file://{home}/{name}")
        page.wait_for_timeout(1000)
        return page

    def labels(page):
        return page.evaluate("[...document.querySelectorAll('.label')].filter(l => l.style.visibility === 'visible').map(l => l.textContent).sort()")

    def rows(page):
        return page.locator("#list .row .name").all_inner_texts()

    desktop = {"viewport": {"width": 1280, "height": 800}}
    page = open_page("labelled.html", **desktop)
    page.locator("#canvas").screenshot(path=home + "/canvas.png")
    said["rows"], said["labels"], said["count"] = rows(page), labels(page), page.inner_text("#count")
    page.fill("#score", "0.5")
    page.wait_for_timeout(400)
    said["rows above"], said["labels above"], said["count above"] = rows(page), labels(page), page.inner_text("#count")
    page.fill("#score", "0")
    page.fill("#search", "LAM")
    page.wait_for_timeout(400)
    said["rows searched"], said["labels searched"] = rows(page), labels(page)
    page.fill("#search", "")
    page.locator("#chips .chip", has_text="mug").click()
    page.wait_for_timeout(400)
    said["rows without mug"], said["pressed"] = rows(page), page.locator("#chips .chip", has_text="mug").get_attribute("aria-pressed")
    page.locator("#chips .chip", has_text="mug").click()
    page.locator("#list .row", has_text="lamp").click()
    page.wait_for_timeout(900)
    said["selected"] = page.inner_text("#details-label")
    said["pictures"] = page.evaluate("[...document.querySelectorAll('#evidence img')].map(i => i.naturalWidth)")
    said["bars"] = page.locator("#bars li").all_inner_texts()
    said["measures"] = page.inner_text("#measures")
    page.locator("#canvas").screenshot(path=home + "/selected.png")
    page.keyboard.press("Escape")
    said["closed"] = page.locator("#details").is_hidden()
    page.click("#reset")
    page.wait_for_timeout(900)
    width, height = page.evaluate("[canvas.clientWidth, canvas.clientHeight]")
    for name in ("chair", "mug"):  # click on a box in the picture, where its centre is
        x, y = page.evaluate(
            "n => { const b = boxes.find(b => b.label === n), [w, h] = [canvas.clientWidth, canvas.clientHeight];"
            " const [x, y, , d] = project(camera.matrix(w / h), b.center); return [(x / d + 1) / 2 * w, (1 - y / d) / 2 * h]; }", name)
        page.locator("#canvas").click(position={"x": x, "y": y})
        page.wait_for_timeout(300)
        said["clicked " + name] = page.evaluate("document.getElementById('details').hidden ? '' : document.getElementById('details-label').textContent")
        page.keyboard.press("Escape")
        page.wait_for_timeout(700)
    before = page.evaluate("[camera.yaw, camera.pitch, camera.distance]")
    page.focus("#canvas")
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    said["turned"] = [a != b for a, b in zip(before, page.evaluate("[camera.yaw, camera.pitch, camera.distance]"))]
    page.keyboard.press("t")
    page.wait_for_timeout(900)
    said["pitch from above"] = page.evaluate("camera.pitch")
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    said["by keys"] = page.evaluate("state.selected")
    said["active"] = page.get_attribute("#list", "aria-activedescendant")
    page.mouse.move(width / 2 + 300, height / 2)
    page.mouse.down()
    page.mouse.move(width / 2 + 340, height / 2 + 20, steps=4)
    page.mouse.up()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(500)
    said["focusable"] = page.evaluate(
        "[...document.querySelectorAll('button, input, [tabindex]')].filter(e => e.offsetParent && !e.disabled && e.tabIndex >= 0)"
        ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)")
    page.close()

    page = open_page("labelled.html", color_scheme="dark", **desktop)
    page.locator("#canvas").screenshot(path=home + "/dark.png")
    page.click("[data-mode=height]")
    page.wait_for_timeout(300)
    page.locator("#canvas").screenshot(path=home + "/height.png")
    page.close()

    page = open_page("hostile.html", **desktop)
    page.fill("#score", "0")
    said["hostile rows"], said["hostile title"] = rows(page), page.inner_text("#title")
    page.locator("#list .row").first.click()
    said["elements"] = page.evaluate("document.querySelectorAll('body b:not(.chip b), body img, body script').length")
    page.locator("[data-structure='1']").click()
    page.fill("#cut", "0.5")
    page.wait_for_timeout(300)
    said["cut"], said["floor"] = page.inner_text("#cut-value"), page.get_attribute("[data-structure='1']", "aria-pressed")
    said["cut at"] = page.evaluate("options.cut")
    page.close()

    page = open_page("labelled.html", viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True, device_scale_factor=2)
    said["list hidden"] = not page.locator("#list").is_visible()
    page.tap("#handle")
    page.locator("#list .row").first.tap()
    page.wait_for_timeout(900)
    box = page.locator("#details").bounding_box()
    said["sheet"] = [box["x"], box["width"], round(box["y"] + box["height"])]
    said["too wide"] = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.tap("#close")
    page.tap("#options-toggle")
    said["options shown"] = page.locator("#options").is_visible()
    page.close()

    page = open_page("labelled.html", script="HTMLCanvasElement.prototype.getContext = () => null", **desktop)
    said["no drawing"] = page.locator("#no-drawing").is_visible()
    page.locator("#list .row").nth(1).click()
    said["no drawing, selected"] = page.inner_text("#details-label")
    page.close()
    page = open_page("none.html", **desktop)
    said["none"] = page.inner_text("#count")
    browser.close()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("viewer")
    scene, boxes = planted_scene(("chair", "lamp", "mug"))
    found = label_boxes(embed_boxes(scene, given(boxes), br.load_model("tiny")), ["chair", "lamp", "mug"])
    dataclasses.replace(found, scores=np.array([0.9, 0.6, 0.3], np.float32)).save(home / "labelled.html")
    made_detections(labels=HOSTILE).save(home / "hostile.html")
    made_detections(boxes=0, colors=False).save(home / "none.html")
    return home


@pytest.fixture(scope="module")
def said(home: Path) -> dict[str, Any]:
    return drive(DRIVER, str(home))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))[::3, ::3].reshape(-1, 3)


def test_nothing_fails_and_nothing_is_requested(said: dict[str, Any]) -> None:
    assert said["outside"] == []
    assert said["errors"] == []
    assert said["dialogs"] == []


def test_points_and_boxes_are_drawn(said: dict[str, Any], home: Path) -> None:
    for name in ("canvas", "selected", "dark", "height"):
        shown = pixels(home / f"{name}.png")
        background = shown[0]
        drawn = np.abs(shown.astype(int) - background).max(axis=1) > 24
        assert 0.01 < drawn.mean() < 0.98, name
        assert len(np.unique(shown, axis=0)) > 200, name
    assert pixels(home / "canvas.png").mean() > 180
    assert pixels(home / "dark.png").mean() < 90


def test_slider_search_and_chips_hide_boxes(said: dict[str, Any]) -> None:
    assert sorted(said["rows"]) == ["chair", "lamp", "mug"] == said["labels"]
    assert said["count"] == "3 boxes"
    assert said["rows above"] == said["rows"][:2]
    assert said["labels above"] == sorted(said["rows"][:2])
    assert said["count above"] == "2 of 3 boxes"
    assert said["rows searched"] == ["lamp"] == said["labels searched"]
    assert (sorted(said["rows without mug"]), said["pressed"]) == (["chair", "lamp"], "false")


def test_selection_shows_what_the_model_saw(said: dict[str, Any]) -> None:
    assert said["selected"] == "lamp"
    assert said["pictures"] == [112] * 4
    assert said["bars"][0].startswith("lamp")
    assert len(said["bars"]) == 3
    assert "Above the floor" in said["measures"]
    assert said["closed"]
    assert (said["clicked chair"], said["clicked mug"]) == ("chair", "mug")


def test_keys_turn_the_view_and_walk_the_list(said: dict[str, Any]) -> None:
    assert said["turned"] == [True, True, True]
    assert said["pitch from above"] == pytest.approx(np.pi / 2)
    assert (said["by keys"], said["active"]) == (1, "box-1")
    assert said["focusable"] == []  # every control has a name


def test_hostile_labels_are_text(said: dict[str, Any]) -> None:
    assert said["hostile rows"] == [HOSTILE[0], HOSTILE[1], HOSTILE[1], HOSTILE[2]]
    assert said["hostile title"] == "office.ply"
    assert said["elements"] == 2  # the two scripts of the page


def test_structure_and_section_can_be_cut_away(said: dict[str, Any]) -> None:
    assert (said["cut"], said["floor"]) == ("0.50 m", "false")
    assert said["cut at"] == pytest.approx(0.5)


def test_phones_get_a_sheet(said: dict[str, Any]) -> None:
    assert said["list hidden"]
    assert said["sheet"] == [0, 390, 780]
    assert not said["too wide"]
    assert said["options shown"]


def test_list_works_without_drawing_and_without_boxes(said: dict[str, Any]) -> None:
    assert said["no drawing"]
    assert said["no drawing, selected"] == said["rows"][1]
    assert said["none"] == "0 boxes"
