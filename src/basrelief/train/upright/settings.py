"""Settings of the upright network's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError
from basrelief.train.augment import Augmentation
from basrelief.train.config import check_at_least, check_choice, check_positive
from basrelief.train.run import PRECISIONS


@dataclass(frozen=True)
class UprightSettings:
    """Settings of the upright network's training.

    Attributes:
        batch_size: Shapes per step over all processes.
        accumulate: Steps whose gradients are accumulated.
        epochs: Number of epochs of `epoch_steps` steps.
        epoch_steps: Steps per epoch; shapes are sampled with replacement.
        lr: Peak of AdamW's one-cycle learning rate.
        weight_decay: Weight decay.
        per_category: Generated shapes of each category.
        file_fraction: Fraction of a batch that comes from files, if there are any.
        smoothing: Label smoothing.
        precision: `float32`, `bfloat16` or `float16`: compute dtype of the network.
        save_every: Steps between checkpoints.
        validate_every: Epochs between validations; they do not choose the weights.
        seed: Seed of weights, batches and dropout.
        augmentation: Augmentation of the point clouds.
    """

    batch_size: int = 64
    accumulate: int = 1
    epochs: int = 12
    epoch_steps: int = 1000
    lr: float = 2e-3
    weight_decay: float = 0.05
    per_category: int = 300
    file_fraction: float = 0.45
    smoothing: float = 0.03
    precision: str = "float32"
    save_every: int = 500
    validate_every: int = 1
    seed: int = 0
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(stretch=0.3, taper=0.0, tilt=2.5, shift=0.0))

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 1, "batch_size", "accumulate", "epochs", "epoch_steps", "per_category", "save_every", "validate_every")
        check_positive(self, "lr")
        check_positive(self, "weight_decay", zero=True)
        for name in ("file_fraction", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie in [0, 1). Leave it out for the default.")
        check_choice(self, "precision", PRECISIONS)
