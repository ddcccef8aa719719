"""How `tiny` is trained: every number in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.train.augment import Augmentation


@dataclass(frozen=True)
class Settings:
    """How `tiny` is trained.

    Attributes:
        hours: Time for the vision tower; the learning rate falls to zero at its end.
        patches: Patches of each image that are read, those with a background only last; all of them in the last quarter of the hours.
        text_steps: Steps for the text tower.
        furniture: Generated shapes of each seat, table and storage category.
        others: Generated shapes of each other category.
        batch: Shapes of a step, two views each.
        rate: Peak learning rate.
        invariance: Weight of the loss between two views of a shape.
        smoothing: Label smoothing of the alignment.
        power: Class balance, see `class_weights`.
        found: What a shape from a file counts among the generated ones of its class.
        seed: Of everything.
        device: Where to train.
        augmentation: What clouds suffer.
    """

    hours: float = 1.0
    patches: int = 28
    text_steps: int = 1000
    furniture: int = 300
    others: int = 100
    batch: int = 64
    rate: float = 1e-3
    invariance: float = 0.1
    smoothing: float = 0.05
    power: float = 0.4
    found: float = 5.0
    seed: int = 0
    device: str = "cpu"
    augmentation: Augmentation = field(default_factory=Augmentation)
