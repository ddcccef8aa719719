"""Pooling rules: closed forms, properties, and recorded logits of the original heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.errors import ConfigError
from basrelief.tasks import Pooling
from basrelief.tasks.pooling import RULES, pool_views, probabilities
from support import parity_arrays


def similarity(shapes: int = 3, views: int = 4, labels: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.rand(shapes, views, labels, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_mean_is_scaled_mean() -> None:
    s = similarity()
    assert torch.allclose(pool_views(s, Pooling("mean"), logit_scale=7.0), 7 * s.mean(1))


def test_max_takes_the_best_view_and_defines_no_probability() -> None:
    s = similarity()
    scores = pool_views(s, Pooling("max", scale=1.0))
    assert torch.equal(scores, s.max(dim=1).values)
    assert probabilities(scores, Pooling("max"), views=4) is None


def test_sum_adds_views() -> None:
    s = similarity()
    assert torch.allclose(pool_views(s, Pooling("sum", scale=1.0), logit_scale=99.0), s.sum(1))


def test_concat_divides_by_the_root_of_the_views() -> None:
    s = similarity(views=9)
    assert torch.allclose(pool_views(s, Pooling("concat"), logit_scale=2.0), 2 * s.sum(1) / 3)


def test_concat_equals_a_literal_concatenation() -> None:
    """The rule against the operation it stands for: concatenated views, text repeated V times, then normalised."""
    g = torch.Generator().manual_seed(1)
    views = torch.nn.functional.normalize(torch.randn(2, 6, 8, generator=g), dim=-1)
    texts = torch.randn(5, 8, generator=g)
    long_text = torch.nn.functional.normalize(texts.repeat(1, 6), dim=-1)
    literal = 50 * views.flatten(1) @ long_text.T
    cosines = views @ torch.nn.functional.normalize(texts, dim=-1).T
    assert torch.allclose(pool_views(cosines, Pooling("concat", scale=50.0)), literal, atol=1e-5)


def test_softmax_sum_has_no_temperature() -> None:
    s = similarity()
    pooling = Pooling("softmax-sum")
    scores = pool_views(s, pooling, logit_scale=100.0)
    assert torch.allclose(scores, torch.stack([torch.exp(v) / torch.exp(v).sum(-1, keepdim=True) for v in s.unbind(1)]).sum(0))
    assert torch.allclose(scores.sum(-1), torch.full((3,), 4.0))
    chances = probabilities(scores, pooling, views=4)
    assert chances is not None
    assert torch.allclose(chances, scores / 4)


@pytest.mark.parametrize("rule", [r for r in RULES if r not in ("max", "sigmoid")])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), shift=st.floats(-0.5, 0.5))
def test_laws(rule: str, seed: int, shift: float) -> None:
    """View order does not matter, one more unit of every cosine keeps the ranking, probabilities sum to one."""
    s = similarity(seed=seed)
    pooling = Pooling(rule, keep=2 if rule == "entropy" else None)
    scores = pool_views(s, pooling, logit_scale=10.0)
    assert torch.allclose(scores, pool_views(s.flip(1), pooling, logit_scale=10.0), atol=1e-5)
    gaps = scores - scores[:, :1]
    shifted = pool_views(s + shift, pooling, logit_scale=10.0)
    assert torch.allclose(shifted - shifted[:, :1], gaps, atol=1e-4)
    chances = probabilities(scores, pooling, views=4)
    assert chances is not None
    assert torch.allclose(chances.sum(-1), torch.ones(3))


def test_weights_of_zero_drop_a_view() -> None:
    s = similarity(views=2)
    assert torch.allclose(pool_views(s, Pooling("concat", weights=(1.0, 0.0))), s[:, 0] / math.sqrt(2))


def entropy_reference(similarity: np.ndarray, scale: float, keep: int, weights: list[float]) -> np.ndarray:
    """MV-CLIP's selection, one shape, one view and one label at a time."""
    rows = []
    for shape in similarity.astype(np.float64):
        entropies = []
        for view, weight in zip(shape, weights, strict=True):
            total = sum(math.exp(scale * (cosine - view.max())) for cosine in view)
            chances = [math.exp(scale * (cosine - view.max())) / total for cosine in view]
            entropies.append(-sum(p * math.log(p) for p in chances if p > 0) if weight else math.inf)
        kept = sorted(range(len(shape)), key=lambda view: (entropies[view], view))[:keep]
        rows.append(scale * sum(weights[view] * shape[view] for view in kept) / sum(weights[view] for view in kept))
    return np.array(rows)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), keep=st.integers(1, 6), scale=st.floats(1.0, 100.0), weighted=st.booleans())
def test_entropy_agrees_with_the_reference(seed: int, keep: int, scale: float, weighted: bool) -> None:
    s = similarity(views=6, seed=seed) / 4
    weights = [0.0, 1.0, 0.5, 2.0, 0.25, 0.0] if weighted else [1.0] * 6
    found = pool_views(s, Pooling("entropy", keep=keep, weights=tuple(weights) if weighted else None), logit_scale=scale)
    np.testing.assert_allclose(found.numpy(), entropy_reference(s.numpy(), scale, keep, weights), rtol=1e-4, atol=1e-4)


def test_keeping_all_views_is_the_mean() -> None:
    s, weights = similarity(views=6), (1.0, 2.0, 0.0, 1.0, 1.0, 3.0)
    assert torch.allclose(pool_views(s, Pooling("entropy", keep=6), logit_scale=9.0), pool_views(s, Pooling("mean"), logit_scale=9.0))
    weighted = pool_views(s, Pooling("mean", weights=weights), logit_scale=9.0)
    assert torch.allclose(pool_views(s, Pooling("entropy", keep=6, weights=weights), logit_scale=9.0), weighted)
    assert torch.allclose(weighted, 9 * (s * torch.tensor(weights)[:, None]).sum(1) / 8, atol=1e-5)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), keep=st.integers(1, 6))
def test_entropy_does_not_depend_on_the_order_of_views_and_labels(seed: int, keep: int) -> None:
    s, order = similarity(views=6, seed=seed), torch.Generator().manual_seed(seed)
    views, labels = torch.randperm(6, generator=order), torch.randperm(5, generator=order)
    pooling = Pooling("entropy", keep=keep)
    found = pool_views(s[:, views][:, :, labels], pooling, logit_scale=5.0)
    assert torch.allclose(found, pool_views(s, pooling, logit_scale=5.0)[:, labels], atol=1e-5)


def test_views_of_equal_entropy_are_taken_in_order() -> None:
    view = torch.tensor([0.9, 0.1, 0.2])
    s = torch.stack([view, view.flip(0), view.roll(1)])[None]
    assert torch.equal(pool_views(s, Pooling("entropy", keep=1)), view[None])


def test_a_rule_is_read_from_its_name() -> None:
    assert Pooling.parse("mean") == Pooling("mean")
    assert Pooling.parse("entropy:5") == Pooling("entropy", keep=5)
    with pytest.raises(ConfigError, match="The pooling rule 'entropy:few' has no whole number after the colon. Example: entropy:5"):
        Pooling.parse("entropy:few")


def test_a_rule_for_some_of_the_views() -> None:
    assert Pooling("entropy", keep=3).of_views([0, 5]) == Pooling("entropy", keep=2)
    assert Pooling("concat", weights=(1.0, 0.5, 0.0)).of_views([2, 1]) == Pooling("concat", weights=(0.0, 0.5))
    assert Pooling("mean", weights=(1.0, 0.0)).of_views([1]) == Pooling("mean")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pooling("median"), "Unknown pooling rule 'median'; expected one of mean, max, concat, sum, softmax-sum, entropy"),
        (lambda: Pooling("max", weights=(1.0,)), "Pooling 'max' takes no weights, but there are 1. Use rule 'mean' or 'concat'."),
        (lambda: Pooling("mean", weights=(0.0, 0.0)), r"weights is \[0.0, 0.0\]; expected numbers from 0 up, one of them above 0"),
        (lambda: Pooling("entropy"), "keep is None; 'entropy' needs the number of views to keep, at least 1"),
        (lambda: Pooling("mean", keep=2), "Pooling 'mean' keeps all views, but keep is 2. Use rule 'entropy', or leave keep out"),
        (lambda: pool_views(similarity(), Pooling("entropy", keep=5)), "keep is 5, but there are 4 views. Keep fewer"),
        (lambda: pool_views(similarity(), Pooling("concat", weights=(1.0,))), "There are 1 weights for 4 views"),
    ],
)
def test_wrong_values_are_explained(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def unit(rows: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rows).float(), dim=-1)


def test_pointclip_zero_shot_logits() -> None:
    a = parity_arrays("pointclip_logits.npz")
    views = torch.from_numpy(a["zs_image_feat"]).unflatten(1, (-1, a["text_raw"].shape[1]))
    scores = pool_views(views @ unit(a["text_raw"]).T, Pooling("concat"), logit_scale=math.exp(float(a["logit_scale"])))
    np.testing.assert_allclose(scores.numpy(), a["zs_logits"], rtol=1e-5, atol=1e-5)


def test_pointclip_v2_logits() -> None:
    a = parity_arrays("pointclipv2_logits.npz")
    views = torch.from_numpy(a["image_feat"]).unflatten(1, (-1, a["text_raw"].shape[1]))
    weights = tuple(float(w) for w in a["view_weights"])
    # The recorded features hold no weights yet when their views have unit length.
    if not torch.allclose(views.norm(dim=-1), torch.ones(views.shape[:2]), atol=1e-4):
        weights = tuple(1.0 for _ in weights)
    scores = pool_views(views @ unit(a["text_raw"]).T, Pooling("concat", scale=100.0, weights=weights))
    np.testing.assert_allclose(scores.numpy(), a["logits"], rtol=1e-5, atol=1e-4)


def test_clip2point_zero_shot_logits_and_probabilities() -> None:
    a = parity_arrays("clip2point_forward.npz")
    shapes = len(a["points"])
    pooling = Pooling("sum", scale=1.0)
    views = unit(a["infer_rot1"]).unflatten(0, (shapes, -1))
    scores = pool_views(views @ unit(a["text_features"]).T, pooling)
    np.testing.assert_allclose(scores.numpy(), a["zeroshot_logits"], rtol=1e-5, atol=1e-5)
    chances = probabilities(scores, pooling, views=views.shape[1])
    assert chances is not None
    np.testing.assert_allclose(chances.numpy(), a["zeroshot_probs"], rtol=1e-5, atol=1e-6)


def test_sigmoid_rates_each_label_by_itself() -> None:
    scores = pool_views(torch.tensor([[[0.2, 0.1, 0.0], [0.0, 0.1, 0.0]]]), Pooling("sigmoid"), logit_scale=100.0)
    chances = probabilities(scores, Pooling("sigmoid"), views=2, logit_bias=-10.0)
    assert chances is not None
    assert torch.allclose(chances, torch.tensor([[0.5, 0.5, torch.sigmoid(torch.tensor(-10.0))]]))
    with pytest.raises(ConfigError, match=r"Pooling 'sigmoid' needs an encoder trained with the sigmoid loss, such as SigLIP 2\. Use rule"):
        probabilities(scores, Pooling("sigmoid"), views=2)
