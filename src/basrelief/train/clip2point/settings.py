"""Settings of the pre-training; the defaults are those of the published code."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError, unknown_choice
from basrelief.train.config import check_at_least, check_choice, check_positive
from basrelief.train.run import PRECISIONS


@dataclass(frozen=True)
class OptimiserSettings:
    """Optimiser and learning rate schedule.

    Attributes:
        name: `lamb` or `adamw`.
        lr: Peak learning rate.
        weight_decay: Weight decay.
        restart_epochs: Epochs between warm restarts of the cosine schedule.
        min_lr: Final learning rate of the cosine.
    """

    name: str = "lamb"
    lr: float = 0.006
    weight_decay: float = 1e-4
    restart_epochs: int = 2
    min_lr: float = 1e-5

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.name not in ("lamb", "adamw"):
            raise ConfigError(unknown_choice("optimiser.name", self.name, ("lamb", "adamw")))
        check_positive(self, "lr")
        check_positive(self, "weight_decay", "min_lr", zero=True)
        check_at_least(self, 1, "restart_epochs")
        if self.min_lr > self.lr:
            raise ConfigError(f"min_lr is {self.min_lr}; it must be at most lr, {self.lr}. Lower it.")


@dataclass(frozen=True)
class Clip2PointSettings:
    """Settings of the pre-training of a depth tower.

    Attributes:
        batch_size: Shapes per step over all processes; each process contrasts its own shapes.
        accumulate: Steps whose gradients are accumulated.
        epochs: Number of epochs.
        points: Points sampled from each shape.
        temperature: Temperature of both contrastive losses.
        precision: `float32`, `bfloat16` or `float16`: compute dtype of the towers.
        save_every: Steps between checkpoints.
        validate_every: Epochs between validations.
        workers: Reader threads.
        seed: Seed of the whole training.
        optimiser: Optimiser and schedule.
    """

    batch_size: int = 256
    accumulate: int = 1
    epochs: int = 100
    points: int = 1024
    temperature: float = 0.07
    precision: str = "float32"
    save_every: int = 200
    validate_every: int = 1
    workers: int = 4
    seed: int = 0
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "accumulate", "epochs", "points", "save_every", "validate_every", "workers")
        check_at_least(self, 2, "batch_size")  # a contrastive loss needs negatives
        check_positive(self, "temperature")
        check_choice(self, "precision", PRECISIONS)
