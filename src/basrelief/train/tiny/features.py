"""Features of the image tower with gradients, and zero-shot accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.models import get_recipe
from basrelief.render import render_batch
from basrelief.tasks import LabelEmbeddings, score_labels
from basrelief.train.data import ShapeSet
from basrelief.train.tiny.text import class_embeddings
from basrelief.train.tiny.towers import PROJECTION


def image_features(
    encoder: ClipEncoder,
    depth: Float[Tensor, "depth size size"],
    pictures: Float[Tensor, "pictures 3 size size"] | None = None,
    *,
    patches: int | None = None,
) -> Float[Tensor, "images dim"]:
    """Encode depth images and pictures with gradients, in float32; in one pass, so that batch norm sees both.

    Args:
        encoder: Encoder with a vision transformer.
        depth: Depth images, background 1.
        pictures: Pictures of the last depth images, from the same views.
        patches: Number of patches to read per image, foreground first (after Li et al. 2023, arXiv:2212.00794); all when None.
    """
    images, seen = depth[:, None].expand(-1, 3, -1, -1), depth
    if pictures is not None:
        images, seen = torch.cat([images, pictures]), torch.cat([depth, depth[len(depth) - len(pictures) :]])
    pixels = (images - encoder.mean[0]) / encoder.std[0]
    if patches is None:
        return encoder.towers.image_features(pixels).float()
    vision = encoder.towers.vision_model
    tokens: Tensor = vision.get_submodule("embeddings")(pixels)
    rows = torch.arange(len(tokens), device=tokens.device)[:, None]
    tokens = vision.get_submodule("pre_layrnorm")(tokens[rows, _shown(seen, patches, encoder.config.image_tower.patch_size or 1)])
    return encoder.towers.project(vision.get_submodule("encoder")(tokens)[:, 0]).float()


def _shown(images: Float[Tensor, "batch size size"], patches: int, side: int) -> Int[Tensor, "batch kept"]:
    """Return the indices of the class token and of the patches with the most foreground; ties differ from image to image."""
    filled = F.avg_pool2d((images < 1).float()[:, None], side).flatten(1).clamp(max=0.1)
    spread = torch.linspace(0, 1, filled.numel(), device=images.device).mul(7919).frac().view_as(filled) * 0.05
    best = (filled + spread).topk(patches, dim=1).indices + 1
    return F.pad(best, (1, 0))


class Ranking(NamedTuple):
    """Zero-shot result of shapes.

    Attributes:
        first: (S,) index of the predicted name.
        rank: (S,) number of names ranked above the right one.
    """

    first: Int64[np.ndarray, " shapes"]
    rank: Int64[np.ndarray, " shapes"]


@torch.no_grad()
def rank_labels(encoder: ClipEncoder, shapes: ShapeSet, *, points: int = 4096) -> Ranking:
    """Classify shapes zero-shot over all class names, with the views, pooling and class penalty of the recipe `tiny`.

    Args:
        encoder: Encoder with `tiny`'s architecture.
        shapes: Shapes to classify.
        points: Points per shape.
    """
    texts, pooling = class_embeddings(encoder, shapes.names), get_recipe("tiny").pooling
    penalties = encoder.vocabulary.class_penalties(shapes.names) if encoder.vocabulary else (0.0,) * len(shapes.names)
    labels = LabelEmbeddings(texts, torch.tensor(penalties, device=texts.device))
    first, rank = [], []
    for part in torch.split(torch.arange(len(shapes)), 16):
        images = render_batch(list(shapes.points[part, :points].float().numpy()), PROJECTION, device=encoder.device)
        views = F.normalize(image_features(encoder, images.flatten(0, 1)), dim=-1).view(*images.shape[:2], -1)
        score = score_labels(views, labels, pooling=pooling).scores
        first.append(score.argmax(dim=1).cpu())
        rank.append((score > score.gather(1, shapes.label[part, None].to(score.device))).sum(dim=1).cpu())
    return Ranking(torch.cat(first).numpy(), torch.cat(rank).numpy())


def top_k_accuracy(found: Ranking) -> dict[str, float]:
    """Return top-1 and top-5 accuracy in [0, 1]."""
    return {"top1": float((found.rank < 1).mean()), "top5": float((found.rank < 5).mean())}
