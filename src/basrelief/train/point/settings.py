"""Settings of the training of point networks, and presets with the published ones; the defaults are OpenShape-PointBERT's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from basrelief.errors import ConfigError, unknown_choice
from basrelief.models.shape_input import FRAMES
from basrelief.train.config import TrainingSettings, check_at_least, check_choice, check_positive, read_settings, replace_settings

STAGES = ("points", "image-adapter")
MASKS = ("zero", "exclude")
SCHEDULES = ("step", "cosine", "constant")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW.

    Attributes:
        lr: Peak learning rate, for the whole batch.
        weight_decay: Weight decay.
        decay_all: Whether vectors (biases, norms, the logit scale) decay, too; otherwise only matrices do.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        eps: Added to the root of the second moment.
        layer_decay: Factor of the learning rate from each transformer block to the one before it; 1 for none.
        clip: Maximum norm of all gradients; 0 for none.
    """

    lr: float = 5e-4
    weight_decay: float = 0.01
    decay_all: bool = True
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    layer_decay: float = 1.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_positive(self, "lr", "eps", "layer_decay")
        check_positive(self, "weight_decay", "clip", "beta1", "beta2", zero=True)
        if max(self.beta1, self.beta2) >= 1 or self.layer_decay > 1:
            got = f"{self.beta1}, {self.beta2} and {self.layer_decay}"
            raise ConfigError(f"beta1, beta2 and layer_decay are {got}; the betas must be below 1, layer_decay at most 1. Lower them.")


@dataclass(frozen=True)
class ScheduleSettings:
    """Learning rate over the steps.

    Attributes:
        name: `step` multiplies it by `factor` every `every` steps, `cosine` lowers it to `end_lr`, `constant` leaves it.
        every: Steps between two factors of `step`.
        factor: Factor of `step`.
        warm_up: Steps of a linear warm-up.
        warm_up_epochs: Epochs of it, in addition.
        start_lr: Learning rate before the warm-up.
        end_lr: Learning rate at the end of the cosine.
    """

    name: str = "step"
    every: int = 10_000
    factor: float = 0.967
    warm_up: int = 0
    warm_up_epochs: int = 0
    start_lr: float = 0.0
    end_lr: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice(self, "name", SCHEDULES)
        check_at_least(self, 1, "every")
        check_at_least(self, 0, "warm_up", "warm_up_epochs")
        check_positive(self, "factor")
        check_positive(self, "start_lr", "end_lr", zero=True)


@dataclass(frozen=True)
class CloudAugmentation:
    """Augmentation of clouds, in this order.

    Attributes:
        shuffle: Whether points are permuted; the ball query of a network may depend on their order.
        dropout: Maximum share of points moved to the first point.
        scale_low: Minimum factor.
        scale_high: Maximum factor.
        shift: Maximum shift of each axis.
        tilt: Standard deviation of a rotation about each axis, radians.
        tilt_limit: Maximum of that rotation.
        spin: Whether the cloud is turned about its up axis by any angle.
        drop_colors: Probability of a cloud without colours.
    """

    shuffle: bool = False
    dropout: float = 0.875
    scale_low: float = 0.8
    scale_high: float = 1.25
    shift: float = 0.1
    tilt: float = 0.06
    tilt_limit: float = 0.18
    spin: bool = True
    drop_colors: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_positive(self, "scale_low", "scale_high")
        check_positive(self, "dropout", "shift", "tilt", "tilt_limit", "drop_colors", zero=True)
        if max(self.dropout, self.drop_colors) > 1 or self.scale_low > self.scale_high:
            got = f"{self.dropout}, {self.drop_colors}, {self.scale_low} and {self.scale_high}"
            raise ConfigError(
                f"dropout, drop_colors, scale_low and scale_high are {got}; the first two must be at most 1, the last two in order. "
                "Leave them out for the defaults."
            )


@dataclass(frozen=True)
class PointSettings(TrainingSettings):
    """Settings of the training of a point network, beside those of every training.

    Attributes:
        batch_size: Shapes per step over all processes; all of them are contrasted.
        preset: Preset that the other settings change.
        stage: `points`, or `image-adapter`, TAMM's first stage, which reads no clouds.
        network: Name of the point network, see `basrelief.encoders.points.registry.list_point_networks`.
        size: Changes to its size, as `name=number`, separated by commas. `embedding_dim` follows the embeddings.
        frame: Axes it is trained with, a key of `basrelief.models.shape_input.FRAMES`.
        points: Points of each cloud; larger ones are thinned, smaller ones kept.
        missing_color: Red, green and blue of points without colour.
        images: Images of a shape in a step, each with a contrast of its own; their losses are added.
        image_weight: Weight of the contrast with images.
        text_weight: Weight of the contrast with text.
        logit_scale: Initial multiplier of cosines; learned.
        max_logit_scale: Its maximum; 0 for none.
        neighbours: Shapes of a group: a random one, and the others from those nearest to it; 1 for batches at random.
        nearest: Number of nearest shapes that the others are drawn from.
        margin: Within a group, text j is no negative of shape i unless its image fits its own text better by this much, in cosine.
        mask: What becomes of the logits of such pairs: `zero` sets them to 0, as published, `exclude` leaves them out.
        prompt_average: For published features: whether texts and captions are averaged over prompts.
        text_filter: For published features: whether texts that were judged useless are left out.
        adapter_ratio: Share of the adapter's output in `image-adapter`.
        workers: Reader threads.
        optimiser: Optimiser.
        schedule: Learning rate over the steps.
        augmentation: Augmentation of clouds.
    """

    batch_size: int = 200
    epochs: int = 1000
    preset: str = "openshape-pointbert"
    stage: str = "points"
    network: str = "openshape-pointbert"
    size: str = ""
    frame: str = "z-up-mirrored"
    points: int = 10_000
    missing_color: float = 0.4
    images: int = 1
    image_weight: float = 1.0
    text_weight: float = 1.0
    logit_scale: float = 14.28
    max_logit_scale: float = 0.0
    neighbours: int = 1
    nearest: int = 31
    margin: float = 0.1
    mask: str = "zero"
    prompt_average: bool = True
    text_filter: bool = True
    adapter_ratio: float = 0.2
    workers: int = 4
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    augmentation: CloudAugmentation = field(default_factory=CloudAugmentation)

    @classmethod
    def read(cls, path: Path | None = None, overrides: Sequence[str] = ()) -> PointSettings:
        """Read settings: those of the preset, a YAML file and overrides, each over the one before; see `read_settings`."""
        named = [override for override in overrides if override.partition("=")[0].strip() == "preset"]
        preset = read_settings(_Preset, None, named[-1:]).preset or (read_settings(cls, path).preset if path else "")
        return read_settings(cls, path, overrides, start=preset_settings(preset) if preset else cls())

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice(self, "preset", list_presets())
        check_choice(self, "stage", STAGES)
        check_choice(self, "frame", FRAMES)
        check_choice(self, "mask", MASKS)
        check_at_least(self, 2, "batch_size")  # a contrastive loss needs negatives
        check_at_least(self, 1, "points", "images", "neighbours", "nearest", "workers")
        check_positive(self, "logit_scale")
        check_positive(self, "image_weight", "text_weight", "max_logit_scale", "margin", "missing_color", "adapter_ratio", zero=True)
        if self.batch_size % self.neighbours or self.neighbours - 1 > self.nearest:
            raise ConfigError(
                f"neighbours is {self.neighbours}; it must divide batch_size, {self.batch_size}, and be at most nearest + 1, "
                f"{self.nearest + 1}. OpenShape uses 5 with a batch of 200."
            )
        if max(self.missing_color, self.adapter_ratio) > 1:
            got = f"{self.missing_color} and {self.adapter_ratio}"
            raise ConfigError(f"missing_color and adapter_ratio are {got}; they must lie in [0, 1]. Leave them out for the defaults.")
        super().__post_init__()


@cache
def _presets() -> Mapping[str, dict[str, Any]]:
    text = (resources.files("basrelief.train.point") / "presets.json").read_text(encoding="utf-8")
    return {name: {key: value for key, value in record.items() if key != "source"} for name, record in json.loads(text).items()}


def list_presets() -> tuple[str, ...]:
    """List the presets, sorted."""
    return tuple(sorted(_presets()))


def preset_settings(name: str) -> PointSettings:
    """Return the published settings of a method.

    Raises:
        ConfigError: If there is no such preset.
    """
    if name not in _presets():
        raise ConfigError(unknown_choice("preset", name, list_presets()))
    return replace_settings(PointSettings(), {"preset": name, **_presets()[name]})


@dataclass(frozen=True)
class _Preset:
    preset: str = ""
