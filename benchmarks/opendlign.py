"""What OpenDlign's alignment is worth, in miniature: zero-shot accuracy on depth maps before and after, with a plot; what caching saves.

    python benchmarks/opendlign.py --out bench-out --seeds 3
    python benchmarks/opendlign.py --out bench-out --projections opendlign opendlign-paper

A small tower first learns the names of generated shapes from colour images (it stands in for CLIP, whose weights are not needed here); it
has never seen a depth map. The attention of a copy of its last block is then aligned with depth-aligned images, drawn by our own renderer,
without any name. Both classify shapes of unseen seeds from contour-aware depth maps alone, drawn as the authors' program does
(`opendlign`) or as their paper says (`opendlign-paper`).
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

import basrelief as br
from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import ClipEncoder
from basrelief.models import Model, get_recipe
from basrelief.render.chart import line_chart
from basrelief.shapes import write_library
from basrelief.tasks import Pooling
from basrelief.testing import teach_pictures
from basrelief.train import (
    AblationStudy,
    AlignedMaker,
    AlignedSettings,
    OpenDlignSettings,
    TrainOptions,
    Workers,
    ablation_table,
    make_records,
)
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned
from basrelief.train.depth_aligned.settings import CONTOUR_PROJECTIONS
from basrelief.train.opendlign.trainer import align
from basrelief.train.validation import zero_shot_accuracy

NAMES = (
    "chair table sofa bed toilet lamp mug bowl vase bottle car bus airplane boat bicycle helicopter guitar ladder tree cactus house tower "
    "stool umbrella"
).split()
SIZE, POINTS = 64, 4096


def plain_model(images: AlignedSet, seed: int, steps: int) -> Model:
    """A small tower that names the pictures of taught shapes, under OpenDlign's projection."""
    base = br.load_model("tiny", dtype="float32").encoder
    if not isinstance(base, ClipEncoder):
        raise TypeError("tiny has CLIP towers")
    recipe = get_recipe("opendlign-untuned").with_projection(images.projection)
    recipe = replace(recipe, points=POINTS, templates="name", normalisation="weights")
    pictures = torch.from_numpy(np.stack([images.pictures(row) for row in range(len(images))])).permute(0, 1, 4, 2, 3)
    texts = Model(recipe, base).embed_text(images.labels)
    return Model(recipe, teach_pictures(base, pictures, truth=images.truth, texts=texts, steps=steps, seed=seed))


def accuracy(model: Model, held: Benchmark, tuned: tuple[int, ...], rule: str = "mean") -> Callable[[ClipEncoder], float]:
    """Zero-shot accuracy with some views in the tuned branch."""
    pooling = Pooling(rule) if rule == "softmax-sum" else Pooling(rule, scale=1.0)
    recipe = replace(model.recipe, tuned_views=tuned, pooling=pooling)
    return zero_shot_accuracy(Model(recipe, model.encoder, prompter=model.prompter), held)


def epoch_seconds(images: AlignedSet, model: Model, home: Path, settings: OpenDlignSettings) -> dict[str, float]:
    """Seconds of one epoch by what is kept, the making of it not counted."""
    found = {}
    for cache in ("tokens", "pictures", "none"):
        few = replace(settings, cache=cache, epochs=1)
        kept = TrainOptions(cache=home / f"features-{cache}")
        encoder: ClipEncoder = model.encoder  # type: ignore[assignment]
        align(images, encoder, out=home / f"warm-{cache}", settings=few, options=kept)
        start = time.perf_counter()
        align(images, encoder, out=home / f"timed-{cache}", settings=few, options=kept)
        found[cache] = time.perf_counter() - start
    return found


def print_tables(names: str, study: AblationStudy) -> None:
    """The paper's ablations in miniature, on the last seed's tower."""
    for name in filter(None, names.split(",")):
        table = ablation_table(study, name)
        print(f"\n{table.title}\n{' | '.join(table.columns)}")
        for row in table.rows:
            print(" | ".join(str(cell) for cell in row))


def keep(curve: list[float], validate: Callable[[ClipEncoder], float], encoder: ClipEncoder) -> float:
    """Validate, note the accuracy and pass it on."""
    curve.append(100 * validate(encoder))
    return curve[-1] / 100


def measure(projection: str, taught: Benchmark, held: Benchmark, home: Path, given: argparse.Namespace) -> dict[str, list[float]]:
    """Align under one projection with every seed; print accuracies, times and tables, and return the accuracy over epochs."""
    maker = AlignedMaker(AlignedSettings(source="shaded", size=SIZE, points=POINTS, projection=projection))
    make_records(taught, home / "images", maker=maker, workers=Workers(2))
    images = open_aligned(home / "images")
    print(f"{projection}: {len(NAMES)} names, {len(images)} shapes with images, {len(held)} unseen shapes, torch {torch.__version__}")
    lines: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        start = time.perf_counter()
        model = plain_model(images, seed, given.steps)
        encoder: ClipEncoder = model.encoder  # type: ignore[assignment]
        every = tuple(range(10))
        curve = [100 * accuracy(model, held, ())(encoder)]
        how = {"batch_size": 32, "epochs": given.epochs, "lr": given.lr, "seed": seed, "workers": 2, "save_every": 10_000}
        settings = OpenDlignSettings(**how, validate_every=min(5, given.epochs))
        validate = partial(keep, curve, accuracy(model, held, every))
        aligned = align(images, encoder, out=home / f"run{seed}", settings=settings, validate=validate)
        split = 100 * accuracy(model, held, every[5:], "softmax-sum")(aligned)
        print(
            f"seed {seed}: depth maps before {curve[0]:.1f} %, after {curve[-1]:.1f} % (tuned branch), {split:.1f} % (views split), "
            f"{time.perf_counter() - start:.0f} s"
        )
        lines[f"seed {seed}"] = curve
    times = epoch_seconds(images, model, home, settings)
    slow = times["none"]
    print("one epoch: " + ", ".join(f"{name} {took:.2f} s ({slow / took:.1f}x)" for name, took in times.items()))
    print_tables(given.tables, AblationStudy(model, (images,), (held,), home / "ablation", settings))
    return lines


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--projections", nargs="+", default=["opendlign"], choices=CONTOUR_PROJECTIONS, help="which projections to compare")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--each", type=int, default=16, help="shapes of each name that are taught")
    parser.add_argument("--steps", type=int, default=300, help="steps of the teacher")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of the alignment, a multiple of 5")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate; the paper's 3e-4 is for ten times as many steps")
    parser.add_argument("--tables", default="", help="ablations to print for the last seed, e.g. components,aggregation,views")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        taught, held = (
            open_benchmark(write_library(home / name, NAMES, first=first, each=each), "folder")
            for name, first, each in (("taught", 0, given.each), ("held", 800_000, 4))
        )
        found = {name: measure(name, taught, held, home / name, given) for name in given.projections}
    given.out.mkdir(parents=True, exist_ok=True)
    lines = {f"{name}, {seed}" if len(found) > 1 else seed: curve for name, curves in found.items() for seed, curve in curves.items()}
    title = "zero-shot top-1 % on depth maps of unseen shapes"
    epochs = range(0, given.epochs + 1, min(5, given.epochs))
    line_chart(lines, epochs, title=title, below="epochs of alignment").save(given.out / "opendlign.png")
    print(f"plot: {given.out / 'opendlign.png'}")


if __name__ == "__main__":
    main()
