"""Settings of the alignment; the defaults are those of the published code."""

from __future__ import annotations

from dataclasses import dataclass

from basrelief.train.config import TrainingSettings, check_at_least, check_choice, check_positive

CACHES = ("tokens", "pictures", "none")


@dataclass(frozen=True)
class OpenDlignSettings(TrainingSettings):
    """Settings of the alignment of a tuned block, beside those of every training.

    Attributes:
        batch_size: Shapes per step over all processes; the paper uses 128, and 60 for ViT-H-14.
        lr: Peak of the one-cycle learning rate.
        weight_decay: Weight decay of AdamW.
        views: Number of views to use, evenly spaced over the rig.
        blocks: Number of last blocks to tune.
        residual: Whether the tuned branch is the mean of frozen and tuned blocks, or the tuned blocks alone.
        distance: Weight of the mean squared error beside the contrastive loss.
        cache: Frozen features to cache on disk: `tokens` (trunk output of the depth maps, and features of the images), `pictures` (the
            latter alone) or `none`.
        cache_type: Data type of cached tokens: `float16` or `float32`.
        workers: Reader threads.
    """

    batch_size: int = 128
    lr: float = 3e-4
    weight_decay: float = 0.1
    views: int = 10
    blocks: int = 1
    residual: bool = True
    distance: float = 1.0
    cache: str = "tokens"
    cache_type: str = "float16"
    workers: int = 4

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 2, "batch_size")  # a contrastive loss needs negatives
        check_at_least(self, 1, "views", "blocks", "workers")
        check_positive(self, "lr")
        check_positive(self, "weight_decay", "distance", zero=True)
        check_choice(self, "cache", CACHES)
        check_choice(self, "cache_type", ("float16", "float32"))
        super().__post_init__()
