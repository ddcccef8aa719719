"""Draw `colour-views.png` beside this file: how textures, cut-out leaves and coloured clouds look to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

import basrelief as br
from basrelief.geometry import sample_surface
from basrelief.render import render_thumbnail
from basrelief.render.canvas import Canvas
from basrelief.types import Mesh, Shape

HERE = Path(__file__).parent
SHAPES = HERE.parents[1] / "examples" / "shapes-colour"
SIZE, LINE = 240, 26


def main() -> None:
    """Write the picture."""
    globe, fern = br.load(SHAPES / "globe.glb"), br.load(SHAPES / "fern.glb")
    if not isinstance(globe, Mesh) or not isinstance(fern, Mesh) or fern.appearance is None:
        raise TypeError("The shapes of the examples are textured meshes.")
    opaque = replace(fern.appearance, materials=tuple(replace(each, cutoff=0.0) for each in fern.appearance.materials))
    shown: dict[str, Shape] = {
        "colours of vertices": replace(globe, appearance=None),
        "texture at every pixel": globe,
        "10,000 points of it": sample_surface(globe, 10_000),
        "leaves without alpha": replace(fern, appearance=opaque),
        "leaves cut out by alpha": fern,
    }
    canvas = Canvas(SIZE * len(shown), SIZE + LINE)
    for column, (name, shape) in enumerate(shown.items()):
        canvas.picture((column * SIZE, 0), render_thumbnail(shape, size=SIZE), side=SIZE, framed=False)
        canvas.text((column * SIZE + 16, SIZE + 12), name, width=SIZE - 20, size=15)
    small = canvas.image.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(HERE / "colour-views.png", optimize=True)


if __name__ == "__main__":
    main()
