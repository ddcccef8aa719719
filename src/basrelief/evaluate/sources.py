"""What an evaluation or a check is given: a model with its files, and a data set on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.models import Model, get_recipe, load_model


@dataclass(frozen=True)
class ModelSource:
    """A model by name, and the files it is loaded from.

    Attributes:
        name: One of `list_models()`; empty where a check concerns no model.
        weights: CLIP weights, a file or a folder; None for the local hub cache, then the hub.
        checkpoint: The method's own weights, or None.
        prompts: A published prompt list, `FILE` or `FILE#dataset`, or None.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
    """

    name: str
    weights: Path | None = None
    checkpoint: Path | None = None
    prompts: Path | None = None
    device: str = "auto"
    dtype: str = "float32"

    def load(self) -> Model:
        """Load the model, see `load_model`."""
        return load_model(
            self.name, weights=self.weights, checkpoint=self.checkpoint, prompts=self.prompts, device=self.device, dtype=self.dtype
        )


@dataclass(frozen=True)
class DataSource:
    """A data set on disk, and which part of it to use.

    Attributes:
        root: Folder of the data set, as it was unpacked.
        name: Name of its data card, or `folder`; empty to recognise it.
        variant: Which variant, e.g. `PB_T50_RS`; None for the one in the model's paper, else the card's default.
        split: `train`, `val` or `test`.
        up: Up axis of the files; None for that of the layout.
        limit: Use at most this many shapes, balanced over classes; None for all.
        strict: Whether counts or labels that differ from the data card are an error.
    """

    root: Path
    name: str = ""
    variant: str | None = None
    split: str = "test"
    up: str | None = None
    limit: int | None = None
    strict: bool = True

    def open(self, model: str = "") -> Benchmark:
        """Open the data set, in the variant that the paper of a model used.

        Args:
            model: Name of a model; empty for the default variant.

        Raises:
            ConfigError: As `open_benchmark`, or if there is no such model.
        """
        paper = get_recipe(model).datasets.get(self.name, {}) if model else {}
        variant = self.variant or paper.get("variant")
        benchmark = open_benchmark(self.root, self.name or None, split=self.split, variant=variant, up=self.up, strict=self.strict)
        return benchmark if self.limit is None else benchmark.limited(self.limit)

    def open_support(self, query: Benchmark) -> Benchmark | None:
        """Open the training split that belongs to a query split; None for data without splits, or if the query is the training split."""
        if query.split in ("all", "train"):
            return None
        return replace(self, split="train", variant=query.variant or None, limit=None, strict=False).open()
