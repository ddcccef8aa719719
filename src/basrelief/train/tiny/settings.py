"""Every number of `tiny`'s training in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError, unknown_choice
from basrelief.train.augment import Augmentation
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.train.run import PRECISIONS


def _suffered() -> Augmentation:
    """What the clouds of `tiny` suffer."""
    return Augmentation(
        mirror=0.5,
        stretch=0.3,
        taper=0.25,
        warp=0.06,
        tilt=6.0,
        topple=0.06,
        noise=0.03,
        cut=0.5,
        cut_chance=0.25,
        scan_chance=0.15,
        strays=0.08,
        stray_chance=0.15,
    )


def _block() -> OpenDlignSettings:
    """The alignment of `tiny`'s last block: a set this small needs more passes."""
    return OpenDlignSettings(batch=64, epochs=10)


@dataclass(frozen=True)
class TinySettings:
    """How `tiny` is trained.

    Attributes:
        batch: Shapes of a step over all processes, two depth views each.
        pictured: How many of them come with a picture and its contour-aware depth map.
        accumulate: Steps whose gradients are added before the weights move.
        epochs: Rounds of `epoch_steps` steps.
        epoch_steps: Steps of a round; shapes are drawn by class, so that a round is no pass over them.
        rate: Peak learning rate; it rises for `warm_up` steps and falls along a straight line to zero.
        warm_up: Steps.
        decay: Weight decay.
        ramp: Share of the steps over which the changes of the clouds grow from none to their full strength.
        patches: Patches of each image that are read, those with a background only last; all of them in the last tenth.
        pairs: Weight of CLIP2Point's loss: pictures with depth, and two depth views of a shape, beside the words.
        smoothing: Share of each target spread evenly over the names of the training shapes.
        kin: Share spread over all names that the text tower was taught, the more the nearer they lie to the right one.
        seen_class_penalty: Keeps the many names seen in 3D from hiding the few others, see `KnownWords`; chosen with `leave_out=15`.
        power: A class of n shapes is drawn in proportion to n ** power.
        found: What a shape from a file counts among the generated ones of its class.
        furniture: Generated shapes of each seat, table and storage category.
        others: Generated shapes of each other category.
        drawn: Generated shapes of each category that get pictures; every file does.
        text_steps: Steps for the text tower.
        leave_out: So many classes with at least four files are never shown in 3D and are asked at the end.
        precision: `float32`, `bfloat16` or `float16`, of the image tower's arithmetic; only GPUs and a few CPUs gain by the latter two.
        save_every: Steps between checkpoints.
        validate_every: Rounds between looks at the held-out packs; they choose nothing.
        seed: Of everything.
        augmentation: What clouds suffer.
        tuned: Whether a twin of the last block is aligned with the pictures at the end, OpenDlign's way.
        block: How.
    """

    batch: int = 32
    pictured: int = 4
    accumulate: int = 1
    epochs: int = 80
    epoch_steps: int = 100
    rate: float = 2e-3
    warm_up: int = 200
    decay: float = 0.05
    ramp: float = 0.5
    patches: int = 20
    pairs: float = 0.1
    smoothing: float = 0.05
    kin: float = 0.0
    seen_class_penalty: float = 0.01
    power: float = 0.4
    found: float = 5.0
    furniture: int = 300
    others: int = 100
    drawn: int = 3
    text_steps: int = 1500
    leave_out: int = 0
    precision: str = "float32"
    save_every: int = 200
    validate_every: int = 10
    seed: int = 0
    augmentation: Augmentation = field(default_factory=_suffered)
    tuned: bool = True
    block: OpenDlignSettings = field(default_factory=_block)

    def changes(self, done: float) -> Augmentation:
        """What clouds suffer after a share of the steps, in [0, 1]."""
        return self.augmentation.scaled(min(1.0, done / self.ramp) if self.ramp else 1.0)

    def __post_init__(self) -> None:
        """Check the numbers."""
        least = {"batch": 2, "pictured": 2, "warm_up": 0, "drawn": 0, "leave_out": 0}
        for name in ("accumulate", "epochs", "epoch_steps", "patches", "furniture", "others", "text_steps", "save_every", "validate_every"):
            least[name] = 1
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, but got {getattr(self, name)}. Leave it out for the usual.")
        if self.pictured > self.batch:
            raise ConfigError(f"pictured must be at most batch, but got {self.pictured} of {self.batch}. Set pictured=N.")
        if not 0 < self.rate < float("inf") or min(self.decay, self.pairs, self.power, self.seen_class_penalty) < 0 or self.found <= 0:
            got = f"{self.rate}, {self.found}, {self.decay}, {self.pairs}, {self.power} and {self.seen_class_penalty}"
            rule = "rate and found must be positive, decay, pairs, power and seen_class_penalty not negative"
            raise ConfigError(f"{rule}, but got {got}. Leave them out.")
        if not 0 <= self.ramp <= 1:
            raise ConfigError(f"ramp must be a share of the steps in [0, 1], but got {self.ramp}. Leave it out for the usual.")
        if min(self.smoothing, self.kin) < 0 or self.smoothing + self.kin >= 1:
            raise ConfigError(f"smoothing and kin must be shares of a target, but got {self.smoothing} and {self.kin}. Leave them out.")
        if self.precision not in PRECISIONS:
            raise ConfigError(unknown_choice("precision", self.precision, PRECISIONS))
