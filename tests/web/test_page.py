"""The page in a browser: search, opening a hit, uploads, indexing, tag review; no external requests."""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("playwright", reason="the browser is driven by playwright")

from basrelief.io import save
from basrelief.shapes import make_shape
from support.browser import CHROMIUM, drive

from .conftest import needs_gradio, running_page

pytestmark = needs_gradio

DRIVER = """
import json, sys
from playwright.sync_api import TimeoutError, sync_playwright
url, home, chromium, flags = sys.argv[1:]
said = {}

def write(place, text):  # Gradio takes what is typed a moment later
    page.wait_for_timeout(300)
    page.fill(f"{place} input, {place} textarea", text)
    page.wait_for_timeout(300)

def upload(path):  # on a busy machine Gradio may not listen yet when the box is there
    shown = page.locator("#upload", has_text=path.rpartition("/")[2])
    for _ in range(6):
        page.wait_for_timeout(300)
        page.set_input_files("#upload input[type=file]", path)
        try:
            return shown.wait_for(timeout=10_000)
        except TimeoutError:
            continue
    raise AssertionError("the uploaded file is not shown")

with sync_playwright() as player:
    browser = player.chromium.launch(executable_path=chromium, args=json.loads(flags))
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    outside, errors = [], []
    page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else outside.append(r.url))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(url)
    write("#words", "mug")
    page.click("#search")
    page.wait_for_selector("#results img")
    page.locator("#search-status", has_text="shapes").wait_for()
    said["found"] = page.locator("#search-status .prose").first.inner_text()
    said["hits"] = page.locator("#results .caption-label").all_inner_texts()
    page.locator("#results button.thumbnail-item").first.click()
    page.wait_for_selector("#sheet img")
    page.wait_for_selector("#viewer canvas")
    said["opened"] = page.locator("#search-status .prose").first.inner_text()
    page.screenshot(path=home + "/search.png")
    page.click("button[role=tab]:has-text('Classify a file')")
    upload(home + "/upload.glb")
    write("#labels", "chair, mug, car")
    page.click("#classify")
    page.wait_for_selector("#evidence img")
    said["answer"] = page.inner_text("#answer")
    page.screenshot(path=home + "/classify.png")
    write("#labels", "chair")
    page.click("#classify")
    said["refused"] = page.locator(".toast-body").first.inner_text()
    page.click("button[role=tab]:has-text('Index a folder')")
    write("#folder", home + "/more")
    page.click("#index")
    page.locator("#index-status", has_text="read").wait_for()
    said["report"] = page.locator("#index-status .prose").first.inner_text()
    page.click("button[role=tab]:has-text('Tags')")
    write("#tag-labels", "chair, mug, car, lamp")
    page.click("#propose")
    page.locator("#tag-status", has_text="files").wait_for()
    said["tagged"] = page.locator("#tag-status .prose").first.inner_text()
    page.click("button:has-text('Write tags')")
    page.locator("#tag-status", has_text="Changed the tags").wait_for()
    said["written"] = page.locator("#tag-status .prose").first.inner_text()
    page.screenshot(path=home + "/tags.png")
    said["outside"], said["errors"] = sorted(set(outside)), errors
    browser.close()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def home(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("page")
    shutil.copytree(made / "lib.lance", home / "lib.lance")
    (home / "more").mkdir()
    save(make_shape("lamp", seed=3), home / "more" / "lamp.glb")
    save(make_shape("mug", seed=100_020), home / "upload.glb")
    return home


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with running_page(home, home / "more") as found:
        yield found


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_visitor_can_search_view_classify_index_and_tag(url: str, home: Path) -> None:
    said = drive(DRIVER, url, str(home))
    assert said["outside"] == []
    assert said["errors"] == []
    assert said["found"] == "3 shapes, best first. Click one to view it."
    assert said["hits"][0].startswith("mug.ply")
    assert "mug.ply · ply · " in said["opened"]
    assert said["answer"].split()[:3] == ["Best", "labels", "mug"]
    assert "Need at least two labels" in said["refused"]
    assert said["report"].startswith("1 read, 0 moved or copied, 0 removed, 0 unchanged; 4 files in the library")
    assert said["tagged"] == "4 files. Nothing is written yet."
    assert said["written"].startswith("Changed the tags of ")


def _status(url: str, path: str = "/", *, body: bytes | None = None) -> int:
    """What the server answers; 413 where it hangs up on a body."""
    with closing(http.client.HTTPConnection(url.partition("://")[2], timeout=60)) as connection:
        try:
            kind = {} if body is None else {"Content-Type": "multipart/form-data; boundary=x"}
            connection.request("GET" if body is None else "POST", path, body=body, headers=kind)
            with connection.getresponse() as answer:
                answer.read()
                return answer.status
        except ConnectionError:
            return 413


def test_local_files_are_not_served(url: str, made: Path) -> None:
    assert _status(url) == 200
    secret = made / "files" / "car.off"
    for path in ("/etc/passwd", str(secret), f"{made}/../../etc/passwd", "..%2f..%2fetc%2fpasswd"):
        for route in ("/file=", "/gradio_api/file=", "/gradio_api/file/"):
            assert _status(url, quote(route + path, safe="/=%.")) in (403, 404, 405)


def test_a_large_upload_is_refused_by_the_server(url: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.glb"\r\n\r\n' + b"0" * (65 * 2**20) + b"\r\n--x--\r\n"
    assert _status(url, "/gradio_api/upload", body=body) in (400, 413)
