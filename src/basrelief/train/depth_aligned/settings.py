"""Every number of the generation: the defaults are the published pipeline's (Mao et al. 2024, arXiv:2404.16538, sec. 3.2 and A.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from basrelief.errors import ConfigError, unknown_choice
from basrelief.limits import limits
from basrelief.train.records.store import MAX_SIDE

SOURCES = ("controlnet", "shaded")
SCHEDULERS = ("ddim", "lcm")
PRECISIONS = ("float16", "bfloat16", "float32")


@dataclass(frozen=True)
class DiffusionSettings:
    """How a ControlNet paints a depth map.

    Attributes:
        base: Stable Diffusion 1.5, a folder or a hub repository with safetensors.
        control: The depth ControlNet v1.1, likewise.
        lora: Weights over the base, a folder, a file or a hub repository, e.g. those of a few-step scheduler; empty for none.
        scheduler: `ddim`, or `lcm` for a base or `lora` distilled to few steps.
        steps: Of the scheduler: 20 of DDIM; 4 of LCM are usual.
        guidance: Weight of the prompt; at 1 or below one network pass a step is enough, and LCM wants it there.
        strength: Weight of the ControlNet.
        size: Side of the painted picture, pixels, a multiple of 8.
        prompt: `{label}` is filled with the shape's label.
        negative: What is not wanted.
        batch: Pictures painted at once.
        precision: Of the networks' arithmetic.
        reading: What the ControlNet is given, see `control_image`: `complement` or `reciprocal`.
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
    batch: int = 20
    precision: str = "float16"
    reading: str = "complement"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.scheduler not in SCHEDULERS:
            raise ConfigError(unknown_choice("diffusion.scheduler", self.scheduler, SCHEDULERS))
        if self.precision not in PRECISIONS:
            raise ConfigError(unknown_choice("diffusion.precision", self.precision, PRECISIONS))
        if self.steps < 1 or self.batch < 1 or not 8 <= self.size <= MAX_SIDE or self.size % 8:
            got = f"{self.steps}, {self.batch} and {self.size}"
            rule = f"diffusion must have steps and batch of at least 1 and a size of at most {MAX_SIDE:,} that 8 divides"
            raise ConfigError(f"{rule}, but got {got}. Correct it.")
        if not 0 <= self.guidance < math.inf or not 0 <= self.strength < math.inf:
            raise ConfigError(f"guidance and strength must be finite and not negative, but got {self.guidance} and {self.strength}.")
        if "{label}" not in self.prompt:
            raise ConfigError(f"prompt must have a place for {{label}}, but got {self.prompt!r}. Write e.g. 'A realistic {{label}}.'")


@dataclass(frozen=True)
class AlignedSettings:
    """How depth-aligned images are made.

    Attributes:
        source: `controlnet`, the published way, or `shaded`, which needs no weights.
        points: Points sampled from each shape.
        size: Side of the stored depth maps and images, pixels.
        rig: Where the views look from, see `OpenDlignProjection`.
        seed: Of points and pictures; each picture has its own, from this, the shape's name and the view.
        diffusion: For `controlnet`.
    """

    source: str = "controlnet"
    points: int = 10_000
    size: int = 224
    rig: str = "opendlign-30"
    seed: int = 0
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)

    def __post_init__(self) -> None:
        """Check the values."""
        if self.source not in SOURCES:
            raise ConfigError(unknown_choice("source", self.source, SOURCES))
        if not (1 <= self.points <= limits().points and 8 <= self.size <= MAX_SIDE):
            rule = f"points must lie between 1 and {limits().points:,}, size between 8 and {MAX_SIDE:,}"
            raise ConfigError(f"{rule}, but got {self.points} and {self.size}. Leave them out.")


def published_hours(images: int) -> float:
    """GPU-hours of so many images at the paper's speed: 524,700 took 16 days of 8 RTX 6000 (A.2)."""
    return 16 * 24 * 8 * images / 524_700
