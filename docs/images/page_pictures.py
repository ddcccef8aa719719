"""Make `app-search.png` and `app-name.png` beside this file: the page of a library of generated shapes, in Chromium.

The shapes have seeds from 1,000,000 on, which no shipped weights were trained on. Files are numbered, so that only their form is searched.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from basrelief.datasets import read_labels_file
from basrelief.index import Index
from basrelief.io import save
from basrelief.shapes import make_shape
from basrelief.web.server import serve
from basrelief.web.service import LibraryService

FIRST_SEED = 1_000_000
DESIGNS = 2
LIBRARY = ("airplane", "helicopter", "boat", "car", "bicycle", "chair", "table", "bed", "lamp", "mug", "guitar", "tree")
LABELS = Path(__file__).parents[2] / "examples" / "labels.txt"


def write(page: Page, place: str, text: str) -> None:
    """Type into a field; Gradio takes it a moment later."""
    page.wait_for_timeout(500)
    page.fill(f"{place} input, {place} textarea", text)
    page.wait_for_timeout(500)


def take(page: Page, url: str, upload: Path, out: Path) -> None:
    """Search for an airplane and open the best hit; then name a bed."""
    page.set_default_timeout(120_000)
    page.goto(url)
    write(page, "#words", "airplane")
    page.click("#search")
    page.locator("#search-status", has_text="shapes").wait_for()
    page.locator("#results button.thumbnail-item").first.click()
    page.wait_for_selector("#sheet img")
    page.wait_for_selector("#viewer canvas")
    page.wait_for_timeout(5000)
    page.screenshot(path=out / "app-search.png")
    page.click("button[role=tab]:has-text('Classify a file')")
    page.set_input_files("#upload input[type=file]", upload)
    page.locator("#upload", has_text=upload.suffix).wait_for()
    write(page, "#labels", ", ".join(read_labels_file(LABELS)))
    page.click("#classify")
    page.wait_for_selector("#evidence img")
    page.set_viewport_size({"width": 1280, "height": 760})
    page.wait_for_timeout(2000)
    page.screenshot(path=out / "app-name.png")


def main(home: Path, out: Path) -> None:
    """Make the library, serve it and take both pictures."""
    (home / "files").mkdir()
    for number, (category, seed) in enumerate((c, FIRST_SEED + i) for c in LIBRARY for i in range(DESIGNS)):
        save(make_shape(category, seed=seed), home / "files" / f"{number:03d}.glb")
    upload = save(make_shape("bed", seed=FIRST_SEED), home / "upload.glb")
    index = Index.open(home / "library.lance")
    index.add(home / "files")
    server = serve(LibraryService(index, jobs=1))
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        take(chromium.new_page(viewport={"width": 1280, "height": 1000}), server.url, upload, out)
        chromium.close()
    server.close()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(Path(folder), Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
