"""The task `retrieval`: find shapes by class name, picture or shape. A hit is right if it has the query's class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.result import Cell, Metric, Result, Table, mean_metric
from basrelief.metrics import RetrievalScores
from basrelief.models import Embedder, Model, ViewFeatures
from basrelief.render import render_thumbnail

DIRECTIONS = ("text", "image", "shape")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_PICTURES_AT_ONCE = 32
_MAX_PICTURE_BYTES = 50_000_000

Queries = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Embeddings (Q, D), class numbers (Q,), and the row of each query among the shapes (Q,), or None."""


def retrieval(
    embedder: Embedder, benchmark: Benchmark, *, directions: tuple[str, ...] = DIRECTIONS, pictures: Path | None = None
) -> Result:
    """Rank all shapes of a benchmark for each query.

    Two ways to pool the views of a shape are measured: similarity to the mean view, and to the best view.

    Args:
        embedder: Embeds with the model.
        benchmark: The shapes to find; its labels are the text queries.
        directions: Kinds of queries: `text` (class names), `image`, and `shape` (each shape finds the others of its class).
        pictures: For `image`: folder with one folder of pictures per class. None renders a shaded picture of each shape; that picture must
            find other shapes of its class.

    Raises:
        ConfigError: If a direction is unknown, the folder holds no picture of a class, or a picture cannot be read.
    """
    for direction in directions:
        if direction not in DIRECTIONS:
            raise ConfigError(unknown_choice("direction", direction, DIRECTIONS))
    found = embedder.embed(benchmark)
    pooled = embedder.model.pool_embeddings(torch.from_numpy(found.views)).numpy()
    asked: Mapping[str, Callable[[], Queries]] = {
        "text": lambda: _words(embedder.model, benchmark, found),
        "image": lambda: _pictures(embedder.model, benchmark, found) if pictures is None else _folder(embedder.model, benchmark, pictures),
        "shape": lambda: (pooled, found.truth, np.arange(len(found.items))),
    }
    metrics: list[Metric] = []
    rows: list[tuple[Cell, ...]] = []
    for direction in directions:
        queries = asked[direction]()
        for pooling in ("mean", "best"):
            scored = _score(queries, found, found.views if pooling == "best" else pooled[:, None])
            rows += [_row(direction, pooling, scored)] if len(scored.first) else []
            metrics += _metrics(direction, scored) if pooling == "mean" and len(scored.first) else ()
    unasked = [direction for direction in directions if not any(row[0] == f"{direction} to shape" for row in rows)]
    columns = ("query", "views", "queries", "R@1 %", "R@5 %", "R@10 %", "mAP %", "median rank", "MRR %")
    notes = ["Pictures are shaded renderings of the shapes themselves."] if "image" in directions and pictures is None else []
    notes += [f"{direction} to shape: no query has another shape of its class." for direction in unasked]
    failures = tuple(found.failures.items())
    return Result(tuple(metrics), (Table("retrieval", columns, tuple(rows)),), failures=failures, notes=tuple(notes))


def _score(queries: Queries, found: ViewFeatures, views: np.ndarray) -> RetrievalScores:
    vectors, classes, own = queries
    scores = np.full((len(vectors), len(views)), -np.inf, dtype=np.float32)
    for v in range(views.shape[1]):  # a view at a time: Q x N, not Q x N x V
        scores = np.maximum(scores, vectors @ views[:, v].T)
    left_out = None if own is None else own[:, None] == np.arange(len(views))
    return RetrievalScores.compute(scores, classes[:, None] == found.truth, left_out=left_out)


def _words(model: Model, benchmark: Benchmark, found: ViewFeatures) -> Queries:
    present = np.unique(found.truth)
    return model.embed_text([benchmark.labels[i] for i in present]).cpu().numpy(), present, None


def _pictures(model: Model, benchmark: Benchmark, found: ViewFeatures) -> Queries:
    """Shaded renderings of the shapes, a few at a time."""
    drawn = (render_thumbnail(benchmark.load(item), size=model.encoder.image_size) for item in found.items)
    return _embedded(model, drawn), found.truth, np.arange(len(found.items))


def _folder(model: Model, benchmark: Benchmark, pictures: Path) -> Queries:
    names = {label.replace("_", " ").lower(): i for i, label in enumerate(benchmark.labels)}
    files = [
        (file, names[folder.name.replace("_", " ").lower()])
        for folder in (sorted(pictures.iterdir()) if pictures.is_dir() else ())
        if folder.is_dir() and folder.name.replace("_", " ").lower() in names
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _PICTURES and file.stat().st_size <= _MAX_PICTURE_BYTES
    ]
    if not files:
        raise ConfigError(
            f"Folder {pictures.name!r} has no picture in a folder named like a label. Sort the pictures into one folder per label, "
            f"e.g. {benchmark.labels[0]!r}."
        )
    return _embedded(model, (_read(file) for file, _ in files)), np.array([number for _, number in files]), None


def _read(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"Cannot read picture {file.name!r}: {error}. Remove or replace it.") from error


def _embedded(model: Model, pictures: Iterator[np.ndarray]) -> np.ndarray:
    rows, waiting = [], []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == _PICTURES_AT_ONCE:
            rows.append(model.embed_images(waiting).float().cpu().numpy())
            waiting = []
    if waiting:
        rows.append(model.embed_images(waiting).float().cpu().numpy())
    return np.concatenate(rows)


def _metrics(direction: str, scored: RetrievalScores) -> tuple[Metric, ...]:
    recall = tuple(mean_metric(f"{direction}_r{k}", f"{direction} to shape, R@{k}", (scored.first < k).astype(float)) for k in (1, 5))
    return (*recall, mean_metric(f"{direction}_map", f"{direction} to shape, mAP", scored.average_precision))


def _row(direction: str, pooling: str, scored: RetrievalScores) -> tuple[Cell, ...]:
    shares = [scored.recall_at(k) for k in (1, 5, 10)]
    numbers = [round(100 * value, 2) for value in (*shares, scored.mean_average_precision)]
    reciprocal = round(100 * scored.mean_reciprocal_rank, 2)
    return (f"{direction} to shape", pooling, len(scored.first), *numbers, scored.median_rank, reciprocal)
