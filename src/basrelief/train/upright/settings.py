"""Settings of the upright network's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError
from basrelief.train.augment import Augmentation
from basrelief.train.config import TrainingSettings, check_at_least, check_positive


@dataclass(frozen=True)
class UprightSettings(TrainingSettings):
    """Settings of the upright network's training, beside those of every training.

    Attributes:
        epochs: Number of epochs of `epoch_steps` steps.
        epoch_steps: Steps per epoch; shapes are sampled with replacement.
        lr: Peak of AdamW's one-cycle learning rate.
        weight_decay: Weight decay.
        per_category: Generated shapes of each category.
        file_fraction: Fraction of a batch that comes from files, if there are any.
        smoothing: Label smoothing.
        validate_every: Epochs between validations; they do not choose the weights.
        seed: Seed of weights, batches and dropout.
        augmentation: Augmentation of the point clouds.
    """

    epochs: int = 12
    epoch_steps: int = 1000
    lr: float = 2e-3
    weight_decay: float = 0.05
    per_category: int = 300
    file_fraction: float = 0.45
    smoothing: float = 0.03
    save_every: int = 500
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(stretch=0.3, taper=0.0, tilt=2.5, shift=0.0))

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 1, "epoch_steps", "per_category")
        check_positive(self, "lr")
        check_positive(self, "weight_decay", zero=True)
        for name in ("file_fraction", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie in [0, 1). Leave it out for the default.")
        super().__post_init__()
