"""What CLIP2Point's pre-training is worth, in miniature: zero-shot accuracy on depth maps before and after, with a plot.

    python benchmarks/clip2point.py --out bench-out --seeds 3

A small tower first learns from coloured pictures of generated shapes what they are called (it stands in for CLIP, whose weights are not
needed here); it has never seen a depth map. Its copy is then pre-trained on image-depth pairs, without any name. Both are asked for the
names of shapes of unseen seeds, from depth maps of 1,024 points alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import basrelief as br
from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import ClipEncoder
from basrelief.models import Model, get_recipe
from basrelief.render.chart import line_chart
from basrelief.shapes import write_library
from basrelief.testing import teach_pictures
from basrelief.train import Clip2PointSettings, PairMaker, PairSettings, Workers, make_records
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import pretrain
from basrelief.train.pairs.read import PairSet, open_pairs
from basrelief.train.validation import zero_shot_accuracy

NAMES = (
    "chair table sofa bed toilet lamp mug bowl vase bottle car bus airplane boat bicycle helicopter guitar ladder tree cactus house tower "
    "stool umbrella"
).split()
SIZE = 64


def write(root: Path, first: int, each: int) -> Benchmark:
    """Generated shapes of each name as files."""
    return open_benchmark(write_library(root, NAMES, first=first, each=each), "folder")


def teacher(pairs: PairSet, seed: int, steps: int) -> Model:
    """A small tower that names pictures: trained on them, with `tiny`'s words."""
    tiny = br.load_model("tiny", dtype="float32")
    base = tiny.encoder
    if not isinstance(base, ClipEncoder):
        raise TypeError("tiny has CLIP towers")
    recipe = replace(get_recipe("clip2point-untuned"), projection="clip2point", projection_options={"size": SIZE, "radius": 2 / SIZE})
    recipe = replace(recipe, points=1024, templates="name", few_shot={})
    pictures = torch.stack([torch.stack([picture(pairs, row, view) for view in range(10)]) for row in range(len(pairs))])
    texts = Model(recipe, base).embed_text(pairs.labels)
    return Model(recipe, teach_pictures(base, pictures, truth=pairs.truth, texts=texts, steps=steps, seed=seed))


def picture(pairs: PairSet, row: int, view: int) -> Tensor:
    """One picture at the tower's size, bytes."""
    return torch.from_numpy(np.array(pairs.picture(row, view))).permute(2, 0, 1)


def on_pictures(model: Model, pairs: PairSet) -> float:
    """Share of shapes that the teacher names from their pictures."""
    texts, hits = model.embed_text(pairs.labels), 0
    for row in range(len(pairs)):
        images = torch.stack([picture(pairs, row, view) for view in range(10)]).float() / 255
        features = model.encoder.encode_images(images)
        hits += int((F.normalize(features, dim=-1) @ texts.T).sum(dim=0).argmax() == pairs.truth[row])
    return hits / len(pairs)


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--each", type=int, default=12, help="shapes of each name that are taught")
    parser.add_argument("--steps", type=int, default=300, help="steps of the teacher")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the pre-training")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        taught, held = write(home / "taught", 0, given.each), write(home / "held", 800_000, 4)
        style = PairSettings(size=SIZE, points=2048)
        for name, library in (("taught", taught), ("held", held)):
            make_records(library, home / f"{name}-pairs", maker=PairMaker(style), workers=Workers(2))
        pairs, unseen = open_pairs(home / "taught-pairs"), open_pairs(home / "held-pairs")
        print(f"{len(NAMES)} names, {len(pairs)} pairs, {len(unseen)} unseen shapes, torch {torch.__version__}")
        lines: dict[str, list[float]] = {}
        for seed in range(given.seeds):
            start = time.perf_counter()
            model = teacher(pairs, seed, given.steps)
            validate = zero_shot_accuracy(model, held)
            curve = [100 * validate(model.encoder)]  # type: ignore[arg-type]
            how = OptimiserSettings("adamw", 3e-4, restart_epochs=given.epochs)
            settings = Clip2PointSettings(batch_size=32, epochs=given.epochs, seed=seed, workers=2, save_every=10_000, optimiser=how)
            noted = partial(keep, curve, validate)
            pretrain(pairs, model.encoder, out=home / f"run{seed}", settings=settings, validate=noted)  # type: ignore[arg-type]
            seen, seconds = on_pictures(model, unseen), time.perf_counter() - start
            print(f"seed {seed}: pictures {seen:.1%}; depth maps before {curve[0]:.1f} %, after {curve[-1]:.1f} %, {seconds:.0f} s")
            lines[f"seed {seed}"] = curve
    given.out.mkdir(parents=True, exist_ok=True)
    title = "zero-shot top-1 % on depth maps of unseen shapes"
    line_chart(lines, range(given.epochs + 1), title=title, below="epochs of image-depth pre-training").save(given.out / "clip2point.png")
    print(f"plot: {given.out / 'clip2point.png'}")


def keep(curve: list[float], validate: Callable[[ClipEncoder], float], encoder: ClipEncoder) -> float:
    """Validate, note the accuracy and pass it on."""
    curve.append(100 * validate(encoder))
    return curve[-1] / 100


if __name__ == "__main__":
    main()
