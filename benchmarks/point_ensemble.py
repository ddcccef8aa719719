"""A small point network in the space of `tiny`, and what it adds to `tiny` on shapes neither was trained on.

    GOMP_SPINCOUNT=10000 python benchmarks/point_ensemble.py --shapes SHAPES --out bench-out

The network is a `PointPatchTransformer` of 0.6 M parameters that reads 1,024 coloured points; `tiny` sees no colours. It learns from the
training makers of the labelled shapes and from generated shapes: image features are those of `tiny`'s ten depth views, text features
those of the label. For each seed the scales of `tiny` and the network are fitted on the validation makers and on generated shapes of the
validation seeds, together; figures are on the test makers and on generated shapes of the test seeds, see `basrelief.datasets.maker_split`.
All names of the files compete.

The features of `tiny` are computed once and kept in `--out`. A seed takes under 10 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import basrelief as br
from basrelief.datasets import maker_split
from basrelief.encoders.points.files import space_fingerprint
from basrelief.encoders.points.registry import NetworkSpec
from basrelief.geometry import sample_surface, subsample
from basrelief.io import load
from basrelief.metrics import wilson
from basrelief.models import Model
from basrelief.output import make_folder
from basrelief.render.chart import line_chart
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.tasks.scales import fit_scales
from basrelief.train import PointSettings
from basrelief.train.data import ShapeSet, generated_shapes, list_shapes, merge, read_shapes
from basrelief.train.point.fit import POINT_FILE, Space, fit_point
from basrelief.train.point.settings import CloudAugmentation, OptimiserSettings, ScheduleSettings
from basrelief.train.point.triplets import StoredTriplets
from basrelief.train.run import RunContext, make_accelerator
from basrelief.types import Mesh, PointCloud, Shape
from tiny import first_seed

POINTS = 2048  # of each stored cloud
SIZE = {
    "dim": 128,
    "depth": 4,
    "heads": 2,
    "mlp_dim": 256,
    "patch_dim": 128,
    "patches": 64,
    "radius": 0.3,
    "samples": 32,
    "projection": 512,
}
SETTINGS = PointSettings(
    batch_size=64,
    frame="z-up",
    points=1024,
    max_logit_scale=100,
    save_every=100,
    validate_every=1_000_000,
    workers=1,
    optimiser=OptimiserSettings(lr=2e-3, weight_decay=0.05, decay_all=False, beta2=0.98, clip=1.0),
    schedule=ScheduleSettings("cosine", warm_up=50),
    augmentation=CloudAugmentation(dropout=0.5, drop_colors=0.3),
)


@dataclass(frozen=True, eq=False)
class Part:
    """Shapes that are named, and how."""

    title: str
    shapes: ShapeSet
    colors: np.ndarray

    @property
    def clouds(self) -> list[PointCloud]:
        """The clouds, with colours where all points have one."""
        pairs = zip(self.shapes.points.float().numpy(), self.colors.astype(np.float32), strict=True)
        return [PointCloud(points, None if np.isnan(own).any() else own.clip(0, 1)) for points, own in pairs]

    @property
    def truth(self) -> np.ndarray:
        """Index of the right name of each."""
        return self.shapes.label.numpy()


def colors(shapes: Iterable[tuple[Shape, int]]) -> np.ndarray:
    """Colours of the points that `surface_points` samples of shapes with their seeds, (S, N, 3) float16; NaN where there are none."""
    found = []
    for shape, seed in shapes:
        own = (sample_surface if isinstance(shape, Mesh) else subsample)(shape, POINTS, seed=seed).colors
        found.append(np.full((POINTS, 3), np.nan, np.float16) if own is None else own.astype(np.float16))
    return np.stack(found)


def generated(part: Literal["train", "validation", "test"], each: int) -> Part:
    """Generated shapes of the seeds of a part."""
    first = first_seed(part)
    shapes = generated_shapes(CATEGORIES, each, count=POINTS, seed=first)
    made = ((make_shape(name, seed=first + i), first + i) for name in CATEGORIES for i in range(each))
    return Part(f"generated, {part} seeds", shapes, colors(made))


def parts(folder: Path | None, each: int) -> tuple[Part, Part, list[Part]]:
    """Training shapes, the part that chooses scales, and the parts that are reported, all with the same names."""
    made = [generated("train", each), generated("validation", 5), generated("test", 5)]
    if folder is None:
        return made[0], made[1], made[2:]
    files = read_shapes(folder, count=POINTS)
    own = colors((load(row.path, up="z"), i) for i, row in enumerate(list_shapes(folder)))
    whole = merge([files, *(part.shapes for part in made)])
    painted = np.concatenate([own, *(part.colors for part in made)])
    of_files = [maker_split().part(group) for group in files.group]
    kind = np.array(
        of_files + [name for name, part in zip(("train", "validation", "made"), made, strict=True) for _ in range(len(part.shapes))]
    )
    cut = lambda title, name: Part(title, whole.select(kind == name), painted[kind == name])  # noqa: E731
    reported = [cut("test makers", "test"), cut("generated, test seeds", "made")]
    held_out = cut("validation makers and seeds", "validation")
    return cut("training", "train"), held_out, [part for part in reported if len(part.shapes)]


def triplets(part: Part, model: Model, cache: Path) -> StoredTriplets:
    """Coloured clouds with the features of `tiny`'s depth views and of their label."""
    shapes = part.shapes
    if not cache.is_file():
        clouds = part.clouds
        np.save(cache, np.concatenate([model.embed_views(clouds[i : i + 64]).numpy() for i in range(0, len(clouds), 64)]))
    views = np.load(cache)
    if len(views) != len(shapes):
        raise SystemExit(f"{cache} holds features of {len(views)} shapes, not {len(shapes)}; remove it, or name another folder with --out")
    return StoredTriplets(
        [str(row) for row in range(len(shapes))],
        clouds=np.concatenate([shapes.points.numpy(), part.colors], axis=2),
        images=views,
        exists=np.ones(views.shape[:2], dtype=bool),
        texts=model.embed_text(shapes.names).numpy(),
        text_rows=[[label] for label in shapes.label.tolist()],
    )


def trained(data: StoredTriplets, model: Model, *, out: Path, steps: int, seed: int) -> Path:
    """The file of a network trained with a seed; a finished one is kept."""
    per_epoch = len(data) // SETTINGS.batch_size
    settings = replace(SETTINGS, epochs=max(1, round(steps / per_epoch)), seed=seed)
    spec = NetworkSpec("point-patch-small", "point_patch", SIZE)
    space = Space(model.recipe.encoder, space_fingerprint(model.encoder))
    fit_point(data, settings=settings, context=RunContext(make_accelerator("float32", cpu=True), out), space=space, spec=spec)
    return out / POINT_FILE


def cosines(model: Model, part: Part) -> np.ndarray:
    """Cosine of each shape with each name, less the penalties of `tiny`."""
    pooled = model.pool_embeddings(model.embed_views(part.clouds))
    return model.encode_labels(part.shapes.names).similarity(pooled).numpy()


def measured(
    alone: dict[str, np.ndarray], model: Model, held_out: Part, reported: list[Part]
) -> tuple[tuple[float, ...], dict[str, list[np.ndarray]]]:
    """Fitted scales, and for each reported part which shapes `tiny`, the network and their ensemble name rightly.

    The ensemble is that of `basrelief.models.ensemble`: the sum of the cosines, each times its scale.
    """
    both = {part.title: np.stack([alone[part.title], cosines(model, part)]) for part in (held_out, *reported)}
    scales, _ = fit_scales(both[held_out.title], held_out.truth)
    found = {}
    for part in reported:
        scores = [*both[part.title], np.tensordot(scales, both[part.title], axes=1)]
        found[part.title] = [score.argmax(axis=1) == part.truth for score in scores]
    return scales, found


def report(title: str, right: list[list[np.ndarray]]) -> None:
    """Print the accuracies of a part over all seeds, and how often only one of `tiny` and the ensemble is right."""
    shapes = len(right[0][0])
    for place, name in enumerate(("tiny", "points", "ensemble")):
        top1 = [100 * seed[place].mean() for seed in right]
        low, high = wilson(int(np.mean([seed[place].sum() for seed in right])), shapes)
        print(
            f"{title:<24} n {shapes:>4}   {name:<9} top-1 {np.mean(top1):5.1f} %   seeds {' '.join(f'{value:5.1f}' for value in top1)}   "
            f"({100 * low:.1f} to {100 * high:.1f})"
        )
    gained = [int((seed[2] & ~seed[0]).sum()) for seed in right]
    lost = [int((seed[0] & ~seed[2]).sum()) for seed in right]
    print(f"{'':<24} right by the ensemble alone {gained}, by tiny alone {lost}")


def main() -> None:
    """Train, fit, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, help="folder of labelled shapes, its table beside it; generated shapes alone without it")
    parser.add_argument("--out", type=Path, help="folder of the runs; without one nothing is trained")
    parser.add_argument("--each", type=int, default=40, help="generated training shapes of each category")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.out is None:
        print("point ensemble: no --out given, nothing to train")
        return
    torch.set_num_threads(given.threads)
    make_folder(given.out)
    tiny = br.load_model("tiny", device="cpu", dtype="float32")
    training, held_out, reported = parts(given.shapes, given.each)
    shapes = training.shapes
    start = time.perf_counter()
    data = triplets(training, tiny, given.out / "teacher.npy")
    print(f"{platform.machine()}, {given.threads} threads, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    print(f"{len(shapes)} training shapes, {len(shapes.names)} names, {given.steps} steps of {SETTINGS.batch_size} shapes", end="; ")
    print(f"features of tiny in {time.perf_counter() - start:.0f} s", flush=True)
    alone = {part.title: cosines(tiny, part) for part in (held_out, *reported)}
    right: dict[str, list[list[np.ndarray]]] = {part.title: [] for part in reported}
    for seed in range(given.seeds):
        start = time.perf_counter()
        file = trained(data, tiny, out=given.out / f"seed-{seed}", steps=given.steps, seed=seed)
        spent = time.perf_counter() - start
        points = br.load_model("tiny", checkpoint=file, device="cpu", dtype="float32")
        scales, found = measured(alone, points, held_out, reported)
        print(
            f"seed {seed}: trained in {spent:.0f} s, scales {' and '.join(f'{scale:.1f}' for scale in scales)} by {held_out.title}",
            flush=True,
        )
        for title, each in found.items():
            right[title].append(each)
    for title, seeds in right.items():
        report(title, seeds)
        lines = {name: [100 * float(seed[place].mean()) for seed in seeds] for place, name in enumerate(("tiny", "points", "ensemble"))}
        chart = line_chart(lines, range(given.seeds), title=f"top-1 %, {title}", below="seed of the point network")
        chart.save(given.out / f"{title.replace(',', '').replace(' ', '-')}.png")


if __name__ == "__main__":
    main()
