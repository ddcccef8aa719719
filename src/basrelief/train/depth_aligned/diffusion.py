"""Generate images from depth maps and labels with a ControlNet, by diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch.nn import functional as F

from basrelief.errors import ConfigError, MissingExtraError, WeightsNotFoundError
from basrelief.train.depth_aligned.settings import DiffusionSettings


class ControlNetPainter:
    """Stable Diffusion with a depth ControlNet.

    An image depends on its depth map, prompt and seed; the batch affects rounding only.

    Attributes:
        pipeline: diffusers pipeline, on its device.
        settings: Settings.
    """

    def __init__(self, pipeline: Any, settings: DiffusionSettings) -> None:  # noqa: ANN401 - diffusers has no types
        self.pipeline, self.settings = pipeline, settings
        pipeline.scheduler = _scheduler(pipeline.scheduler.config, settings.scheduler)
        pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def paint(
        self, control: UInt8[np.ndarray, "n side side"], labels: Sequence[str], *, seeds: Sequence[int], size: int
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Generate images.

        Args:
            control: Input of the ControlNet; bright is near.
            labels: Label of each image.
            seeds: Seed of each image.
            size: Side of the returned images in pixels.
        """
        maps = torch.from_numpy(control).float()[:, None] / 255
        maps = F.interpolate(maps, (self.settings.size,) * 2, mode="bilinear", align_corners=False, antialias=True).expand(-1, 3, -1, -1)
        count = self.settings.batch_size
        starts = range(0, len(maps), count)
        painted = [self._batch(maps[i : i + count], labels[i : i + count], seeds[i : i + count]) for i in starts]
        pictures = F.interpolate(torch.cat(painted), (size, size), mode="bilinear", align_corners=False, antialias=True)
        found: np.ndarray = (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return found

    def _batch(self, maps: torch.Tensor, labels: Sequence[str], seeds: Sequence[int]) -> torch.Tensor:
        settings = self.settings
        answer = self.pipeline(
            prompt=[settings.prompt.replace("{label}", label) for label in labels],
            negative_prompt=[settings.negative] * len(labels),
            image=maps,
            height=settings.size,
            width=settings.size,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            controlnet_conditioning_scale=settings.strength,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="pt",
        )
        pictures: torch.Tensor = answer.images.float().cpu()
        return pictures


def load_painter(settings: DiffusionSettings, *, device: torch.device | str = "cpu") -> ControlNetPainter:
    """Load base model, ControlNet and, if set, a LoRA; safetensors only.

    Args:
        settings: Settings.
        device: Device of the pipeline.

    Raises:
        MissingExtraError: If diffusers (or, for a LoRA, peft) is not installed.
        WeightsNotFoundError: If weights are neither local nor on the hub.
    """
    try:
        from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    except ModuleNotFoundError as error:
        raise MissingExtraError("Generating images needs diffusers. Run: pip install basrelief[generate]") from error
    options = {"dtype": getattr(torch, settings.precision), "use_safetensors": True}
    control = _load(settings.control, lambda: ControlNetModel.from_pretrained(settings.control, **options))
    options |= {"controlnet": control, "safety_checker": None, "requires_safety_checker": False}
    pipeline = _load(settings.base, lambda: StableDiffusionControlNetPipeline.from_pretrained(settings.base, **options))
    if settings.lora:
        _load(settings.lora, lambda: _load_lora(pipeline, settings.lora))
    return ControlNetPainter(pipeline.to(device), settings)


def _load_lora(pipeline: Any, lora: str) -> None:  # noqa: ANN401
    """Load a LoRA in safetensors."""
    path = Path(lora)
    if path.suffix == ".safetensors":
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    else:
        pipeline.load_lora_weights(lora, use_safetensors=True)
    pipeline.fuse_lora()


def _load(name: str, load: Any) -> Any:  # noqa: ANN401
    try:
        return load()
    except ValueError as error:
        if "PEFT" in str(error):
            raise MissingExtraError("Loading a LoRA needs peft. Run: pip install basrelief[generate]") from error
        raise ConfigError(f"{name!r} does not hold weights of Stable Diffusion with a ControlNet: {_first_line(error)}") from error
    except OSError as error:
        raise WeightsNotFoundError(
            f"Cannot load {name!r} from a folder or the hub: {_first_line(error)} "
            "Pass folders with diffusion.base=DIR and diffusion.control=DIR, or use source=shaded, which needs no weights."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _scheduler(config: Any, name: str) -> Any:  # noqa: ANN401
    from diffusers import DDIMScheduler, LCMScheduler

    kind = {"ddim": DDIMScheduler, "lcm": LCMScheduler}[name]
    return kind.from_config(config)
