"""Every number of the pre-training: the defaults are the published code's."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError, unknown_choice
from basrelief.train.config import check_at_least, check_positive
from basrelief.train.run import PRECISIONS


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights move.

    Attributes:
        name: `lamb` or `adamw`.
        rate: Peak learning rate.
        decay: Weight decay.
        restart_epochs: Epochs between warm restarts of the cosine schedule.
        least_rate: Where the cosine ends.
    """

    name: str = "lamb"
    rate: float = 0.006
    decay: float = 1e-4
    restart_epochs: int = 2
    least_rate: float = 1e-5

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.name not in ("lamb", "adamw"):
            raise ConfigError(unknown_choice("optimiser.name", self.name, ("lamb", "adamw")))
        check_positive(self, "rate")
        check_positive(self, "decay", "least_rate", zero=True)
        check_at_least(self, 1, "restart_epochs")
        if self.least_rate > self.rate:
            raise ConfigError(f"least_rate is {self.least_rate}; it must be at most rate, {self.rate}. Lower it.")


@dataclass(frozen=True)
class Clip2PointSettings:
    """How a depth tower is pre-trained.

    Attributes:
        batch: Shapes of a step over all processes; the contrast is among the shapes of one process.
        accumulate: Steps whose gradients are added before the weights move.
        epochs: Passes over the pairs.
        points: Points drawn of each shape.
        temperature: Of both contrasts.
        precision: `float32`, `bfloat16` or `float16`, of the towers' arithmetic.
        save_every: Steps between checkpoints.
        validate_every: Epochs between validations.
        workers: Threads that read pictures.
        seed: Of everything.
        optimiser: How weights move.
    """

    batch: int = 256
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
        check_at_least(self, 2, "batch")  # a contrastive loss needs negatives
        check_positive(self, "temperature")
        if self.precision not in PRECISIONS:
            raise ConfigError(unknown_choice("precision", self.precision, PRECISIONS))
