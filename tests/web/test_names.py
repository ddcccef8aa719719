"""Names of files, tags, labels and folders that are HTML or Markdown: the page shows them as text."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser is driven by playwright")

from basrelief.index import Index
from basrelief.index.gallery import gallery_page
from basrelief.io import save
from basrelief.markup import as_text, visible
from basrelief.models import Model
from basrelief.shapes import make_shape
from support.browser import CHROMIUM, drive

from .conftest import needs_gradio, running_page

pytestmark = needs_gradio

HOSTILE = (
    r"<img src=\\evil.test\a>",
    r'"><svg onload=alert(1)>',
    r"<form action=\\evil.test><input><button>Log in<",
    r"<script>alert(2)<",
    r"![x](http:\\evil.test\b)",
    r"[here](http:\\evil.test\c) `code` **bold** www.evil.test",
    "safe\u202ebla.exe",
)
TYPED = ("<img src=//evil.test/d>", "![y](http://evil.test/e)", "<iframe src=//evil.test/f></iframe>", "[go](http://evil.test) $$x$$")

DRIVER = """
import json, sys
from playwright.sync_api import sync_playwright
url, home, labels, chromium, flags = sys.argv[1:]
found = {"texts": {}}
LOOK = '''() => [...document.querySelectorAll("form, iframe, object, embed, link[href*=evil], [src*=evil], [href*=evil], [onload], [onerror], b, strong, code, .katex")]
    .filter(e => /evil|alert|code|bold|x/.test(e.outerHTML) && e.closest("main, .toast-wrap, body")).map(e => e.outerHTML.slice(0, 200))'''
def write(place, text):  # Gradio takes what is typed a moment later
    page.wait_for_timeout(300)
    page.fill(f"{place} input, {place} textarea", text)
    page.wait_for_timeout(300)

with sync_playwright() as player:
    browser = player.chromium.launch(executable_path=chromium, args=json.loads(flags))
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    outside, refused, dialogs, elements = [], [], [], []
    page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else outside.append(r.url))
    page.on("console", lambda m: refused.append(m.text) if "Content Security Policy" in m.text else None)
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))

    def note(name, selector):
        page.wait_for_timeout(300)
        found["texts"][name] = page.locator(selector).all_inner_texts()
        elements.extend(page.evaluate(LOOK))

    def toast(name):
        page.locator(".toast-body").first.wait_for()
        note(name, ".toast-body")
        page.locator(".toast-close").first.click()

    page.goto(url)
    write("#words", "mug")
    page.click("#search")
    page.locator("#results img").first.wait_for()
    note("captions", "#results .caption-label")
    opened = []
    for place in range(page.locator("#results button.thumbnail-item").count()):
        page.locator("#results button.thumbnail-item").nth(place).click()
        for _ in range(300):  # until it tells of another file
            said = page.locator("#search-status .prose").first.inner_text()
            if " faces " in said and said not in opened:
                break
            page.wait_for_timeout(100)
        opened.append(said)
        page.wait_for_timeout(300)
        elements.extend(page.evaluate(LOOK))
    found["texts"]["opened"] = opened
    page.screenshot(path=home + "/names.png")
    page.click("button:has-text('More options')")
    page.get_by_label("Filters").first.fill("<img src=//evil.test/g>")
    page.click("#search")
    page.locator("#search-status", has_text="is not a filter").wait_for()
    note("error", "#search-status .prose")
    page.click("button[role=tab]:has-text('Classify a file')")
    page.set_input_files("#upload input[type=file]", home + "/<img src=x>.glb")
    page.locator("#upload", has_text=".glb").wait_for()
    write("#labels", labels)
    page.click("#classify")
    page.locator("#evidence img").wait_for()
    note("answer", "#answer")
    page.click("button[role=tab]:has-text('Index a folder')")
    write("#folder", "<img src=//evil.test/h>")
    page.click("#index")
    toast("folder")
    write("#folder", home + "/files")
    page.click("#index")
    page.locator("#index-status", has_text="files in the library").wait_for()
    note("report", "#index-status")
    page.click("button[role=tab]:has-text('Tags')")
    write("#tag-labels", labels)
    page.locator("input[type=number]").first.fill("0")
    page.click("#propose")
    page.locator("#tag-status", has_text="Nothing is written yet").wait_for()
    note("proposals", "#proposals")
    page.screenshot(path=home + "/proposals.png")
    page.goto("file://" + home + "/hits.html")
    found["html"] = page.inner_text("body")
    elements.extend(page.evaluate(LOOK.replace("b, strong, code, ", "")))
    browser.close()
found |= {"outside": [u for u in outside if not u.startswith("file://" + home + "/hits.html")], "refused": refused, "dialogs": dialogs, "elements": elements}
print(json.dumps(found))
"""


def test_text_is_escaped() -> None:
    assert visible("a\u202eb\n\x1b\ud800") == "a\\u202eb\\n\\x1b\\ud800"
    assert as_text("chaise longue 2") == "chaise longue 2"
    for text in (*HOSTILE, *TYPED):
        assert not set(as_text(text)) & set("<>\"'`*_[]()!$\\/:.\u202e\n")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_hostile_names_are_text_everywhere(tmp_path: Path, model: Model) -> None:
    for place, name in enumerate(HOSTILE):
        save(make_shape(("mug", "chair", "car")[place % 3], seed=100_010 + place), tmp_path / "files" / f"{name}.glb")
        (tmp_path / "files" / f"{name}.off").write_text("broken", encoding="utf-8")
    save(make_shape("mug", seed=1), tmp_path / "<img src=x>.glb")
    index = Index.open(tmp_path / "lib.lance", model=model)
    index.add(tmp_path / "files")
    paths = sorted(str(path.resolve()) for path in (tmp_path / "files").glob("*.glb"))
    index.tag({path: [TYPED[place % len(TYPED)]] for place, path in enumerate(paths)})
    hits = index.search("mug", top_k=20)
    page = gallery_page(hits, index.thumbnails([hit.path for hit in hits]), title=TYPED[0])
    (tmp_path / "hits.html").write_text(page, encoding="utf-8")
    with running_page(tmp_path, tmp_path / "files") as url:
        found = drive(DRIVER, url, str(tmp_path), ",".join(TYPED))
    assert found["outside"] == []
    assert found["refused"] == []
    assert found["dialogs"] == []
    assert found["elements"] == []
    texts = found["texts"]
    for name in map(visible, HOSTILE):
        assert any(text.startswith(f"{name}.glb") for text in texts["captions"]), name
        assert any(f"{name}.glb" in text for text in texts["opened"]), (name, texts["opened"])
        assert any(f"{name}.off: " in text for text in texts["report"]), name
        assert f"{name}.glb" in texts["proposals"][0], name
        assert f"{name}.glb" in found["html"], name
    for label in TYPED:
        assert any(label in text for text in texts["opened"]), label
        assert label in texts["answer"][0], label
    assert any(label in texts["proposals"][0] for label in TYPED)
    assert "<img src=//evil.test/g>" in texts["error"][0]
    assert "<img src=//evil.test/h>" in texts["folder"][0]
