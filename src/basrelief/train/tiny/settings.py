"""Settings of `tiny`'s training."""

from __future__ import annotations

from dataclasses import dataclass, field

from basrelief.errors import ConfigError
from basrelief.train.augment import Augmentation
from basrelief.train.config import TrainingSettings, check_at_least, check_choice, check_positive
from basrelief.train.opendlign.settings import OpenDlignSettings

_PRECISIONS = ("float32", "bfloat16")
"""Not float16: two optimisers step and clip by themselves, without unscaling the gradients."""


def _augmentation() -> Augmentation:
    """Return the augmentation of `tiny`'s training."""
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
        far_outliers=0.08,
        far_outlier_chance=0.15,
    )


def _block_settings() -> OpenDlignSettings:
    """Return the settings of the last block's alignment; a data set this small needs more epochs."""
    return OpenDlignSettings(batch_size=64, epochs=10)


@dataclass(frozen=True)
class TinySettings(TrainingSettings):
    """Settings of `tiny`'s training, beside those of every training.

    Attributes:
        batch_size: Shapes per step over all processes, two depth views each.
        with_images: Number of them that come with a picture and its contour-aware depth map.
        epochs: Number of epochs of `epoch_steps` steps.
        epoch_steps: Steps per epoch; shapes are sampled by class, so an epoch is not one pass over the data.
        lr: Peak learning rate, after a linear warm-up; it then decays linearly to zero.
        warm_up: Warm-up steps.
        weight_decay: Weight decay.
        augmentation_ramp: Share of the steps over which augmentation grows from none to full strength.
        patches: Patches of each image that the tower reads, background patches last; the last tenth of the steps reads all.
        pair_weight: Weight of CLIP2Point's loss (picture and depth, two depth views) beside the loss against labels.
        smoothing: Label smoothing, spread evenly over the labels of the training shapes.
        semantic_smoothing: Label smoothing spread over all names that the text tower knows, by similarity to the right one.
        seen_class_penalty: Penalty of the labels seen in training, see `Vocabulary`; chosen with `unseen_classes=15`.
        sampling_power: A class of n shapes is drawn in proportion to n ** sampling_power.
        file_weight: Weight of a shape from a file; a generated shape of its class has weight 1.
        furniture_per_class: Generated shapes of each seat, table and storage category.
        others_per_class: Generated shapes of every other category.
        images_per_class: Generated shapes of each category that get pictures; all files do.
        text_steps: Steps of the text tower's training.
        unseen_classes: Number of classes, of at least four files each, to leave out of the training and report separately.
        precision: `float32` or `bfloat16`: compute dtype of the image tower. The latter pays off on GPUs.
        validate_every: Epochs between validations on the held-out packs; they do not choose the weights.
        augmentation: Augmentation of the point clouds.
        tune_block: Whether to align a tuned copy of the last block with the pictures at the end, as OpenDlign does.
        block: Settings of that alignment.
    """

    batch_size: int = 32
    with_images: int = 4
    epochs: int = 80
    epoch_steps: int = 100
    lr: float = 2e-3
    warm_up: int = 200
    weight_decay: float = 0.05
    augmentation_ramp: float = 0.5
    patches: int = 20
    pair_weight: float = 0.1
    smoothing: float = 0.05
    semantic_smoothing: float = 0.0
    seen_class_penalty: float = 0.01
    sampling_power: float = 0.4
    file_weight: float = 5.0
    furniture_per_class: int = 300
    others_per_class: int = 100
    images_per_class: int = 3
    text_steps: int = 1500
    unseen_classes: int = 0
    validate_every: int = 10
    augmentation: Augmentation = field(default_factory=_augmentation)
    tune_block: bool = True
    block: OpenDlignSettings = field(default_factory=_block_settings)

    def augmentation_at(self, progress: float) -> Augmentation:
        """Return the augmentation after a share of the steps, in [0, 1]."""
        return self.augmentation.scaled(min(1.0, progress / self.augmentation_ramp) if self.augmentation_ramp else 1.0)

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 0, "warm_up", "images_per_class", "unseen_classes")
        check_at_least(self, 1, "epoch_steps", "patches", "text_steps", "furniture_per_class", "others_per_class")
        check_at_least(self, 2, "batch_size", "with_images")
        check_positive(self, "lr", "file_weight")
        check_positive(self, "weight_decay", "pair_weight", "sampling_power", "seen_class_penalty", zero=True)
        if self.with_images > self.batch_size:
            raise ConfigError(f"with_images is {self.with_images}; it must be at most batch_size, {self.batch_size}. Set with_images=N.")
        if not 0 <= self.augmentation_ramp <= 1:
            raise ConfigError(f"augmentation_ramp is {self.augmentation_ramp}; it must lie in [0, 1]. Leave it out for the default.")
        if min(self.smoothing, self.semantic_smoothing) < 0 or self.smoothing + self.semantic_smoothing >= 1:
            got = f"{self.smoothing} and {self.semantic_smoothing}"
            raise ConfigError(f"smoothing and semantic_smoothing are {got}; their sum must lie in [0, 1). Leave them out for the defaults.")
        check_choice(self, "precision", _PRECISIONS)
        super().__post_init__()
