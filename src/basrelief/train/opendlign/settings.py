"""Every number of the alignment: the defaults are the published code's."""

from __future__ import annotations

from dataclasses import dataclass

from basrelief.errors import ConfigError, unknown_choice
from basrelief.train.config import check_at_least, check_positive
from basrelief.train.run import PRECISIONS

CACHES = ("tokens", "pictures", "none")


@dataclass(frozen=True)
class OpenDlignSettings:
    """How a tuned block is aligned.

    Attributes:
        batch: Shapes of a step over all processes; the paper's is 128, and 60 for ViT-H-14.
        accumulate: Steps whose gradients are added before the weights move.
        epochs: Passes over the shapes.
        rate: Peak of the one-cycle schedule.
        decay: Weight decay of AdamW.
        views: How many of the views are used, evenly over the rig.
        blocks: How many of the last blocks get a tuned twin.
        residual: Whether the tuned branch is the mean of frozen and tuned blocks, or the tuned ones alone.
        distance: Weight of the mean squared difference beside the contrast.
        cache: What is worked out once and kept on disk: `tokens` (the trunk's output of the maps, and the pictures' features), `pictures`
            (the latter alone) or `none`.
        cache_type: Type of the kept tokens: `float16` or `float32`.
        precision: `float32`, `bfloat16` or `float16`, of the tuned block's arithmetic.
        save_every: Steps between checkpoints.
        validate_every: Epochs between validations.
        workers: Threads that read.
        seed: Of the order.
    """

    batch: int = 128
    accumulate: int = 1
    epochs: int = 10
    rate: float = 3e-4
    decay: float = 0.1
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
        check_at_least(self, 2, "batch")  # a contrastive loss needs negatives
        check_positive(self, "rate")
        check_positive(self, "decay", "distance", zero=True)
        for name, choices in (("cache", CACHES), ("cache_type", ("float16", "float32")), ("precision", tuple(PRECISIONS))):
            if getattr(self, name) not in choices:
                raise ConfigError(unknown_choice(name, getattr(self, name), choices))
