"""Writes the demo shapes in `examples/shapes`: everyday things made from numbers, one file format each.

Run from anywhere: `python examples/make_shapes.py [folder]`.
"""

import sys
from pathlib import Path

from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.shapes import make_shape

SHAPES = {
    "chair.glb": ("chair", 5),
    "table.obj": ("table", 4),
    "airplane.stl": ("airplane", 0),
    "lamp.off": ("lamp", 2),
    "bicycle.glb": ("bicycle", 0),
}
CLOUDS = {"mug.ply": ("mug", 0)}
POINTS = 4096


def main(folder: Path) -> None:
    """Write every demo shape into a folder and print where."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (category, seed) in SHAPES.items():
        print(save(make_shape(category, seed=seed), folder / name))
    for name, (category, seed) in CLOUDS.items():
        print(save(sample_surface(make_shape(category, seed=seed), POINTS), folder / name))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "shapes")
