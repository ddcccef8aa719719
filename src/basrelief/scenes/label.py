"""Give embedded boxes labels: probabilities, a score for ranking, suppression of boxes that say the same twice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from basrelief.checks import check_positive, check_range
from basrelief.datasets import parse_labels
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry.box_iou import suppress
from basrelief.scenes.crops import EmbeddedBoxes
from basrelief.scenes.detections import Detections
from basrelief.scenes.size_prior import size_factors

if TYPE_CHECKING:
    from basrelief.models import Model

BACKGROUND = ("wall", "floor", "ceiling", "window", "door", "curtain", "pillar", "clutter")
"""Things of a room that are seldom asked for: they compete with the labels, and a box that fits one best is none of these."""

PROBABILITIES = ("cosine", "method")
SCORES = ("product", "probability", "objectness")
SUPPRESSIONS = ("any", "class", "none")


@dataclass(frozen=True)
class LabelSettings:
    """How labels are chosen and boxes suppressed.

    Attributes:
        background: Labels that compete but are no answer; those asked for and those the model does not know are left out.
        probabilities: `cosine`: softmax of the mean cosine times the logit scale; `method`: the pooling rule's own, which OpenDlign leaves
            nearly uniform.
        temperature: Divides the logits of `cosine`.
        score: Rank by `product` of objectness and probability of the label, or by one of them.
        min_score: Drop boxes below it.
        min_confidence: A box whose best label has less probability is none of these.
        suppression: Suppress boxes that overlap a better one: of `any` label, of the same `class`, or `none`.
        iou: Intersection over union from which boxes overlap.
        size_prior: Whether the probability of a label falls where the longest side of the box is unusual for it, see `size_factors`.
        keep_none: Whether boxes that fit none of the labels are kept, as `none of these`.

    Raises:
        ConfigError: If a value is out of range.
    """

    background: tuple[str, ...] = BACKGROUND
    probabilities: str = "cosine"
    temperature: float = 1.0
    score: str = "product"
    min_score: float = 0.15
    min_confidence: float = 0.0
    suppression: str = "any"
    iou: float = 0.25
    size_prior: bool = False
    keep_none: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        for name, choices in (("probabilities", PROBABILITIES), ("score", SCORES), ("suppression", SUPPRESSIONS)):
            if getattr(self, name) not in choices:
                raise ConfigError(unknown_choice(name, getattr(self, name), choices))
        check_positive("temperature", self.temperature, "1 keeps the logits.")
        for name in ("min_score", "min_confidence", "iou"):
            check_range(name, getattr(self, name), 0, 1, "It is a share.")


def label_boxes(embedded: EmbeddedBoxes, labels: str | Sequence[str], settings: LabelSettings | None = None) -> Detections:
    """Compare embedded boxes with labels; no box is rendered again.

    Args:
        embedded: From `embed_boxes`.
        labels: A list of names, a comma list or a label set's name; a single name competes with the background only.
        settings: How labels are chosen and boxes suppressed.

    Raises:
        ConfigError: If a label is empty or repeated, or there is nothing to compare a single label with.
    """
    start = time.perf_counter()
    chosen = settings or LabelSettings()
    names = parse_labels(labels, least=1)
    background = known_background(embedded.model, names, chosen.background)
    if len(names) + len(background) < 2:
        raise ConfigError(f"There is nothing to compare {names[0]!r} with. Pass more labels, or background labels.")
    all_probabilities = label_probabilities(embedded, (*names, *background), chosen)
    probabilities = all_probabilities[:, : len(names)]
    best, objectness = probabilities.max(axis=1, initial=0.0), embedded.proposals.scores
    fits = (best >= chosen.min_confidence) & (best >= all_probabilities[:, len(names) :].max(axis=1, initial=0.0))
    label_ids = np.where(fits, probabilities.argmax(axis=1) if len(probabilities) else 0, -1).astype(np.int64)
    scores = {"product": best * objectness, "probability": best, "objectness": objectness}[chosen.score]
    scores = np.where(fits, scores, objectness * (1 - best) if chosen.keep_none else 0.0).astype(np.float32)
    kept = _kept(embedded, scores, label_ids, chosen)
    return Detections(
        scene=embedded.scene,
        proposals=embedded.proposals.select(kept),
        labels=names,
        probabilities=probabilities[kept],
        label_ids=label_ids[kept],
        scores=scores[kept],
        view_embeddings=embedded.views[kept],
        model=embedded.model.name,
        settings=MappingProxyType(dataclasses.asdict(chosen) | {"background": background}),
        seconds=MappingProxyType({"embed": embedded.seconds, "label": time.perf_counter() - start}),
        embedded=embedded,
    )


def label_probabilities(embedded: EmbeddedBoxes, names: Sequence[str], settings: LabelSettings) -> Float32[np.ndarray, "boxes labels"]:
    """Return the probability of each name for each box, rows that sum to 1."""
    logits, own = label_logits(embedded, names)
    chances = own if settings.probabilities == "method" and own is not None else softmax(logits / settings.temperature)
    if settings.size_prior:
        chances = chances * size_factors(embedded.proposals.boxes, names)
        chances /= chances.sum(axis=1, keepdims=True)
    return chances


def label_logits(
    embedded: EmbeddedBoxes, names: Sequence[str]
) -> tuple[Float32[np.ndarray, "boxes labels"], Float32[np.ndarray, "boxes labels"] | None]:
    """Return mean cosines times the logit scale, and the pooling rule's own probabilities if it has any."""
    import torch

    model = embedded.model
    if len(embedded) == 0:
        return np.zeros((0, len(names)), dtype=np.float32), np.zeros((0, len(names)), dtype=np.float32)
    found = model.score_views(torch.from_numpy(embedded.views).to(model.encoder.device), model.encode_labels(names))
    weights = model.recipe.pooling.weights
    weight = found.similarity.new_ones(model.views) if weights is None else found.similarity.new_tensor(weights)
    cosines = torch.einsum("v,bvc->bc", weight / weight.sum(), found.similarity)
    own = None if found.probabilities is None else found.probabilities.float().cpu().numpy()
    return (model.logit_scale * cosines).float().cpu().numpy(), own


def softmax(logits: Float32[np.ndarray, "boxes labels"]) -> Float32[np.ndarray, "boxes labels"]:
    """Return rows that sum to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    shares: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return shares


def known_background(model: Model, labels: Sequence[str], background: Sequence[str]) -> tuple[str, ...]:
    """Return the background labels that are not asked for and that the model knows."""
    others = [name for name in background if name not in labels]
    if model.known_labels:
        return tuple(name for name in others if name in model.known_labels)
    unknown = model.unknown_words(others) if others else {}
    return tuple(name for name in others if name not in unknown)


def _kept(embedded: EmbeddedBoxes, scores: np.ndarray, label_ids: np.ndarray, settings: LabelSettings) -> np.ndarray:
    """Rows that remain, best first."""
    enough = np.flatnonzero((scores >= settings.min_score) & ((label_ids >= 0) | settings.keep_none))
    enough = enough[np.argsort(-scores[enough], kind="stable")]
    if settings.suppression == "none" or len(enough) == 0:
        return enough
    labels = label_ids[enough] if settings.suppression == "class" else None
    kept: np.ndarray = enough[suppress(embedded.proposals.boxes[enough], scores[enough], labels, iou=settings.iou)]
    return kept
