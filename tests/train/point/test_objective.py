"""The contrast of clouds with images and text: formulas worked out in plain loops, missing members, false negatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from basrelief.train.point.objective import Contrast, Targets, true_negatives

SCALE = torch.tensor(14.28)


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def targets(count: int = 6, *, images: int = 1, has_images: list[int] | None = None, has_text: list[int] | None = None) -> Targets:
    rows = range(count)
    return Targets(
        features(count, images, 5, seed=1),
        torch.tensor([has_images is None or row in has_images for row in rows]),
        features(count, 5, seed=2),
        torch.tensor([has_text is None or row in has_text for row in rows]),
    )


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / first.norm() / second.norm())


def reference(first: Tensor, second: Tensor, rows: list[int], keep: Tensor | None = None, exclude: bool = False) -> float:
    """InfoNCE in both directions over some rows, as a mean of -log shares; pairs that are not kept count as logit 0, or not at all."""
    total = 0.0
    for one, other, mask in ((first, second, keep), (second, first, None if keep is None else keep.T)):
        for i in rows:
            logits = {j: float(SCALE) * cosine(one[i], other[j]) for j in rows}
            for j in rows:
                if mask is not None and not mask[i, j]:
                    logits[j] = -math.inf if exclude else 0.0
            total += math.log(sum(map(math.exp, logits.values()))) - logits[i]
    return total / (2 * len(rows))


def test_both_terms_are_symmetric_infonce() -> None:
    points, goal = features(6, 1, 5), targets()
    losses = Contrast(image_weight=2.0, text_weight=0.5).losses(points, goal, logit_scale=SCALE)
    image, text = reference(points[:, 0], goal.images[:, 0], [*range(6)]), reference(points[:, 0], goal.text, [*range(6)])
    assert losses.image.item() == pytest.approx(image, rel=1e-5)
    assert losses.text.item() == pytest.approx(text, rel=1e-5)
    assert losses.total.item() == pytest.approx(2 * image + 0.5 * text, rel=1e-5)


def test_each_of_several_images_has_its_own_term() -> None:
    points, goal = features(6, 1, 5), targets(images=3)
    losses = Contrast().losses(points, goal, logit_scale=SCALE)
    expected = sum(reference(points[:, 0], goal.images[:, k], [*range(6)]) for k in range(3))
    assert losses.image.item() == pytest.approx(expected, rel=1e-5)


def test_of_two_features_the_first_meets_text_and_the_second_images() -> None:
    points, goal = features(6, 2, 5), targets()
    losses = Contrast().losses(points, goal, logit_scale=SCALE)
    assert losses.text.item() == pytest.approx(reference(points[:, 0], goal.text, [*range(6)]), rel=1e-5)
    assert losses.image.item() == pytest.approx(reference(points[:, 1], goal.images[:, 0], [*range(6)]), rel=1e-5)


def test_a_shape_without_text_or_images_is_left_out_of_that_term() -> None:
    points, goal = features(6, 1, 5), targets(has_images=[0, 2, 3, 5], has_text=[0, 1, 5])
    losses = Contrast().losses(points, goal, logit_scale=SCALE)
    assert losses.image.item() == pytest.approx(reference(points[:, 0], goal.images[:, 0], [0, 2, 3, 5]), rel=1e-5)
    assert losses.text.item() == pytest.approx(reference(points[:, 0], goal.text, [0, 1, 5]), rel=1e-5)


def test_a_batch_without_any_text_has_gradients() -> None:
    points, scale = features(6, 1, 5).requires_grad_(), SCALE.clone().requires_grad_()
    losses = Contrast().losses(points, targets(has_text=[], has_images=[]), logit_scale=scale)
    losses.total.backward()
    assert losses.total.item() == 0
    assert points.grad is not None
    assert scale.grad is not None
    assert not points.grad.any()


def test_images_get_no_gradient() -> None:
    goal = targets()
    goal.images.requires_grad_()
    Contrast().losses(features(6, 1, 5).requires_grad_(), goal, logit_scale=SCALE).total.backward()
    assert goal.images.grad is None


def confusing() -> Targets:
    """Two groups of three; texts 0 and 1 are the same, and the image of shape 2 fits text 0 about as well as its own."""
    goal = targets()
    text = goal.text.clone()
    text[1] = text[0]
    images = text[:, None].clone()
    images[2, 0] = text[0] / text[0].norm() + text[2] / text[2].norm()
    return goal._replace(text=text, images=images)


def test_within_a_group_texts_that_fit_as_well_are_no_negatives() -> None:
    goal = confusing()
    keep = true_negatives(goal, group=3, margin=0.1)
    for i in range(6):
        for j in range(6):
            own, other = cosine(goal.images[i, 0], goal.text[i]), cosine(goal.images[i, 0], goal.text[j])
            assert bool(keep[i, j]) == (i == j or i // 3 != j // 3 or own - other > 0.1)
    assert not keep[0, 1]
    assert not keep[2, 0]
    assert keep[3:, :3].all()


@pytest.mark.parametrize("exclude", [False, True])
def test_masked_logits_are_zero_as_published_or_left_out(exclude: bool) -> None:
    points, goal, rows = features(6, 1, 5), confusing(), [*range(6)]
    keep = true_negatives(goal, group=3, margin=0.1)
    losses = Contrast(neighbours=3, mask="exclude" if exclude else "zero").losses(points, goal, logit_scale=SCALE)
    assert losses.text.item() == pytest.approx(reference(points[:, 0], goal.text, rows, keep, exclude), rel=1e-5)
    assert losses.image.item() == pytest.approx(reference(points[:, 0], goal.images[:, 0], rows, keep, exclude), rel=1e-5)


def test_groups_may_hold_shapes_without_text() -> None:
    goal = confusing()._replace(has_text=torch.tensor([True, False, True, True, True, True]))
    keep = true_negatives(goal, group=3, margin=0.1)
    assert keep[1].all()
    assert keep[:, 1].all()
    points = features(6, 1, 5)
    losses = Contrast(neighbours=3).losses(points, goal, logit_scale=SCALE)
    assert losses.text.item() == pytest.approx(reference(points[:, 0], goal.text, [0, 2, 3, 4, 5], keep), rel=1e-5)


def test_the_share_of_right_answers_is_logged() -> None:
    goal = targets()
    losses = Contrast().losses(goal.text[:, None].clone(), goal, logit_scale=SCALE)
    assert losses.text_right.item() == 1
    assert losses.logit_scale.item() == pytest.approx(14.28)
