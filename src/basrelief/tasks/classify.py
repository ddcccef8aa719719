"""Zero-shot classification: view embeddings against text embeddings, pooled and ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.tasks.pooling import Pooling, pool_views, probabilities
from basrelief.types import Prediction


class LabelEmbeddings(NamedTuple):
    """Labels as shapes are compared with them.

    Attributes:
        texts: Unit-length embedding of each label.
        penalty: Subtracted from the cosines of each label (calibrated stacking); zero unless the model was trained on labelled shapes.
    """

    texts: Float[Tensor, "labels dim"]
    penalty: Float[Tensor, " labels"]

    def similarity(self, views: Float[Tensor, "*shapes dim"]) -> Float[Tensor, "*shapes labels"]:
        """Cosine of unit-length embeddings with every label, minus its penalty, on the labels' device."""
        return views.to(self.texts.device) @ self.texts.T - self.penalty


def classify_embeddings(
    views: Float[Tensor, "shapes views dim"],
    asked: LabelEmbeddings,
    *,
    labels: Sequence[str],
    pooling: Pooling,
    logit_scale: float = 1.0,
) -> list[Prediction]:
    """Rank the labels of every shape by the pooled similarity of its views.

    Args:
        views: Unit-length embedding of each view of each shape.
        asked: The C labels, see `Model.encode_labels`.
        labels: Their names, in the same order.
        pooling: How views become one.
        logit_scale: The encoder's multiplier, already exponentiated.

    Returns:
        One prediction per shape, labels best first; equal scores keep the order of `labels`.

    Raises:
        ConfigError: If the number of labels and text embeddings differ.
    """
    if len(labels) != len(asked.texts):
        raise ConfigError(f"labels must match the {len(asked.texts)} text embeddings, but got {len(labels)} names. Embed the same list.")
    similarity = asked.similarity(views)
    scores = pool_views(similarity, pooling, logit_scale=logit_scale)
    chances = probabilities(scores, pooling, views=views.shape[1])
    order = scores.argsort(dim=-1, descending=True, stable=True).cpu()
    predictions = []
    for i, rank in enumerate(order):
        predictions.append(
            Prediction(
                labels=tuple(labels[j] for j in rank.tolist()),
                scores=scores[i].cpu()[rank].numpy(),
                view_scores=similarity[i].cpu()[:, rank].numpy(),
                probabilities=None if chances is None else chances[i].cpu()[rank].numpy(),
            )
        )
    return predictions
