"""Settings of the generation; the defaults are published (Mao et al. 2024, arXiv:2404.16538, sec. 3.2 and A.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from basrelief.errors import ConfigError, unknown_choice
from basrelief.limits import limits
from basrelief.render import get_projection
from basrelief.render.contour_aware import ContourAwareProjection
from basrelief.train.config import check_at_least, check_positive
from basrelief.train.records.store import MAX_SIDE

SOURCES = ("controlnet", "shaded")
CONTOUR_PROJECTIONS = ("opendlign", "opendlign-paper")
SCHEDULERS = ("ddim", "lcm")
PRECISIONS = ("float16", "bfloat16", "float32")


@dataclass(frozen=True)
class DiffusionSettings:
    """Settings of Stable Diffusion with a depth ControlNet.

    Attributes:
        base: Stable Diffusion 1.5: a folder or hub repository with safetensors.
        control: The depth ControlNet v1.1, likewise.
        lora: LoRA for the base: a folder, file or hub repository, such as that of a few-step scheduler; empty for none.
        scheduler: `ddim`, or `lcm` for a base or `lora` distilled to few steps.
        steps: Steps of the scheduler: 20 for DDIM; 4 are usual for LCM.
        guidance: Classifier-free guidance scale; at 1 or below, as LCM needs it, a step takes one network pass.
        strength: Conditioning scale of the ControlNet.
        size: Side of the generated image in pixels, a multiple of 8.
        prompt: Prompt; `{label}` is replaced with the shape's label.
        negative: Negative prompt.
        batch_size: Images per batch.
        precision: Compute dtype.
        reading: How depth is encoded for the ControlNet, see `control_image`: `complement` or `reciprocal`.
    """

    base: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    control: str = "lllyasviel/control_v11f1p_sd15_depth"
    lora: str = ""
    scheduler: str = "ddim"
    steps: int = 20
    guidance: float = 9.0
    strength: float = 1.0
    size: int = 256
    prompt: str = (
        "A realistic {label}. best quality, extremely realistic, very professional, extremely detailed, sharp edge, normal, complete."
    )
    negative: str = (
        "low-resolution, very blurry, unrealistic, worst quality, deep depth of field, large depth of field, distorted, cropped, unusual, "
        "warped, incomplete."
    )
    batch_size: int = 20
    precision: str = "float16"
    reading: str = "complement"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.scheduler not in SCHEDULERS:
            raise ConfigError(unknown_choice("diffusion.scheduler", self.scheduler, SCHEDULERS))
        if self.precision not in PRECISIONS:
            raise ConfigError(unknown_choice("diffusion.precision", self.precision, PRECISIONS))
        check_at_least(self, 1, "steps", "batch_size")
        check_positive(self, "guidance", "strength", zero=True)
        if not 8 <= self.size <= MAX_SIDE or self.size % 8:
            raise ConfigError(f"diffusion.size is {self.size}; it must be a multiple of 8, at most {MAX_SIDE:,}. Leave it out for 256.")
        if "{label}" not in self.prompt:
            raise ConfigError(f"The prompt {self.prompt!r} has no {{label}}. Write, for example, 'A realistic {{label}}.'")


@dataclass(frozen=True)
class AlignedSettings:
    """Settings of depth-aligned images.

    Attributes:
        source: `controlnet`, as published, or `shaded`, which needs no weights.
        points: Points sampled from each shape.
        size: Side of the stored depth maps and images in pixels.
        projection: `opendlign`, as the authors' program draws, or `opendlign-paper`, as their text has it.
        rig: Cameras; the projection's own if empty.
        seed: Seed of points and images; each image has its own, from this seed, the shape's name and the view.
        diffusion: Settings of `controlnet`.
    """

    source: str = "controlnet"
    points: int = 10_000
    size: int = 224
    projection: str = "opendlign"
    rig: str = ""
    seed: int = 0
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)

    @staticmethod
    def published_hours(images: int) -> float:
        """Return the GPU-hours of a number of images at the paper's speed: 524,700 took 16 days on 8 RTX 6000 (A.2)."""
        return 16 * 24 * 8 * images / 524_700

    def __post_init__(self) -> None:
        """Check the values."""
        if self.source not in SOURCES:
            raise ConfigError(unknown_choice("source", self.source, SOURCES))
        if self.projection not in CONTOUR_PROJECTIONS:
            raise ConfigError(unknown_choice("projection", self.projection, CONTOUR_PROJECTIONS))
        if not (1 <= self.points <= limits().points and 8 <= self.size <= MAX_SIDE):
            allowed = f"1 to {limits().points:,} points, and a size of 8 to {MAX_SIDE:,}"
            raise ConfigError(f"Got {self.points} points and size {self.size}; expected {allowed}. Leave them out for the defaults.")

    def map_projection(self, *, median: bool = False) -> ContourAwareProjection:
        """Return the projection of the depth maps, with or without its median."""
        rig = {"rig": self.rig} if self.rig else {}
        return cast("ContourAwareProjection", get_projection(self.projection, size=self.size, median=median, **rig))
