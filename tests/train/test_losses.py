"""The losses against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from basrelief.train.losses import alignment_loss, invariance_loss

SCALE = torch.tensor(10.0)


def test_alignment_of_perfect_features() -> None:
    texts = torch.eye(4)
    expected = -math.log(math.exp(10) / (math.exp(10) + 3))
    assert float(alignment_loss(texts * 7, texts, torch.arange(4), logit_scale=SCALE)) == pytest.approx(expected, rel=1e-2)


def test_alignment_knowing_nothing_is_the_log_of_the_names() -> None:
    texts = F.normalize(torch.ones(5, 3), dim=-1)
    assert float(alignment_loss(torch.rand(6, 3), texts, torch.zeros(6, dtype=torch.int64), logit_scale=SCALE)) == pytest.approx(
        math.log(5)
    )


def test_alignment_does_not_see_lengths() -> None:
    features, texts, target = torch.rand(6, 3), F.normalize(torch.rand(4, 3), dim=-1), torch.tensor([0, 1, 2, 3, 0, 1])
    longer = features * torch.arange(1.0, 7)[:, None]
    assert torch.allclose(*(alignment_loss(f, texts, target, logit_scale=SCALE) for f in (features, longer)))


def test_smoothing_costs_certainty() -> None:
    texts = torch.eye(4)
    sharp, soft = (alignment_loss(texts, texts, torch.arange(4), logit_scale=SCALE, smoothing=s) for s in (0.0, 0.1))
    assert soft > sharp


def test_alignment_teaches_the_scale() -> None:
    scale = torch.tensor(1.0, requires_grad=True)
    alignment_loss(torch.eye(3), torch.eye(3), torch.arange(3), logit_scale=scale).backward()
    assert scale.grad is not None
    assert scale.grad < 0


def _ntxent(first: torch.Tensor, second: torch.Tensor, temperature: float = 0.07) -> float:
    """CLIP2Point's loss written out, one anchor at a time."""
    both = F.normalize(torch.cat([first, second]), dim=-1).double()
    count, total = len(first), 0.0
    for i in range(2 * count):
        positive = (i + count) % (2 * count)
        logits = torch.stack([both[i] @ both[j] / temperature for j in range(2 * count) if j != i])
        total += float(torch.logsumexp(logits, dim=0) - both[i] @ both[positive] / temperature)
    return total / (2 * count)


def test_invariance_equals_the_paper_when_all_classes_differ() -> None:
    first, second = torch.rand(5, 8), torch.rand(5, 8)
    assert float(invariance_loss(first, second, torch.arange(5))) == pytest.approx(_ntxent(first, second), rel=1e-5)


def test_invariance_is_symmetric() -> None:
    first, second, label = torch.rand(5, 8), torch.rand(5, 8), torch.arange(5)
    assert torch.allclose(invariance_loss(first, second, label), invariance_loss(second, first, label))


def test_shapes_of_one_class_do_not_push_each_other_away() -> None:
    first, second = torch.rand(4, 8), torch.rand(4, 8)
    assert float(invariance_loss(first, second, torch.zeros(4, dtype=torch.int64))) == pytest.approx(0, abs=1e-6)


def test_same_class_pairs_are_the_only_ones_left_out() -> None:
    first, second = torch.rand(4, 8), torch.rand(4, 8)
    some = invariance_loss(first, second, torch.tensor([0, 0, 1, 2]))
    assert 0 < some < invariance_loss(first, second, torch.arange(4))


def test_agreement_is_rewarded() -> None:
    first, label = torch.eye(6), torch.arange(6)
    assert invariance_loss(first, first, label) < 1e-4 < invariance_loss(first, first.roll(1, 0), label)
