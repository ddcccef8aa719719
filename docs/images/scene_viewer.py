"""Make `scene-viewer.png` beside this file: the page of a generated room, scanned virtually, in Chromium.

Its seed is below 1,000,000, so it is used for no figure that is reported. Labels are the names of what the room holds, boxes those of
`detect`. The selected box is the best one with the right label.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.io import load, save
from basrelief.scenes import Detections, detect
from basrelief.scenes.export.colors import PALETTE
from basrelief.shapes import make_room, scan_room
from basrelief.shapes.rooms import Room

SEED = 500_012
POINTS = 120_000
SCORE = "0.3"
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def best_right(found: Detections, room: Room) -> int:
    """Return the first box that overlaps a thing of its label."""
    centers, sizes, _ = found.scene.boxes_in_file(found.boxes)
    overlap = box_iou(Boxes(centers, sizes), room.boxes)
    right = [
        n for n in range(len(found)) if any(name == found.names[n] and iou > 0.5 for name, iou in zip(room.labels, overlap[n], strict=True))
    ]
    return next(iter(right), 0)


def take(page_file: Path, selected: int, out: Path) -> None:
    """Open the page, hide uncertain boxes, select a box, and save the picture with 256 colours."""
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(page_file.as_uri())
        page.fill("#score", SCORE)
        page.evaluate("number => select(number)", selected)
        page.wait_for_timeout(3000)
        page.screenshot(path=out)
        chromium.close()
    picture = Image.open(out).convert("RGB")
    palette = Image.new("P", (1, 1))  # colours of labels cover few pixels, so they are given
    palette.putpalette(
        [*picture.quantize(256 - len(PALETTE)).getpalette()[: 3 * (256 - len(PALETTE))], *(v for color in PALETTE for v in color)]
    )
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(out, optimize=True)


def main(home: Path, out: Path) -> None:
    """Scan the room, find its things, and take the picture."""
    room = make_room(seed=SEED)
    scan = save(scan_room(room, seed=SEED, points=POINTS).cloud, home / "office.ply")
    found = detect(load(scan), list(dict.fromkeys(room.labels)))
    take(found.save(home / "office.html"), best_right(found, room), out / "scene-viewer.png")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(Path(folder), Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
