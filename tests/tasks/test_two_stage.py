"""Two-stage prompts: a slow reference, and laws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from basrelief.errors import ConfigError
from basrelief.tasks import LabelEmbeddings, LabelScores, Pooling, SecondStage, score_labels
from basrelief.tasks.pooling import RULES

SHAPES, VIEWS, LABELS, DIM = 4, 5, 7, 12
POOLINGS = [Pooling(rule, keep=3 if rule == "entropy" else None) for rule in RULES]


def unit(*size: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*size, generator=torch.Generator().manual_seed(seed)), dim=-1)


def scored(
    views: torch.Tensor, texts: torch.Tensor, details: torch.Tensor, penalty: torch.Tensor, *, pooling: Pooling, candidates: int
) -> LabelScores:
    stage = SecondStage(candidates, lambda numbers: details[list(numbers)])
    return score_labels(views, LabelEmbeddings(texts, penalty, stage), pooling=pooling, logit_scale=8.0, logit_bias=-2.0)


def one_stage(views: torch.Tensor, texts: torch.Tensor, penalty: torch.Tensor, pooling: Pooling) -> LabelScores:
    return score_labels(views, LabelEmbeddings(texts, penalty), pooling=pooling, logit_scale=8.0, logit_bias=-2.0)


def reference(
    views: torch.Tensor, texts: torch.Tensor, details: torch.Tensor, penalty: torch.Tensor, pooling: Pooling, candidates: int
) -> list[list[int]]:
    """The ranking of each shape: its candidates, classified as if there were no other label, then the rest."""
    rankings = []
    for shape in views:
        first = one_stage(shape[None], texts, penalty, pooling).scores[0].tolist()
        order = sorted(range(len(texts)), key=lambda label: (-first[label], label))
        chosen = sorted(order[:candidates])
        second = one_stage(shape[None], details[chosen], penalty[chosen], pooling).scores[0].tolist()
        best = sorted(chosen, key=lambda label: (-second[chosen.index(label)], label))
        rankings.append(best + order[candidates:])
    return rankings


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: pooling.rule)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), candidates=st.integers(1, LABELS))
def test_the_ranking_is_that_of_the_reference(pooling: Pooling, seed: int, candidates: int) -> None:
    views, texts, details = unit(SHAPES, VIEWS, DIM, seed=seed), unit(LABELS, DIM, seed=seed + 1), unit(LABELS, DIM, seed=seed + 2)
    penalty = torch.rand(LABELS, generator=torch.Generator().manual_seed(seed)) / 10
    found = scored(views, texts, details, penalty, pooling=pooling, candidates=candidates)
    ranked = found.scores.argsort(dim=1, descending=True, stable=True).tolist()
    assert ranked == reference(views, texts, details, penalty, pooling, candidates)
    first = one_stage(views, texts, penalty, pooling).scores.argsort(dim=1, descending=True, stable=True)[:, :candidates]
    answers = found.predictions([str(label) for label in range(LABELS)])
    for shape, chosen in enumerate(first.tolist()):
        assert ranked[shape][0] in chosen
        assert set(map(int, answers[shape].view_labels)) <= set(chosen)
    if found.probabilities is not None:
        assert pooling.rule == "sigmoid" or torch.allclose(found.probabilities.sum(dim=1), torch.ones(SHAPES), atol=1e-5)
        assert torch.equal((found.probabilities > 0).sum(dim=1), torch.full((SHAPES,), candidates))


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: pooling.rule)
@pytest.mark.parametrize("candidates", [LABELS, LABELS + 3])
def test_with_all_labels_as_candidates_it_is_one_stage_of_detailed_prompts(pooling: Pooling, candidates: int) -> None:
    views, texts, details = unit(SHAPES, VIEWS, DIM, seed=0), unit(LABELS, DIM, seed=1), unit(LABELS, DIM, seed=2)
    none = torch.zeros(LABELS)
    found, alone = scored(views, texts, details, none, pooling=pooling, candidates=candidates), one_stage(views, details, none, pooling)
    np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
    np.testing.assert_allclose(found.similarity, alone.similarity, atol=1e-6)
    assert (found.probabilities is None) == (alone.probabilities is None)
    if found.probabilities is not None and alone.probabilities is not None:
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: pooling.rule)
def test_the_order_of_views_and_labels_does_not_matter(pooling: Pooling) -> None:
    views, texts, details = unit(SHAPES, VIEWS, DIM, seed=3), unit(LABELS, DIM, seed=4), unit(LABELS, DIM, seed=5)
    labels, none = [3, 0, 6, 1, 5, 2, 4], torch.zeros(LABELS)
    found = scored(views, texts, details, none, pooling=pooling, candidates=3)
    other = scored(views.flip(1), texts[labels], details[labels], none, pooling=pooling, candidates=3)
    np.testing.assert_allclose(other.scores, found.scores[:, labels], atol=1e-5)


def test_only_candidates_are_embedded_again() -> None:
    asked: list[int] = []
    texts = unit(LABELS, DIM, seed=1)

    def embed(numbers: Sequence[int]) -> torch.Tensor:
        asked.extend(numbers)
        return texts[list(numbers)]

    labels = LabelEmbeddings(texts, torch.zeros(LABELS), SecondStage(2, embed))
    score_labels(texts[[2, 2]][:, None], labels, pooling=Pooling("mean"))
    assert len(asked) == 2
    assert 2 in asked


def test_no_candidate_is_an_error() -> None:
    with pytest.raises(ConfigError, match="candidates is 0; it must be at least 1. Five are a good start."):
        SecondStage(0, lambda _: unit(1, DIM, seed=0))
