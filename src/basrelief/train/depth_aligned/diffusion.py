"""The ControlNet painter: depth maps and labels to pictures, with diffusers."""

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
    """Stable Diffusion steered by a depth ControlNet.

    A picture depends on its map, its prompt and its seed; the batch it is painted in changes it by rounding alone.

    Attributes:
        pipeline: diffusers' own, on its device.
        how: The settings.
    """

    def __init__(self, pipeline: Any, how: DiffusionSettings) -> None:  # noqa: ANN401 - diffusers has no types
        self.pipeline, self.how = pipeline, how
        pipeline.scheduler = _scheduler(pipeline.scheduler.config, how.scheduler)
        pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def paint(
        self, control: UInt8[np.ndarray, "n side side"], labels: Sequence[str], *, seeds: Sequence[int], size: int
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Paint pictures.

        Args:
            control: What the ControlNet is given, bright is near.
            labels: One for each picture.
            seeds: One for each picture.
            size: Side of the pictures that come back.
        """
        maps = torch.from_numpy(control).float()[:, None] / 255
        maps = F.interpolate(maps, (self.how.size,) * 2, mode="bilinear", align_corners=False, antialias=True).expand(-1, 3, -1, -1)
        painted = [
            self._batch(maps[start : start + self.how.batch], labels[start : start + self.how.batch], seeds[start : start + self.how.batch])
            for start in range(0, len(maps), self.how.batch)
        ]
        pictures = F.interpolate(torch.cat(painted), (size, size), mode="bilinear", align_corners=False, antialias=True)
        found: np.ndarray = (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return found

    def _batch(self, maps: torch.Tensor, labels: Sequence[str], seeds: Sequence[int]) -> torch.Tensor:
        how = self.how
        answer = self.pipeline(
            prompt=[how.prompt.replace("{label}", label) for label in labels],
            negative_prompt=[how.negative] * len(labels),
            image=maps,
            height=how.size,
            width=how.size,
            num_inference_steps=how.steps,
            guidance_scale=how.guidance,
            controlnet_conditioning_scale=how.strength,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="pt",
        )
        pictures: torch.Tensor = answer.images.float().cpu()
        return pictures


def load_painter(how: DiffusionSettings, *, device: torch.device | str = "cpu") -> ControlNetPainter:
    """Load base, ControlNet and, where named, the weights over the base; safetensors only.

    Args:
        how: Names and numbers.
        device: Where it paints.

    Raises:
        MissingExtraError: If diffusers (or, for `lora`, peft) is not installed.
        WeightsNotFoundError: If weights are neither here nor on the hub.
    """
    try:
        from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    except ModuleNotFoundError as error:
        raise MissingExtraError("painting must run with diffusers, but it is not installed. Install basrelief[generate].") from error
    options = {"dtype": getattr(torch, how.precision), "use_safetensors": True}
    control = _found(how.control, lambda: ControlNetModel.from_pretrained(how.control, **options))
    options |= {"controlnet": control, "safety_checker": None, "requires_safety_checker": False}
    pipeline = _found(how.base, lambda: StableDiffusionControlNetPipeline.from_pretrained(how.base, **options))
    if how.lora:
        _found(how.lora, lambda: _over(pipeline, how.lora))
    return ControlNetPainter(pipeline.to(device), how)


def _over(pipeline: Any, lora: str) -> None:  # noqa: ANN401
    """Weights over the base, in safetensors."""
    path = Path(lora)
    if path.suffix == ".safetensors":
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    else:
        pipeline.load_lora_weights(lora, use_safetensors=True)
    pipeline.fuse_lora()


def _found(name: str, load: Any) -> Any:  # noqa: ANN401
    try:
        return load()
    except ValueError as error:
        if "PEFT" in str(error):
            raise MissingExtraError("lora must be read with peft, but it is not installed. Install basrelief[generate].") from error
        raise ConfigError(f"weights must be of Stable Diffusion with a ControlNet, but got {name!r}: {_first_line(error)}") from error
    except OSError as error:
        raise WeightsNotFoundError(
            f"weights must be a folder with safetensors or a hub repository that can be reached, but got {name!r}: {_first_line(error)} "
            "Name a folder with diffusion.base=DIR and diffusion.control=DIR, or use source=shaded, which needs none."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _scheduler(config: Any, name: str) -> Any:  # noqa: ANN401
    from diffusers import DDIMScheduler, LCMScheduler

    kind = {"ddim": DDIMScheduler, "lcm": LCMScheduler}[name]
    return kind.from_config(config)
