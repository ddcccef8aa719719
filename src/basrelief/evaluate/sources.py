"""What an evaluation or a check is given: a model with its files, and a data set on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import VectorCache
from basrelief.evaluate.detection.protocol import DetectionProtocol
from basrelief.evaluate.detection.run import ScanBenchmark, open_scan_benchmark
from basrelief.models import Embedder, Model, load_model, load_untuned, recipes
from basrelief.models.few_shot import head_paths


@dataclass(frozen=True)
class ModelSource:
    """A model by name, and the files it is loaded from.

    Attributes:
        name: One of `list_models()`; empty where a check concerns no model.
        weights: CLIP weights, a file or a folder; None for the local hub cache, then the hub.
        checkpoint: The method's own weights, or None.
        prompts: A published prompt list, `FILE` or `FILE#dataset`, or None.
        text: Exported embeddings of labels in place of a point network's text tower, or None.
        device: `auto`, `cpu`, `cuda`, ...
        backend: `torch`, `openvino` or `auto`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
    """

    name: str
    weights: Path | None = None
    checkpoint: Path | None = None
    prompts: Path | None = None
    text: Path | None = None
    device: str = "auto"
    backend: str = "torch"
    dtype: str = "float32"

    def load(self) -> Model:
        """Load the model, see `load_model`."""
        return load_model(
            self.name,
            weights=self.weights,
            checkpoint=self.checkpoint,
            prompts=self.prompts,
            text=self.text,
            device=self.device,
            backend=self.backend,
            dtype=self.dtype,
        )

    def load_untuned(self) -> Model:
        """Load the model as it is before its method's training, see `basrelief.models.load_untuned`."""
        return load_untuned(self.name, weights=self.weights, device=self.device, backend=self.backend, dtype=self.dtype)

    def load_second_path(self, head: str, *, cache: VectorCache | None = None, seed: int = 0) -> Embedder | None:
        """Load the second path of a few-shot head with its few-shot settings; None for heads with one path.

        Args:
            head: Key of `basrelief.tasks.HEADS`.
            cache: Cache of its features, or None.
            seed: Seed of its surface samples.

        Raises:
            ConfigError: If a name is unknown, or the model has no second path.
        """
        others = head_paths(self.name, head)[1:]
        if not others:
            return None
        return Embedder(replace(self, name=others[0], checkpoint=None, prompts=None).load().for_few_shot(), cache, seed)


@dataclass(frozen=True)
class DataSource:
    """A data set on disk, and which part of it to use.

    Attributes:
        root: Folder of the unpacked data set.
        name: Name of its data card, or `folder`; empty to recognise it.
        variant: Which variant, e.g. `PB_T50_RS`; None for the one in the model's paper, else the card's default.
        split: `train`, `val` or `test`; None for `test`, and for `val` of annotated scans.
        up: Up axis of the files; None for that of the layout.
        limit: Use at most this many shapes, balanced over classes, or the first scans; None for all.
        strict: Whether counts or labels that differ from the data card are an error.
        seeds: For the scans `rooms`: seeds of the generated rooms.
    """

    root: Path
    name: str = ""
    variant: str | None = None
    split: str | None = None
    up: str | None = None
    limit: int | None = None
    strict: bool = True
    seeds: tuple[int, ...] = ()

    def open(self, model: str = "") -> Benchmark:
        """Open the data set, in the variant that the paper of a model used.

        Args:
            model: Name of a model; empty for the default variant.

        Raises:
            ConfigError: As `open_benchmark`.
        """
        recipe = recipes().get(model)  # an ensemble has none
        variant = self.variant or (recipe.datasets.get(self.name, {}).get("variant") if recipe else None)
        split = self.split or "test"
        benchmark = open_benchmark(self.root, self.name or None, split=split, variant=variant, up=self.up, strict=self.strict)
        return benchmark if self.limit is None else benchmark.limited(self.limit)

    def open_scans(self, protocol: DetectionProtocol | None = None) -> ScanBenchmark:
        """Open the data set as annotated scans.

        Args:
            protocol: Its label set, or None for the data set's own.

        Raises:
            ConfigError: As `open_scan_benchmark`.
        """
        split = self.split or "val"
        return open_scan_benchmark(self.root, self.name, split=split, protocol=protocol, seeds=self.seeds, limit=self.limit)

    def open_support(self, query: Benchmark) -> Benchmark | None:
        """Open the training split that belongs to a query split; None for data without splits, or if the query is the training split."""
        if query.split in ("all", "train"):
            return None
        return replace(self, split="train", variant=query.variant or None, limit=None, strict=False).open()
