"""Shapes, words and pictures share one space: rank the example shapes by how like a query they are."""

from pathlib import Path

import basrelief as br

model = br.load_model("tiny")
paths = sorted(path for path in Path("examples/shapes").iterdir() if path.suffix in {".glb", ".obj", ".off", ".ply", ".stl"})
shapes = model.embed_shapes([br.load(path) for path in paths])

for query in ("armchair", "cup", "aircraft"):
    similarity = (model.embed_text([query]) @ shapes.T)[0]
    print(f"{query}: {paths[int(similarity.argmax())].name}")
