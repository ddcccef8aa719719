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


@pytest.mark.parametrize("rule", [r for r in RULES if r != "max"])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), shift=st.floats(-0.5, 0.5))
def test_laws(rule: str, seed: int, shift: float) -> None:
    """View order does not matter, one more unit of every cosine keeps the ranking, probabilities sum to one."""
    s = similarity(seed=seed)
    pooling = Pooling(rule)
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pooling("median"), "Unknown pooling rule 'median'; expected one of mean, max, concat, sum, softmax-sum"),
        (lambda: Pooling("mean", weights=(1.0,)), "Pooling 'mean' takes no weights, but there are 1"),
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
