"""Settings of the alignment; the defaults are those of the published code."""

from __future__ import annotations

from dataclasses import dataclass

from basrelief.train.config import check_at_least, check_choice, check_positive
from basrelief.train.run import PRECISIONS

CACHES = ("tokens", "pictures", "none")


@dataclass(frozen=True)
class OpenDlignSettings:
    """Settings of the alignment of a tuned block.

    Attributes:
        batch_size: Shapes per step over all processes; the paper uses 128, and 60 for ViT-H-14.
        accumulate: Steps whose gradients are accumulated.
        epochs: Number of epochs.
        lr: Peak of the one-cycle learning rate.
        weight_decay: Weight decay of AdamW.
        views: Number of views to use, evenly spaced over the rig.
        blocks: Number of last blocks to tune.
        residual: Whether the tuned branch is the mean of frozen and tuned blocks, or the tuned blocks alone.
        distance: Weight of the mean squared error beside the contrastive loss.
        cache: Frozen features to cache on disk: `tokens` (trunk output of the depth maps, and features of the images), `pictures` (the
            latter alone) or `none`.
        cache_type: Data type of cached tokens: `float16` or `float32`.
        precision: `float32`, `bfloat16` or `float16`: compute dtype of the tuned block.
        save_every: Steps between checkpoints.
        validate_every: Epochs between validations.
        workers: Reader threads.
        seed: Seed of the batches.
    """

    batch_size: int = 128
    accumulate: int = 1
    epochs: int = 10
    lr: float = 3e-4
    weight_decay: float = 0.1
    views: int = 10
    blocks: int = 1
    residual: bool = True
    distance: float = 1.0
    cache: str = "tokens"
    cache_type: str = "float16"
    precision: str = "float32"
    save_every: int = 200
    validate_every: int = 1
    workers: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 1, "accumulate", "epochs", "views", "blocks", "save_every", "validate_every", "workers")
        check_at_least(self, 2, "batch_size")  # a contrastive loss needs negatives
        check_positive(self, "lr")
        check_positive(self, "weight_decay", "distance", zero=True)
        for name, choices in (("cache", CACHES), ("cache_type", ("float16", "float32")), ("precision", tuple(PRECISIONS))):
            check_choice(self, name, choices)
