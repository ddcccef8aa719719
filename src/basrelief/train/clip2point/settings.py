"""Settings of the pre-training; the defaults are those of the published code."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError, unknown_choice
from basrelief.train.config import TrainingSettings, check_at_least, check_positive


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
class Clip2PointSettings(TrainingSettings):
    """Settings of the pre-training of a depth tower, beside those of every training.

    Attributes:
        batch_size: Shapes per step over all processes; each process contrasts its own shapes.
        points: Points sampled from each shape.
        temperature: Temperature of both contrastive losses.
        workers: Reader threads.
        optimiser: Optimiser and schedule.
    """

    batch_size: int = 256
    epochs: int = 100
    points: int = 1024
    temperature: float = 0.07
    workers: int = 4
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 2, "batch_size")  # a contrastive loss needs negatives
        check_at_least(self, 1, "points", "workers")
        check_positive(self, "temperature")
        super().__post_init__()
