"""Ranked labels from embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError
from basrelief.tasks import LabelEmbeddings, Pooling, score_labels

LABELS = ("chair", "table", "lamp")
TEXTS = torch.eye(3)
EMBEDDED = LabelEmbeddings(TEXTS, torch.zeros(3))


def test_labels_are_ranked_with_their_evidence() -> None:
    views = torch.nn.functional.normalize(torch.tensor([[[0.1, 0.9, 0.2], [0.2, 0.7, 0.3], [0.8, 0.1, 0.1]]]), dim=-1)
    (answer,) = score_labels(views, EMBEDDED, pooling=Pooling("mean"), logit_scale=10.0).predictions(LABELS)
    assert answer.labels == ("table", "chair", "lamp")
    assert answer.label == "table"
    assert answer.view_labels == ("table", "table", "chair")
    assert np.all(np.diff(answer.scores) <= 0)
    np.testing.assert_allclose(answer.scores, 10 * answer.view_scores.mean(0), rtol=1e-5)
    assert answer.probabilities is not None
    assert answer.probabilities.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(answer.view_scores[:, 0], views[0, :, 1])


def test_each_shape_has_its_own_answer() -> None:
    answers = score_labels(TEXTS[:, None], EMBEDDED, pooling=Pooling("max")).predictions(LABELS)
    assert [a.label for a in answers] == list(LABELS)
    assert all(a.probabilities is None for a in answers)


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    views = torch.full((1, 2, 3), 3**-0.5)
    (answer,) = score_labels(views, EMBEDDED, pooling=Pooling("mean")).predictions(LABELS)
    assert answer.labels == LABELS


def test_labels_must_match_the_texts() -> None:
    with pytest.raises(ConfigError, match="Got 2 labels for 3 embedded ones. Pass the list that was embedded"):
        score_labels(TEXTS[:, None], EMBEDDED, pooling=Pooling("mean")).predictions(("a", "b"))
