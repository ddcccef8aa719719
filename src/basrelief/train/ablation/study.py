"""An ablation study: variants of OpenDlign, trained once each and evaluated on the same shapes."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64

from basrelief.datasets import Benchmark
from basrelief.encoders import ClipEncoder, VectorCache, load_tuned
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.evaluate.result import Cell, percent
from basrelief.metrics import truth_ranks
from basrelief.models import Embedder, Model
from basrelief.tasks import LabelEmbeddings, Pooling, score_labels
from basrelief.train.config import settings_record
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.train.opendlign.trainer import TUNED_FILE, TrainOptions, align, tuning_encoder
from basrelief.types import Progress

MEAN, SUM = Pooling("mean", scale=1.0), Pooling("softmax-sum")


@dataclass(frozen=True, eq=False)
class Variant:
    """One row of a table.

    Attributes:
        label: Name of the row.
        run: Folder of a training run, or None for the untrained model.
        projection: `name` and options of a projection; empty for that of the first set of images.
        templates: Name of a template set; empty for the model's own.
        branch: `frozen`, `tuned`, `both`, or `split`: the first half of the views frozen, the rest tuned.
        pooling: How views are pooled.
        views: Indices of the views to use; all when None.
    """

    label: str
    run: Path | None = None
    projection: Mapping[str, Any] = field(default_factory=dict)
    templates: str = ""
    branch: str = "split"
    pooling: Pooling = SUM
    views: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class AblationStudy:
    """Model, data and settings that all tables share.

    Attributes:
        model: The model before training, from `load_untuned`; each row sets its own projection and prompts.
        images: Sets of depth-aligned images; every table but `images` uses the first.
        benchmarks: Data sets to evaluate on.
        out: Folder for runs, features and tables; an interrupted study resumes from it.
        settings: Of every training run, where the table does not override them.
        cache: Cache of view features, or None.
        progress: Called while shapes are embedded.
    """

    model: Model
    images: tuple[AlignedSet, ...]
    benchmarks: tuple[Benchmark, ...]
    out: Path
    settings: OpenDlignSettings
    cache: VectorCache | None = None
    progress: Progress | None = None
    _features: dict[str, tuple[Any, BranchFeatures]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(
        cls,
        images: Sequence[Path],
        data: Sequence[DataSource],
        *,
        model: ModelSource,
        out: Path,
        settings: OpenDlignSettings,
        cache: VectorCache | None = None,
        progress: Progress | None = None,
    ) -> AblationStudy:
        """Load the model as it is before training, and open folders of depth-aligned images and data sets."""
        benchmarks = tuple(source.open() for source in data)
        return cls(model.load_untuned(), tuple(map(open_aligned, images)), benchmarks, out, settings, cache, progress)

    def train(self, *, images: int = 0, **changes: Any) -> Path:  # noqa: ANN401 - fields of the settings
        """Train a block and return the folder of the run; a run that is finished is not repeated.

        Args:
            images: Index of the set of images.
            changes: Settings that differ from the study's.
        """
        settings, chosen = replace(self.settings, **changes), self.images[images]
        text = json.dumps([settings_record(settings), str(chosen.home.resolve()), len(chosen)], sort_keys=True)
        run = self.out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]
        options = TrainOptions(cache=self.out / "features" / f"{images}-{settings.blocks}-{settings.cache}", progress=self.progress)
        align(chosen, tuning_encoder(self.model), out=run, settings=settings, options=options)
        return run

    def evaluate(self, variant: Variant, benchmark: Benchmark) -> tuple[Cell, ...]:
        """Return top-1, 3 and 5 accuracy of a variant, in percent; consecutive variants share features where they can."""
        labels = self.model.for_dataset(benchmark.name, templates=variant.templates or None).encode_labels(benchmark.labels)
        key, place = (variant.run, variant.projection), f"{benchmark.root} {benchmark.fingerprint()}"
        if place not in self._features or self._features[place][0] != key:
            self._features[place] = key, self._embed(variant, benchmark)
        return self._features[place][1].accuracy(labels, variant)

    @cached_property
    def _tuned_encoder(self) -> ClipEncoder:
        """A copy of the encoder that takes the tuned blocks of one run after another."""
        plain = tuning_encoder(self.model)
        one = copy.copy(plain)
        one.towers = copy.deepcopy(plain.towers)
        return one

    def _embed(self, variant: Variant, benchmark: Benchmark) -> BranchFeatures:
        """Embed every shape, through both branches if a block was tuned."""
        recipe = self.model.recipe.for_dataset(benchmark.name).with_projection(variant.projection or self.images[0].projection)
        recipe = replace(recipe, tuned_views=())
        encoder = self.model.encoder
        if variant.run is not None:
            load_tuned(self._tuned_encoder, variant.run / TUNED_FILE)
            encoder, recipe = self._tuned_encoder, replace(recipe.with_tuned_views(), branches="both")
        model = Model(recipe, encoder)
        found = Embedder(model, self.cache, 0, self.progress).embed(benchmark)
        if not len(found.items):
            raise ConfigError(f"None of the {len(benchmark)} shapes of {benchmark.name!r} can be read. Run basrelief doctor on it.")
        views = len(model.projection.cameras)
        return BranchFeatures(found.views[:, :views], found.views[:, views:], found.truth)


@dataclass(frozen=True, eq=False)
class BranchFeatures:
    """Unit-length view features of the shapes of a benchmark.

    Attributes:
        frozen: From the frozen branch.
        tuned: From the tuned branch; no views where no block was tuned.
        truth: Class index of each shape.
    """

    frozen: Float32[np.ndarray, "shapes views dim"]
    tuned: Float32[np.ndarray, "shapes other dim"]
    truth: Int64[np.ndarray, " shapes"]

    def accuracy(self, labels: LabelEmbeddings, variant: Variant) -> tuple[Cell, ...]:
        """Return top-1, 3 and 5 accuracy of a variant, in percent."""
        views = list(range(self.frozen.shape[1])) if variant.views is None else list(variant.views)
        half = {"frozen": len(views), "tuned": 0, "split": len(views) // 2}.get(variant.branch)
        first, second = (views, views) if half is None else (views[:half], views[half:])
        parts = [self.frozen[:, first]] + ([self.tuned[:, second]] if second else [])
        found = score_labels(torch.from_numpy(np.concatenate(parts, axis=1)), labels, pooling=variant.pooling)
        ranks = truth_ranks(found.scores.cpu().numpy(), self.truth)
        return tuple(round(percent((ranks < k).mean()), 1) for k in (1, 3, 5))
