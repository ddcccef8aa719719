"""Write the demo shapes in `examples/shapes`: generated everyday things, in five file formats.

Run from anywhere: `python examples/make_shapes.py [folder]`.

The shipped weights were trained on shapes of the same generator: `tiny` on seeds below 300, the upright network on 200,000 to 200,299.
Every demo shape has seed 1,000,000, fixed before its label was looked at. The models saw other designs of these things, some much alike.
"""

import sys
from pathlib import Path

from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.shapes import make_shape

SEED = 1_000_000
MESHES = {"chair.glb": "chair", "table.obj": "table", "airplane.stl": "airplane", "lamp.off": "lamp", "bicycle.glb": "bicycle"}
CLOUDS = {"mug.ply": "mug"}
POINTS = 4096


def main(folder: Path) -> None:
    """Write every demo shape into a folder and print its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, category in MESHES.items():
        print(save(make_shape(category, seed=SEED), folder / name))
    for name, category in CLOUDS.items():
        print(save(sample_surface(make_shape(category, seed=SEED), POINTS), folder / name))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "shapes")
