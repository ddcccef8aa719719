"""Every number of the pre-training: the defaults are the published code's."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError, unknown_choice
from basrelief.train.run import PRECISIONS


@dataclass(frozen=True)
class Optimiser:
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
        if not 0 < self.rate < float("inf") or not 0 <= self.least_rate <= self.rate or self.decay < 0 or self.restart_epochs < 1:
            raise ConfigError(
                f"optimiser must have 0 <= least_rate <= rate, decay >= 0 and restart_epochs >= 1, but got {self}. Correct it."
            )


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
    optimiser: Optimiser = field(default_factory=Optimiser)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("accumulate", "epochs", "points", "save_every", "validate_every", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but got {getattr(self, name)}. Leave it out for the paper's.")
        if self.batch < 2:
            raise ConfigError(f"batch must be at least 2, a contrast needs another shape, but got {self.batch}. The paper's is 256.")
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature must be positive, but got {self.temperature}. The paper's is 0.07.")
        if self.precision not in PRECISIONS:
            raise ConfigError(unknown_choice("precision", self.precision, PRECISIONS))
