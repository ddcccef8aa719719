"""Shapes, words and pictures share one space: rank the example shapes by how like a query they are."""

from pathlib import Path

import basrelief as br

model = br.load_model("tiny")
paths = sorted(path for path in Path("examples/shapes").iterdir() if path.suffix in {".glb", ".obj", ".off", ".ply", ".stl"})
shapes = model.embed_shapes([br.load(path) for path in paths])

queries = ("armchair", "cup", "aircraft")
words = model.embed_text(queries)
words -= words.mean(dim=0)  # what all words have in common says nothing of a shape
for query, similarity in zip(queries, words @ shapes.T, strict=True):
    print(f"{query}: {paths[int(similarity.argmax())].name}")
