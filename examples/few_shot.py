"""Teach `tiny` three things with two shapes each, keep what it learned, and name others."""

from pathlib import Path
from tempfile import TemporaryDirectory

import basrelief as br
from basrelief.models import FewShotClassifier
from basrelief.shapes import make_shape

names = ("mug", "lamp", "chair")
model = br.load_model("tiny")
support = [(make_shape(name, seed=seed), name) for name in names for seed in (1_000_001, 1_000_002)]
taught = FewShotClassifier.fit([model], [shape for shape, _ in support], truth=[name for _, name in support], head="cache")

with TemporaryDirectory() as folder:
    file = taught.save(Path(folder) / "mine.safetensors")
    again = FewShotClassifier.load(file, [model])

for name in names:
    answer = again.predict([br.load(next(Path("examples/shapes").glob(f"{name}.*")))])[0]
    print(f"{name}: {answer.label}")
