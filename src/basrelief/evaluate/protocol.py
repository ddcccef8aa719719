"""The protocol of an evaluation: every setting that decides the metrics, with a hash, and what differs from the paper."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, runtime_checkable
from typing import Protocol as Interface

from basrelief.datasets import dataset_card
from basrelief.models import Model, PaperNumber, get_recipe, recipes
from basrelief.types import Finding


@runtime_checkable
class EvaluatedData(Interface):
    """What a card says of its data; a `Benchmark`, or annotated scans."""

    @property
    def name(self) -> str:
        """Name of its data card, or of its folder."""

    @property
    def layout(self) -> str:
        """How it lies on disk."""

    @property
    def variant(self) -> str:
        """Which of several; empty where there is one."""

    @property
    def split(self) -> str:
        """`train`, `val`, `test` or `all`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""

    @property
    def up(self) -> str | None:
        """Up axis of the files, or None for each format's own."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was checked."""

    def __len__(self) -> int:
        """Return the number of shapes or scans."""

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of what is evaluated."""


@dataclass(frozen=True)
class Protocol:
    """Every setting of an evaluation.

    Attributes:
        task: `zero-shot`, `few-shot`, `retrieval`, `robustness`, `calibration` or `detection`.
        model: Settings of the model: recipe, weights, projection, points, prompts, pooling.
        data: Settings of the data: name, layout, variant, split, labels, shapes, axis, fingerprint.
        options: Settings of the task.
        seed: Seed of every random draw.
    """

    task: str
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return all settings as one JSON object that survives a file unchanged."""
        parts = {"task": self.task, "model": dict(self.model), "data": dict(self.data), "options": dict(self.options), "seed": self.seed}
        plain: dict[str, Any] = json.loads(json.dumps(parts))
        return plain

    @property
    def hash(self) -> str:
        """12 hexadecimal digits; equal hashes mean equal settings, data and weights."""
        return _digest(self.settings())


def describe_protocol(
    model: Model, benchmark: EvaluatedData, *, task: str, options: Mapping[str, Any] | None = None, seed: int = 0
) -> Protocol:
    """Record the protocol of a run.

    Args:
        model: The model, with the settings it runs under.
        benchmark: The shapes or scans that are evaluated, after any limit.
        task: Name of the task.
        options: Settings of the task.
        seed: Seed of every random draw.
    """
    recipe, prompter = model.recipe, model.prompter
    prompts = [prompter.prompts(label) for label in benchmark.labels]
    about_model = {
        "recipe": recipe.name,
        "encoder": recipe.encoder,
        "weights": model.fingerprint[:16],
        "activation": recipe.activation or "the weights' own",
        "runtime": model.encoder.runtime,
        "points": recipe.points,
        **model.shape_encoder.settings,
        "templates": recipe.templates if prompter.prompt_list is None else "published prompt list",
        "prompts": f"{sum(map(len, prompts))} texts {_digest(prompts)}",
        "pooling": recipe.pooling.rule,
        "pooling scale": "learned" if recipe.pooling.scale is None else recipe.pooling.scale,
        "view weights": None if recipe.pooling.weights is None else list(recipe.pooling.weights),
        **_rules(model, benchmark.labels),
    }
    about_data = {
        "name": benchmark.name,
        "layout": benchmark.layout,
        "variant": benchmark.variant,
        "split": benchmark.split,
        "shapes": len(benchmark),
        "labels": len(benchmark.labels),
        "label order": _digest(list(benchmark.labels)),
        "up axis": benchmark.up or "each format's own",
        "fingerprint": benchmark.fingerprint(),
    }
    return Protocol(task, about_model, about_data, dict(options or {}), seed)


def _rules(model: Model, labels: Sequence[str]) -> dict[str, Any]:
    """Return the settings of rules that few models have."""
    pooling, stage, detailed = model.recipe.pooling, model.recipe.second_stage, model.prompter.detailed
    kept = {} if pooling.keep is None else {"views kept": pooling.keep}
    if stage is None or detailed is None:
        return kept
    prompts = [detailed.prompts(label) for label in labels]
    return kept | {
        "candidates": stage.candidates,
        "detailed prompts": f"{sum(map(len, prompts))} texts {_digest(prompts)}, {detailed.description}",
    }


def published_numbers(protocol: Protocol) -> tuple[PaperNumber, ...]:
    """Return the published numbers of this recipe on this data set; only zero-shot runs have any."""
    recipe = recipes().get(protocol.model["recipe"])
    if recipe is None or protocol.task != "zero-shot":
        return ()
    return tuple(number for number in recipe.numbers if number.dataset == protocol.data["name"])


def paper_differences(protocol: Protocol) -> tuple[str, ...]:
    """List the settings that differ from the paper's on this data set; empty for a run under the paper's protocol.

    The paper's protocol is the shipped recipe with its entry for the data set, on the whole test split.
    """
    name = protocol.data["name"]
    if not published_numbers(protocol):
        return ()
    shipped = get_recipe(protocol.model["recipe"])
    paper, card = shipped.for_dataset(name), dataset_card(name)
    variant = shipped.datasets.get(name, {}).get("variant", card.default_variant)
    split = "test" if card.count(variant, "test") else "all"
    prompts = "published prompt list" if shipped.published_prompts else paper.templates
    wanted = {
        "points": (paper.points, protocol.model["points"]),
        "prompts": (prompts, protocol.model["templates"]),
        "pooling": (paper.pooling.rule, protocol.model["pooling"]),
        "views kept": (paper.pooling.keep or "all", protocol.model.get("views kept", "all")),
        "candidates": (paper.second_stage.candidates if paper.second_stage else "none", protocol.model.get("candidates", "none")),
        "split": (split, protocol.data["split"]),
        "variant": (variant, protocol.data["variant"]),
        "shapes": (card.count(variant, split) or protocol.data["shapes"], protocol.data["shapes"]),
    }
    if shipped.checkpoint is not None and not shipped.checkpoint.published:
        wanted["weights"] = ("those of its authors, which nobody publishes,", "your own")
    return tuple(_difference(what, *both) for what, both in wanted.items() if both[0] != both[1])


def _difference(what: str, paper: object, ours: object) -> str:
    return f"{what}: {_shown(paper)} in the paper, {_shown(ours)} here"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value) or "none"


def _digest(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(errors="replace")).hexdigest()[:12]
