"""From embeddings to ranked labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError
from basrelief.tasks import LabelEmbeddings, Pooling, classify_embeddings

LABELS = ("chair", "table", "lamp")
TEXTS = torch.eye(3)
ASKED = LabelEmbeddings(TEXTS, torch.zeros(3))


def test_labels_are_ranked_with_their_evidence() -> None:
    views = torch.nn.functional.normalize(torch.tensor([[[0.1, 0.9, 0.2], [0.2, 0.7, 0.3], [0.8, 0.1, 0.1]]]), dim=-1)
    (answer,) = classify_embeddings(views, ASKED, labels=LABELS, pooling=Pooling("mean"), logit_scale=10.0)
    assert answer.labels == ("table", "chair", "lamp")
    assert answer.label == "table"
    assert answer.view_labels == ("table", "table", "chair")
    assert np.all(np.diff(answer.scores) <= 0)
    np.testing.assert_allclose(answer.scores, 10 * answer.view_scores.mean(0), rtol=1e-5)
    assert answer.probabilities is not None
    assert answer.probabilities.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(answer.view_scores[:, 0], views[0, :, 1])


def test_each_shape_has_its_own_answer() -> None:
    answers = classify_embeddings(TEXTS[:, None], ASKED, labels=LABELS, pooling=Pooling("max"))
    assert [a.label for a in answers] == list(LABELS)
    assert all(a.probabilities is None for a in answers)


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    views = torch.full((1, 2, 3), 3**-0.5)
    (answer,) = classify_embeddings(views, ASKED, labels=LABELS, pooling=Pooling("mean"))
    assert answer.labels == LABELS


def test_labels_must_match_the_texts() -> None:
    with pytest.raises(ConfigError, match="labels must match the 3 text embeddings, but got 2 names"):
        classify_embeddings(TEXTS[:, None], ASKED, labels=("a", "b"), pooling=Pooling("mean"))
