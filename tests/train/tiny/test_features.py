"""Features of chosen patches, and accuracy over names."""

from __future__ import annotations

import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.train.data import ShapeSet
from basrelief.train.tiny import features
from basrelief.train.tiny.features import image_features, rank_labels, top_k_accuracy


def test_all_patches_give_the_features_of_the_encoder(encoder: ClipEncoder) -> None:
    images = torch.rand(3, 112, 112)
    with torch.no_grad():
        exact = encoder.encode_images(images)
        for patches in (None, 49):
            assert torch.cosine_similarity(image_features(encoder, images, patches=patches), exact).min() > 0.99


def test_patches_with_points_are_read_first(encoder: ClipEncoder) -> None:
    images = torch.ones(2, 112, 112)
    images[:, 16:48, 32:64] = 0.3
    shown = features._shown(images, 6, 16)
    assert shown[:, 0].tolist() == [0, 0]
    inside = {1 + row * 7 + column for row in (1, 2) for column in (2, 3)}
    assert all(inside <= set(row) for row in shown.tolist())


def test_pictures_show_the_patches_of_their_depth_images(encoder: ClipEncoder) -> None:
    depth = torch.ones(2, 112, 112)
    depth[0, :16, :16], depth[1, 96:, 96:] = 0.5, 0.5  # a patch at the first corner; one at the last
    pictures = torch.zeros(1, 3, 112, 112)
    changed = pictures.clone()
    changed[:, :, 100:, 100:] = 1.0
    with torch.no_grad():
        first, second = (image_features(encoder, depth, colour, patches=1) for colour in (pictures, changed))
    assert first.shape == (3, 512)
    assert torch.equal(first[:2], second[:2])
    assert not torch.allclose(first[2], second[2])


def test_features_have_gradients(encoder: ClipEncoder) -> None:
    result = image_features(encoder, torch.rand(2, 112, 112), patches=10)
    assert result.requires_grad
    assert result.dtype == torch.float32
    assert result.shape == (2, 512)


@pytest.mark.parametrize("patches", [1, 20, 49])
def test_the_number_of_patches_is_respected(patches: int) -> None:
    shown = features._shown(torch.rand(3, 112, 112), patches, 16)
    assert shown.shape == (3, patches + 1)
    assert all(len(set(row)) == patches + 1 for row in shown.tolist())


def test_accuracy_counts_correct_labels(encoder: ClipEncoder, shapes: ShapeSet) -> None:
    found = top_k_accuracy(rank_labels(encoder, shapes, points=64))
    assert 0 <= found["top1"] <= found["top5"] == 1


def test_accuracy_uses_the_encoder(encoder: ClipEncoder, shapes: ShapeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "class_embeddings", lambda *_: torch.eye(4))
    given = iter(shapes.label.repeat_interleave(10))

    def right(_: ClipEncoder, images: torch.Tensor) -> torch.Tensor:
        return torch.eye(4)[torch.stack([next(given) for _ in images])]

    monkeypatch.setattr(features, "image_features", right)
    assert top_k_accuracy(rank_labels(encoder, shapes, points=32)) == {"top1": 1.0, "top5": 1.0}
