"""Depth-aligned images as records, see `basrelief.train.records.make_records`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from basrelief.encoders import choose_device
from basrelief.errors import ConfigError
from basrelief.train.depth_aligned.draw import DrawnViews, draw_views
from basrelief.train.depth_aligned.settings import AlignedSettings
from basrelief.train.records.make import Workers
from basrelief.train.records.store import Record, png_bytes
from basrelief.types import Shape

FORMAT = "basrelief depth-aligned 1"


@runtime_checkable
class Painter(Protocol):
    """Generates images for depth maps."""

    def paint(
        self, control: UInt8[np.ndarray, "n side side"], labels: Sequence[str], *, seeds: Sequence[int], size: int
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Generate images of depth maps, each from its label and seed alone."""
        ...


@dataclass(frozen=True)
class AlignedMaker:
    """A `RecordMaker` of depth maps and images: `0.png`, `0.depth.png`, ...

    Attributes:
        settings: Settings.
        painter: Generates the images; not needed if the source is `shaded`.

    Raises:
        ConfigError: If a painter is missing.
    """

    settings: AlignedSettings
    painter: Painter | None = None
    format: str = FORMAT

    def __post_init__(self) -> None:
        """Check that there is a painter if one is needed."""
        if self.settings.source != "shaded" and self.painter is None:
            raise ConfigError(f"Source {self.settings.source!r} needs a painter. Use AlignedMaker.load(settings).")

    @classmethod
    def load(cls, settings: AlignedSettings, *, device: str = "auto", workers: Workers | None = None) -> AlignedMaker:
        """Return a maker with the painter of its source, if it needs one.

        Args:
            settings: Settings.
            device: Device to paint on; with `auto` under torchrun, each process has its own GPU (`LOCAL_RANK`).
            workers: Processes that share the library; only this one when None.

        Raises:
            WeightsNotFoundError: If weights of the ControlNet are missing and cannot be fetched.
        """
        local = os.environ.get("LOCAL_RANK") if device == "auto" and workers and workers.world_size > 1 else None
        chosen = choose_device(f"cuda:{local}" if local and torch.cuda.is_available() else device)
        if settings.source == "shaded":
            return cls(settings)
        from basrelief.train.depth_aligned.diffusion import load_painter

        return cls(settings, load_painter(settings.diffusion, device=chosen))

    @property
    def batch_size(self) -> int:
        """Shapes per batch of the painter."""
        return 1 if self.painter is None else max(1, self.settings.diffusion.batch_size // 10)

    def manifest(self) -> dict[str, Any]:
        """Return the settings that affect the images; the batch size and, for `shaded`, the diffusion settings do not."""
        record = asdict(self.settings)
        diffusion = record.pop("diffusion")
        diffusion.pop("batch_size")
        return {"style": record | ({} if self.painter is None else {"diffusion": diffusion})}

    @property
    def draw(self) -> Callable[[Shape, str], DrawnViews]:
        """Draw the depth maps of one shape, and its images if they need no painter."""
        return partial(draw_views, settings=self.settings)

    def finish(self, drawn: Sequence[tuple[str, DrawnViews]]) -> list[Record]:
        """Generate the missing images."""
        pictures = self._painted(drawn)
        return [
            {f"{view}.png": png_bytes(picture) for view, picture in enumerate(seen)}
            | {f"{view}.depth.png": png_bytes(depth) for view, depth in enumerate(one.depth)}
            for (_, one), seen in zip(drawn, pictures, strict=True)
        ]

    def _painted(self, drawn: Sequence[tuple[str, DrawnViews]]) -> list[np.ndarray]:
        if self.painter is None:
            return [one.pictures for _, one in drawn if one.pictures is not None]
        control = np.concatenate([one.control for _, one in drawn if one.control is not None])
        labels = [label for label, one in drawn for _ in one.depth]
        seeds = [one.seed + view for _, one in drawn for view in range(len(one.depth))]
        return np.split(self.painter.paint(control, labels, seeds=seeds, size=self.settings.size), len(drawn))
