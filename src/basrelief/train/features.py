"""Depth images through the vision tower, with gradients; and how many it names rightly."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.render import render_batch
from basrelief.train.data import ShapeSet
from basrelief.train.text import class_embeddings
from basrelief.train.towers import PROJECTION


def image_features(
    encoder: ClipEncoder, images: Float[Tensor, "batch size size"], *, patches: int | None = None
) -> Float[Tensor, "batch dim"]:
    """Differentiable features of depth images in bfloat16 arithmetic, returned as float32.

    Args:
        encoder: A vision transformer.
        images: Depth images, background 1.
        patches: Read only so many patches of each image, those that show something first (after Li et al. 2023, arXiv:2212.00794).
    """
    pixels = ((images - encoder.mean[0]) / encoder.std[0])[:, None].expand(-1, 3, -1, -1)
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        if patches is None:
            return encoder.towers.image_features(pixels).float()
        vision = encoder.towers.vision_model
        tokens: Tensor = vision.get_submodule("embeddings")(pixels)
        rows = torch.arange(len(tokens), device=tokens.device)[:, None]
        tokens = vision.get_submodule("pre_layrnorm")(tokens[rows, _shown(images, patches, encoder.config.vision.patch_size or 1)])
        blocks: nn.Module = vision.get_submodule("encoder.layers")
        for block in blocks.children():
            tokens = block(tokens, attention_mask=None)
        features: Tensor = encoder.towers.get_submodule("visual_projection")(vision.get_submodule("post_layernorm")(tokens[:, 0]))
        return features.float()


def _shown(images: Float[Tensor, "batch size size"], patches: int, side: int) -> Int[Tensor, "batch kept"]:
    """Numbers of the class token and of the patches that hold the most points, spread evenly from image to image."""
    filled = F.avg_pool2d((images < 1).float()[:, None], side).flatten(1).clamp(max=0.1)
    spread = torch.linspace(0, 1, filled.numel(), device=images.device).mul(7919).frac().view_as(filled) * 0.05
    best = (filled + spread).topk(patches, dim=1).indices + 1
    return F.pad(best, (1, 0))


def accuracy(encoder: ClipEncoder, shapes: ShapeSet, *, points: int = 2048) -> dict[str, float]:
    """Top-1 and top-5 of zero-shot classification over all class names, with the views and pooling of the recipe."""
    texts = class_embeddings(encoder, shapes.names)
    hits = torch.zeros(2)
    for part in torch.split(torch.arange(len(shapes)), 16):
        images = render_batch(list(shapes.points[part, :points].float().numpy()), PROJECTION, device=encoder.device)
        with torch.no_grad():
            views = F.normalize(image_features(encoder, images.flatten(0, 1)), dim=-1).view(*images.shape[:2], -1)
        score = views.mean(dim=1) @ texts.T
        rank = (score > score.gather(1, shapes.label[part, None].to(score.device))).sum(dim=1)
        hits += torch.stack([(rank < 1).sum(), (rank < 5).sum()]).cpu()
    top1, top5 = (hits / len(shapes)).tolist()
    return {"top1": top1, "top5": top5}
