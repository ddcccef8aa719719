"""Label scoring: the one path from view embeddings to scores, probabilities and ranked labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.tasks.pooling import Pooling, pool_views, probabilities
from basrelief.tasks.two_stage import SecondStage, merge_stages
from basrelief.types import Prediction


@dataclass(frozen=True, eq=False)
class LabelEmbeddings:
    """The text side of a comparison, from `Model.encode_labels`.

    Attributes:
        texts: (C, D) unit-length embedding of each label.
        penalty: (C,) subtracted from the cosines of each label (calibrated stacking, see `Vocabulary.class_penalties`); zero unless the
            model was trained on labelled shapes.
        second_stage: Detailed prompts for the best labels of each shape, or None for one stage.
    """

    texts: Float[Tensor, "labels dim"]
    penalty: Float[Tensor, " labels"]
    second_stage: SecondStage | None = None

    def similarity(self, embeddings: Float[Tensor, "*shapes dim"]) -> Float[Tensor, "*shapes labels"]:
        """Return the cosines of unit-length embeddings with every label minus its penalty, on the labels' device."""
        return embeddings.to(self.texts.device) @ self.texts.T - self.penalty


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Scores of C labels for B shapes of V views.

    Attributes:
        similarity: (B, V, C) cosine of each view with each label, minus the label's penalty; with two stages that of the second stage for
            candidates, and at most that of the last candidate for others.
        scores: (B, C) pooled over the views; larger is better, the scale is the pooling rule's own.
        probabilities: (B, C) rows that sum to 1, except for pooling rule `sigmoid`; None if the rule defines none.
    """

    similarity: Float[Tensor, "shapes views labels"]
    scores: Float[Tensor, "shapes labels"]
    probabilities: Float[Tensor, "shapes labels"] | None

    def predictions(self, labels: Sequence[str]) -> list[Prediction]:
        """Rank the labels of every shape, best first; equal scores keep the order of `labels`.

        Args:
            labels: C names, in the order of the columns.

        Raises:
            ConfigError: If there are not C names.
        """
        if len(labels) != self.scores.shape[1]:
            raise ConfigError(f"Got {len(labels)} labels for {self.scores.shape[1]} embedded ones. Pass the list that was embedded.")
        similarity, scores = self.similarity.cpu(), self.scores.cpu()
        chances = None if self.probabilities is None else self.probabilities.cpu()
        return [
            Prediction(
                labels=tuple(labels[j] for j in order.tolist()),
                scores=scores[i][order].numpy(),
                view_scores=similarity[i][:, order].numpy(),
                probabilities=None if chances is None else chances[i][order].numpy(),
            )
            for i, order in enumerate(scores.argsort(dim=-1, descending=True, stable=True))
        ]


def score_labels(
    views: Float[Tensor, "shapes views dim"],
    labels: LabelEmbeddings,
    *,
    pooling: Pooling,
    logit_scale: float = 1.0,
    logit_bias: float | None = None,
) -> LabelScores:
    """Score every label for every shape: similarity, class penalty, view pooling, probabilities; then the candidates again, if asked to.

    Args:
        views: Unit-length embedding of each view.
        labels: The embedded labels.
        pooling: How the views become one score.
        logit_scale: The encoder's multiplier of cosines, already exponentiated; used where `pooling.scale` is None.
        logit_bias: The encoder's bias of logits, for `sigmoid`; None if it has none.

    Raises:
        ConfigError: If `pooling` has view weights, and not one for each view, keeps more views than there are, or needs a bias.
    """

    def score(similarity: Tensor) -> LabelScores:
        scores = pool_views(similarity, pooling, logit_scale=logit_scale)
        return LabelScores(similarity, scores, probabilities(scores, pooling, views=views.shape[1], logit_bias=logit_bias))

    first = score(labels.similarity(views))
    return first if labels.second_stage is None else _two_stage(views, labels, labels.second_stage, first, score)


def _two_stage(
    views: Float[Tensor, "shapes views dim"],
    labels: LabelEmbeddings,
    stage: SecondStage,
    first: LabelScores,
    score: Callable[[Tensor], LabelScores],
) -> LabelScores:
    """Compare the candidates of each shape again; see `basrelief.tasks.two_stage`."""
    chosen = stage.choose(first.scores)
    detailed = stage.similarity(views.to(chosen.device), chosen) - labels.penalty[chosen][:, None]
    second = score(detailed)
    each_view = chosen[:, None].expand(-1, views.shape[1], -1)
    return LabelScores(
        merge_stages(first.similarity, detailed, each_view),
        merge_stages(first.scores, second.scores, chosen),
        None if second.probabilities is None else torch.zeros_like(first.scores).scatter(1, chosen, second.probabilities),
    )
