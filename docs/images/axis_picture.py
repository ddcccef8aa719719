"""One file under three up axes, each with the answer of `tiny`: docs/images/up-axis.png.

python docs/images/axis_picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageDraw

import basrelief as br
from basrelief.geometry import rotate, rotation_to_z_up
from basrelief.render import render_thumbnail
from basrelief.shapes import make_shape

SIDE, LINE = 240, 44
LABELS = "chair,table,lamp,car,airplane,mug,bench,stool"
SHAPE = "car"


def main() -> None:
    """Draw the picture."""
    model = br.load_model("tiny", dtype="float32")
    shape = rotate(make_shape(SHAPE, seed=1_000_003), rotation_to_z_up("y").T)
    sheet = Image.new("RGB", (3 * SIDE, SIDE + LINE), "white")
    draw = ImageDraw.Draw(sheet)
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / f"{SHAPE}.obj"
        trimesh.Trimesh(shape.vertices, shape.faces, process=False).export(path)
        for i, up in enumerate((None, "z", "x")):
            seen = br.load(path, up)
            answer = model.classify([seen], LABELS)[0]
            picture = render_thumbnail(seen, size=SIDE, supersample=2)
            sheet.paste(Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)), (i * SIDE, 0))
            title = f"--up {up}" if up else f"by evidence: +{seen.origin.up.upper()} up"
            top = float(answer.probabilities[0]) if answer.probabilities is not None else float("nan")
            draw.text((i * SIDE + 12, SIDE + 4), f"{title}\n{answer.label} {top:.2f}", fill="black", font_size=14)
    sheet.save(Path(__file__).with_name("up-axis.png"), optimize=True)


if __name__ == "__main__":
    main()
