"""Fit the scales of an ensemble's members on labelled validation shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from basrelief.datasets import Benchmark
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.models import Embedder
from basrelief.models.ensemble import EnsembleModel, save_ensemble
from basrelief.tasks.scales import fit_scales
from basrelief.types import Progress


@dataclass(frozen=True, eq=False)
class EnsembleFit:
    """An ensemble with fitted scales. Its accuracies are those on the shapes that chose the scales: report others.

    Attributes:
        model: The ensemble.
        shapes: Number of shapes it was fitted on.
        loss: Mean negative log-likelihood of the right labels, nats.
        accuracy: Share of right answers of each member by its name, and of the ensemble under `ensemble`.
        data: Data set and split.
        failures: Name of each shape that could not be read, and the reason.
    """

    model: EnsembleModel
    shapes: int
    loss: float
    accuracy: Mapping[str, float]
    data: str
    failures: tuple[tuple[str, str], ...]

    def save(self, path: Path | str) -> Path:
        """Write the ensemble; see `save_ensemble`."""
        notes = {name: value for name, value in asdict(self).items() if name in ("shapes", "loss", "accuracy", "data")}
        return save_ensemble(self.model, path, notes=notes)


def train_ensemble(
    model: ModelSource, data: DataSource, *, cache: VectorCache | None = None, seed: int = 0, progress: Progress | None = None
) -> EnsembleFit:
    """Fit the scales of an ensemble; see `basrelief.tasks.scales.fit_scales`.

    Args:
        model: An ensemble, e.g. `opendlign-h14+openshape-pointbert`.
        data: Labelled shapes that no figure is reported on: split `train` or `val`, or a folder without splits.
        cache: Cache of view features, or None.
        seed: Seed of the surface sampling.
        progress: Called while shapes are embedded.

    Raises:
        ConfigError: If the model is no ensemble, or the split is `test`.
    """
    if data.split == "test":
        raise ConfigError("The test split reports figures, so it cannot choose scales. Pass --split train or --split val.")
    loaded = model.load()
    if not isinstance(loaded, EnsembleModel):
        raise ConfigError(f"{model.name} is one model. Join several with +, e.g. tiny+openshape-pointbert-b32.")
    return fit_ensemble(loaded, data.open(), cache=cache, seed=seed, progress=progress)


def fit_ensemble(
    model: EnsembleModel, benchmark: Benchmark, *, cache: VectorCache | None = None, seed: int = 0, progress: Progress | None = None
) -> EnsembleFit:
    """Fit the scales of a loaded ensemble; arguments as for `train_ensemble`.

    Raises:
        ConfigError: If no shape can be read.
    """
    ready = model.for_dataset(benchmark.name)
    found = Embedder(ready, cache, seed, progress).embed(benchmark)
    if not len(found.items):
        raise ConfigError(f"None of the {len(benchmark)} shapes of {benchmark.name!r} can be read. Run basrelief doctor on it.")
    cosines = ready.member_similarity(torch.from_numpy(found.views), benchmark.labels).cpu().numpy()
    scales, loss = fit_scales(cosines, found.truth)
    answers = {member.name: each.argmax(axis=1) for member, each in zip(model.members, cosines, strict=True)}
    answers["ensemble"] = sum(scale * each for scale, each in zip(scales, cosines, strict=True)).argmax(axis=1)
    accuracy = {name: float((answer == found.truth).mean()) for name, answer in answers.items()}
    place = f"{benchmark.name} {benchmark.variant} {benchmark.split}".replace("  ", " ")
    return EnsembleFit(model.with_scales(scales), len(found.items), loss, accuracy, place, tuple(found.failures.items()))
