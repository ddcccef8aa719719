"""Shapes, words and images share one embedding space: find the example shape closest to each query."""

from pathlib import Path

import basrelief as br

model = br.load_model("tiny")
paths = sorted(path for path in Path("examples/shapes").iterdir() if path.suffix in {".glb", ".obj", ".off", ".ply", ".stl"})
shapes = model.embed_shapes([br.load(path) for path in paths])

queries = ("armchair", "cup", "aircraft")
words = model.embed_text(queries)
words -= words.mean(dim=0)  # all text embeddings share a direction that says nothing about shapes
for query, similarity in zip(queries, words @ shapes.T, strict=True):
    print(f"{query}: {paths[int(similarity.argmax())].name}")
