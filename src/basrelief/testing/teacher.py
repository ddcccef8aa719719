"""Train a small CLIP-like image tower, to test code that needs CLIP weights without having them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder, VisionConfig, random_encoder


def teach_pictures(
    base: ClipEncoder,
    pictures: UInt8[Tensor, "shapes views 3 side side"],
    *,
    truth: Sequence[int],
    texts: Float[Tensor, "labels dim"],
    steps: int = 300,
    seed: int = 0,
) -> ClipEncoder:
    """Train a new image tower to classify images by the text features of another encoder.

    A vision transformer of four blocks for pictures of their own size, about 0.9 M numbers.

    Args:
        base: Its text tower, tokenizer, mean and deviation are taken.
        pictures: Colour, a side that 8 divides.
        truth: Number of the label of each shape.
        texts: Unit embeddings of the labels by the base.
        steps: Of AdamW on 64 pictures each.
        seed: Of the weights and the order.
    """
    vision = VisionConfig(image_size=pictures.shape[-1], width=128, layers=4, heads=4, patch_size=8)
    fresh = random_encoder(replace(base.config, vision=vision), seed=seed, tokenizer=base.tokenizer)
    fresh = fresh.with_preprocessing(base.mean, base.std)
    words = {name: tensor for name, tensor in base.towers.state_dict().items() if name.startswith(("text_", "logit_scale"))}
    fresh.towers.load_state_dict(words, strict=False)
    parts = [fresh.towers.vision_model, fresh.towers.visual_projection]
    learned = [p.requires_grad_() for part in parts if part is not None for p in part.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    random, targets = torch.Generator().manual_seed(seed), torch.tensor(list(truth))
    for _ in range(steps):
        rows = torch.randint(len(pictures), (64,), generator=random)
        views = torch.randint(pictures.shape[1], (64,), generator=random)
        features = fresh.towers.image_features(fresh.prepare(pictures[rows, views].float() / 255))
        loss = F.cross_entropy(20 * F.normalize(features, dim=-1) @ texts.T, targets[rows], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    fresh.towers.requires_grad_(False)
    return fresh
