"""Make `real-scans.png` beside this file: the pages of real scans, in Chromium. `python docs/images/real_scans.py FOLDER`.

The scans are `tutorials/` of PointCloudLibrary/data on GitHub (BSD-3-Clause). They have no labels, so nothing is scored.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from basrelief.scenes import detect

WORDS = (
    "chair",
    "table",
    "desk",
    "sofa",
    "bookshelf",
    "cabinet",
    "lamp",
    "monitor",
    "laptop",
    "potted plant",
    "trash can",
    "bottle",
    "mug",
)
SCANS = ("room_scan1.pcd", "room_scan2.pcd", "table_scene_mug_stereo_textured.pcd", "region_growing_rgb_tutorial.pcd")
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SIZE = (1100, 700)


def main(scans: Path, out: Path) -> None:
    """Find things in each scan, and put the pictures of the pages together."""
    sheet = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]))
    with TemporaryDirectory() as home, sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for number, name in enumerate(SCANS):
            found = detect(scans / name, WORDS)
            file = found.save(Path(home) / f"{Path(name).stem}.html")
            page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.goto(file.as_uri())
            page.wait_for_timeout(4000)
            page.screenshot(path=Path(home) / "page.png")
            sheet.paste(Image.open(Path(home) / "page.png"), (number % 2 * SIZE[0], number // 2 * SIZE[1]))
            page.close()
        chromium.close()
    small = sheet.resize((SIZE[0] * 2 * 2 // 3, SIZE[1] * 2 * 2 // 3), Image.Resampling.LANCZOS)
    small.quantize(192, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("real-scans.png"))
