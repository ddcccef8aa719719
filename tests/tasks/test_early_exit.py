"""Early exit: the rule against a loop over labels, the guarantee, and the order of views."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.tasks import EarlyExit, LabelEmbeddings, Pooling, score_labels
from basrelief.tasks.early_exit import embed_until_decided, view_order, view_weights

SHAPES, VIEWS, LABELS, DIM = 40, 10, 6, 16


def _random(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def labels() -> LabelEmbeddings:
    """Six labels, half of them with a penalty."""
    return LabelEmbeddings(_random(LABELS, DIM, seed=1), torch.tensor([0.0, 0.02] * (LABELS // 2)))


@pytest.fixture
def views(labels: LabelEmbeddings) -> Tensor:
    """Views near one label or between two."""
    near = (
        labels.texts[torch.arange(SHAPES) % LABELS]
        + torch.linspace(0, 1, SHAPES)[:, None] * labels.texts.roll(1, 0)[torch.arange(SHAPES) % LABELS]
    )
    return F.normalize(near[:, None] + 0.25 * torch.randn(SHAPES, VIEWS, DIM, generator=torch.Generator().manual_seed(2)), dim=-1)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_rule_is_that_of_a_loop_over_labels(share: float, labels: LabelEmbeddings, views: Tensor) -> None:
    weights = torch.rand(VIEWS, generator=torch.Generator().manual_seed(3))
    similarity = labels.similarity(views[:, :4])
    found = EarlyExit(share).decided(similarity, labels, weights=weights)
    for shape in range(SHAPES):
        total = [sum(float(weights[v]) * float(similarity[shape, v, c]) for v in range(4)) for c in range(LABELS)]
        best = max(range(LABELS), key=lambda c: total[c])
        rest = float(weights[4:].sum())
        apart = [float((labels.texts[c] - labels.texts[best]).norm()) for c in range(LABELS)]
        gain = [share * apart[c] + float(labels.penalty[best] - labels.penalty[c]) for c in range(LABELS)]
        expected = all(total[best] - total[c] > rest * gain[c] for c in range(LABELS) if c != best)
        assert bool(found[shape]) == expected


@pytest.mark.parametrize("rule", ["mean", "sum", "concat"])
def test_the_whole_bound_never_changes_the_best_label(rule: str, labels: LabelEmbeddings, views: Tensor) -> None:
    weights = tuple(torch.linspace(0.2, 1, VIEWS).tolist()) if rule == "concat" else None
    pooling = Pooling(rule, weights=weights)
    found, encoded = _embed(views, labels, EarlyExit(first=1, step=1), pooling)
    assert int(encoded.min()) < VIEWS, "some views are left out"
    whole = score_labels(views, labels, pooling=pooling).scores
    assert torch.equal(score_labels(found, labels, pooling=pooling).scores.argmax(1), whole.argmax(1))


def test_a_smaller_share_leaves_out_more(labels: LabelEmbeddings, views: Tensor) -> None:
    labels = LabelEmbeddings(labels.texts, torch.zeros(LABELS))
    counts = [float(_embed(views, labels, EarlyExit(share), Pooling("mean"))[1].float().mean()) for share in (1.0, 0.3, 0.1, 0.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 4


def test_left_out_views_have_the_mean_of_the_others(labels: LabelEmbeddings, views: Tensor) -> None:
    labels = LabelEmbeddings(labels.texts, torch.zeros(LABELS))
    found, encoded = _embed(views, labels, EarlyExit(0.0, first=3), Pooling("mean"))
    assert set(encoded.tolist()) == {3}
    seen = list(view_order(VIEWS)[:3])
    assert torch.equal(found[:, seen], views[:, seen])
    left = [view for view in range(VIEWS) if view not in seen]
    torch.testing.assert_close(found[:, left], views[:, seen].mean(1, keepdim=True).expand(-1, len(left), -1))
    scores = score_labels(found, labels, pooling=Pooling("mean")).scores
    torch.testing.assert_close(scores, score_labels(views[:, seen], labels, pooling=Pooling("mean")).scores)


def _embed(views: Tensor, labels: LabelEmbeddings, rule: EarlyExit, pooling: Pooling) -> tuple[Tensor, Tensor]:
    weights = view_weights(pooling, VIEWS)
    return embed_until_decided(lambda rows, some: views[rows][:, some], labels, rule, shapes=SHAPES, weights=weights)


@pytest.mark.parametrize("views", range(1, 25))
def test_first_views_are_spread_over_all(views: int) -> None:
    order = view_order(views)
    assert sorted(order) == list(range(views))
    assert order[0] == 0
    if views >= 4:
        gaps = [b - a for a, b in zip(sorted(order[:4]), [*sorted(order[:4])[1:], views], strict=True)]
        assert max(gaps) <= views // 4 + 1


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"Early exit has a share of 1\.5; expected a number from 0 to 1\. With 1 the best label never changes\."
    ):
        EarlyExit(1.5)
    with pytest.raises(ConfigError, match="Encode at least one view of every shape"):
        EarlyExit(first=0)
    with pytest.raises(ConfigError, match="Encode at least one more view at a time"):
        EarlyExit(step=0)
    message = r"Early exit needs view pooling that adds up cosines \(mean, sum, concat\); this model has 'max'\."
    with pytest.raises(ConfigError, match=message):
        view_weights(Pooling("max"), 3)
