"""NT-Xent against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from basrelief.train.clip2point.objective import invariance_loss


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


def test_agreement_lowers_the_loss() -> None:
    first, label = torch.eye(6), torch.arange(6)
    assert invariance_loss(first, first, label) < 1e-4 < invariance_loss(first, first.roll(1, 0), label)
