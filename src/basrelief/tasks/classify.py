"""Zero-shot classification: view embeddings against text embeddings, pooled and ranked."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.tasks.pooling import Pooling, pool_views, probabilities
from basrelief.types import Prediction


def classify_embeddings(
    views: Float[Tensor, "shapes views dim"],
    texts: Float[Tensor, "labels dim"],
    *,
    labels: Sequence[str],
    pooling: Pooling,
    logit_scale: float = 1.0,
    handicap: Float[Tensor, " labels"] | None = None,
) -> list[Prediction]:
    """Rank the labels of every shape by the pooled similarity of its views.

    Args:
        views: Unit-length embedding of each view of each shape.
        texts: Unit-length embedding of each label.
        labels: The C names, in the order of `texts`.
        pooling: How views become one.
        logit_scale: The encoder's multiplier, already exponentiated.
        handicap: Taken off the similarities of each label, if anything.

    Returns:
        One prediction per shape, labels best first; equal scores keep the order of `labels`.

    Raises:
        ConfigError: If the number of labels and text embeddings differ.
    """
    if len(labels) != len(texts):
        raise ConfigError(f"labels must match the {len(texts)} text embeddings, but got {len(labels)} names. Embed the same list.")
    similarity = views @ texts.T if handicap is None else views @ texts.T - handicap
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
