"""View embeddings of a benchmark: read, rendered and encoded in small batches, and cached on disk, so that a stopped run resumes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from basrelief.datasets import Benchmark, Item
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError, FileFormatError, GeometryError, MissingExtraError
from basrelief.io import split_row
from basrelief.models.model import SHAPES_PER_PASS, Model
from basrelief.models.shape_input import Prepared
from basrelief.render import sample_points
from basrelief.types import PointCloud, Progress
from basrelief.version import __version__


@runtime_checkable
class PointTransform(Protocol):
    """A transform of the points of a shape before they are rendered, named for the cache."""

    @property
    def name(self) -> str:
        """A name that changes with everything that decides the result."""

    def __call__(self, points: Float32[np.ndarray, "points 3"], shape: str, seed: int) -> Float32[np.ndarray, "kept 3"]:
        """Change a cloud, seeded by the shape's name."""


@dataclass(frozen=True, eq=False)
class ViewFeatures:
    """View features of shapes in the order of the benchmark, and failures.

    Attributes:
        items: N shapes.
        features: (N, V, D) float32, as the tower gives them.
        failures: Error of each shape that could not be read or rendered, by its id.
    """

    items: tuple[Item, ...]
    features: Float32[np.ndarray, "shapes views dim"]
    failures: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def views(self) -> Float32[np.ndarray, "shapes views dim"]:
        """The features at unit length."""
        unit: np.ndarray = F.normalize(torch.from_numpy(self.features), dim=-1).numpy()
        return unit

    @property
    def truth(self) -> Int64[np.ndarray, " shapes"]:
        """Class number of each shape."""
        return np.array([item.label for item in self.items], dtype=np.int64)


@dataclass
class EmbedStats:
    """What an embedder computed, as opposed to what came from the cache.

    Attributes:
        shapes: Read, drawn and encoded.
        seconds: Spent on them, and on those that failed.
    """

    shapes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Embedder:
    """Embeds benchmarks with one model.

    Attributes:
        model: What embeds.
        cache: Where embeddings are kept by shape, or None.
        seed: Of the surface samples and of the corruption.
        progress: Called after each batch, or None.
        stats: Counts what is not taken from the cache.
    """

    model: Model
    cache: VectorCache | None = None
    seed: int = 0
    progress: Progress | None = None
    stats: EmbedStats = field(default_factory=EmbedStats, init=False)

    def embed_chunks(self, benchmark: Benchmark, transform: PointTransform | None = None) -> Iterator[ViewFeatures]:
        """Embed a few shapes at a time; memory does not grow with the benchmark.

        A part is embedded whole or taken from the cache whole: the same command gives the same numbers to the last bit, interrupted or not.

        Args:
            benchmark: What to read.
            transform: What is done to the points of each shape before they are drawn, or None.
        """
        for start in range(0, len(benchmark), SHAPES_PER_PASS):
            items = benchmark.items[start : start + SHAPES_PER_PASS]
            yield self._part(benchmark, items, transform)
            if self.progress:
                self.progress(start + len(items), len(benchmark))

    def embed(self, benchmark: Benchmark, transform: PointTransform | None = None) -> ViewFeatures:
        """Embed all of a benchmark: V x D x 4 bytes a shape."""
        parts = list(self.embed_chunks(benchmark, transform))
        return ViewFeatures(
            tuple(item for part in parts for item in part.items),
            np.concatenate([part.features for part in parts]),
            {name: error for part in parts for name, error in part.failures.items()},
        )

    def _part(self, benchmark: Benchmark, items: tuple[Item, ...], transform: PointTransform | None) -> ViewFeatures:
        names = [_name(benchmark, item, transform) for item in items]
        known = self.cache.get(self._fingerprint, names) if self.cache else {}
        size = (self.model.views, self.model.embedding_dim)
        if len(known) == len(items) and all(vector.size == size[0] * size[1] for vector in known.values()):
            return ViewFeatures(items, np.stack([known[name].reshape(size) for name in names]))
        start = time.perf_counter()
        found = self._computed(benchmark, items, transform, names)
        self.stats.shapes += len(found.items)
        self.stats.seconds += time.perf_counter() - start
        return found

    def _computed(self, benchmark: Benchmark, items: tuple[Item, ...], transform: PointTransform | None, names: list[str]) -> ViewFeatures:
        """Embed shapes and keep them by name."""
        prepared: list[Prepared] = []
        good: list[int] = []
        failures = {}
        for place, item in enumerate(items):
            try:
                prepared.append(self._prepare(benchmark, item, transform))
                good.append(place)
            except (FileFormatError, GeometryError, MissingExtraError) as error:
                failures[item.id] = str(error)
        if not prepared:
            nothing = np.empty((0, self.model.views, self.model.embedding_dim), dtype=np.float32)
            return ViewFeatures((), nothing, failures)
        found = self.model.features(prepared).float().cpu().numpy()
        if self.cache:
            self.cache.put(self._fingerprint, {names[place]: row.ravel() for place, row in zip(good, found, strict=True)})
        return ViewFeatures(tuple(items[place] for place in good), found, failures)

    def _prepare(self, benchmark: Benchmark, item: Item, transform: PointTransform | None) -> Prepared:
        if benchmark.kind == "depth_maps" and transform is None:
            return self._drawn(benchmark, item)
        shape = benchmark.load(item)
        if transform is not None:
            cloud = sample_points(shape, self.model.input.points, seed=self.seed)
            shape = PointCloud(transform(cloud.points, item.id, self.seed))
        return self.model.prepare([shape], seed=self.seed)[0]

    def _drawn(self, benchmark: Benchmark, item: Item) -> Tensor:
        """Depth maps that came drawn, at the encoder's size."""
        maps, views = torch.from_numpy(benchmark.load_depth_maps(item)), len(self.model.projection.cameras)
        if len(maps) != views:
            raise FileFormatError(
                f"{item.id!r} has {len(maps)} views; {self.model.name} needs {views}. Use the model they were rendered for."
            )
        size = (self.model.encoder.image_size,) * 2
        return F.interpolate(maps[None], size, mode="bilinear", antialias=True)[0].to(self.model.encoder.device)

    @property
    def _fingerprint(self) -> str:
        """Changes with everything but the shape that decides a view embedding."""
        encoder = self.model.shape_encoder
        other = [] if encoder.runtime == "torch float32" else [encoder.runtime]
        about = ["features", __version__, encoder.fingerprint, encoder.settings, self.seed, *other]
        text = json.dumps(about, default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def embed_paths(paths: Sequence[Embedder], benchmark: Benchmark) -> ViewFeatures:
    """Embed all of a benchmark by every path of a head, features one after another along the views.

    Args:
        paths: One embedder for each, with towers of one length.
        benchmark: What to read.

    Raises:
        ConfigError: If the lengths of their features differ, or one path reads other shapes than the first.
    """
    found = [path.embed(benchmark) for path in paths]
    lengths = {part.features.shape[2] for part in found}
    if len(lengths) > 1:
        raise ConfigError(f"The models give features of different lengths, {sorted(lengths)}. Use encoders of one size.")
    if any(other.items != found[0].items for other in found):
        raise ConfigError("The models did not embed the same shapes. Look at the failures of each with basrelief evaluate.")
    return ViewFeatures(found[0].items, np.concatenate([part.features for part in found], axis=1), found[0].failures)


def _name(benchmark: Benchmark, item: Item, transform: PointTransform | None) -> str:
    """Return the cache key of a shape; a rewritten file gets a new key."""
    file, _ = split_row(item.path)
    try:
        state = file.stat()
        stamp = f"{state.st_size} {state.st_mtime_ns}"
    except OSError:
        stamp = "absent"
    return "\0".join((str(file.resolve()), item.id, stamp, str(benchmark.up), transform.name if transform else ""))
