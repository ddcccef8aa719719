"""Few-shot accuracy of every head over 1 to 16 shots, on frozen features, with a plot.

    python benchmarks/heads.py --root SHAPES --out bench-out

Classes with at least 20 shapes; of each class four are asked and the others taught, drawn again for every seed. `tiny` reads the shapes;
for the dual path, which needs a second tower, an untrained tower of the same form stands in for plain CLIP's.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import basrelief as br
from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import VectorCache
from basrelief.models import Embedder, Model
from basrelief.render.chart import line_chart
from basrelief.tasks import HEADS, FitOptions, fit_head, head_scores, sample_shots
from basrelief.train.tiny.towers import new_encoder

SHOTS = (1, 2, 4, 8, 16)
ASKED = 4


def features(root: Path, least: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], Model]:
    """Features of both paths along the views, and class numbers, for the classes that are large enough."""
    benchmark = open_benchmark(root, "folder")
    model = br.load_model("tiny", dtype="float32")
    second = Model(model.recipe, new_encoder(model.encoder.tokenizer, seed=1))
    cache = VectorCache.shared("shapes")
    large = [i for i, count in enumerate(benchmark.counts().values()) if count >= least]
    chosen = part(benchmark, large)
    first, other = Embedder(model, cache).embed(chosen), Embedder(second, cache).embed(chosen)
    names = tuple(benchmark.labels[i] for i in large)
    truth = np.searchsorted(large, first.truth)
    return np.concatenate([first.features, other.features], axis=1), truth, names, model


def part(benchmark: Benchmark, classes: list[int]) -> Benchmark:
    """The shapes with these class numbers."""
    return replace(benchmark, items=tuple(item for item in benchmark.items if item.label in classes))


def accuracy(kind: str, views: torch.Tensor, truth: np.ndarray, texts: torch.Tensor, *, shots: int, seed: int) -> float:
    """Share of the asked shapes that a head names rightly after some shots."""
    asked = sample_shots(truth, ASKED, seed=1000 + seed)
    rest = np.setdiff1d(np.arange(len(truth)), asked)
    support = rest[sample_shots(truth[rest], shots, seed=seed)]
    used = views if HEADS[kind].paths == 2 else views[:, : views.shape[1] // 2]
    head = fit_head(kind, used[support], truth=torch.from_numpy(truth[support]), texts=texts, fit=FitOptions(seed=seed))
    return float((head_scores(head, used[asked]).argmax(dim=1).numpy() == truth[asked]).mean())


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of class folders; without one nothing is measured")
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.root is None:
        print("heads: no --root given, nothing to measure")
        return
    views, truth, names, model = features(given.root, 16 + ASKED)
    texts = model.embed_text(names)
    print(f"{len(names)} classes, {len(truth)} shapes, {given.seeds} seeds, {torch.get_num_threads()} threads, torch {torch.__version__}")
    lines: dict[str, list[float]] = {}
    for kind in HEADS:
        lines[kind] = []
        for shots in SHOTS:
            start = time.perf_counter()
            found = [100 * accuracy(kind, torch.from_numpy(views), truth, texts, shots=shots, seed=seed) for seed in range(given.seeds)]
            seconds = (time.perf_counter() - start) / given.seeds
            lines[kind].append(float(np.mean(found)))
            print(f"{kind:<12} {shots:>2} shots  top-1 {np.mean(found):5.1f} %  deviation {np.std(found):4.1f}  {seconds:6.1f} s a fit")
    given.out.mkdir(parents=True, exist_ok=True)
    title = f"top-1 %, {len(names)} classes, mean of {given.seeds} draws"
    line_chart(lines, SHOTS, title=title, below="shapes taught per class").save(given.out / "heads.png")
    print(f"plot: {given.out / 'heads.png'}")


if __name__ == "__main__":
    main()
