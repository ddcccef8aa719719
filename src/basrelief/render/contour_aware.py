"""What OpenDlign's projection and the reading of its paper share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from basrelief.checks import check_range
from basrelief.render.base import Cameras, Projection
from basrelief.render.ops import median_filter
from basrelief.render.rigs import get_rig

REACH = 3
"""Radius of the maximum that densifies and of the median, pixels."""


class ContourAwareProjection(Projection):
    """A projection with orthographic cameras, whose depth image is the map itself, with or without a 7x7 median.

    Attributes:
        ranges: Smallest and largest value of each numeric option.
        rig: Name of a rig, or orthographic cameras.
        ratio: Share of the image width that the longest side covers.
        median: Whether `image` applies the 7x7 median.
        offset: Pixels by which images are shifted right and down.
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]]
    rig: str | Cameras
    ratio: float
    median: bool
    offset: int

    def __post_init__(self) -> None:
        """Check the options."""
        for option, (low, high) in self.ranges.items():
            check_range(option, getattr(self, option), low, high, "Leave it out for the default.")
        object.__setattr__(self, "image_size", self.size)
        _ = self.cameras

    @property
    def cameras(self) -> Cameras:
        """The V cameras, world frame, orthographic."""
        return get_rig(self.rig) if isinstance(self.rig, str) else self.rig

    def image(self, depth: Float[Tensor, "clouds views size size"]) -> Float[Tensor, "clouds views size size"]:
        """Return depth images in [0, 1]: near is dark, the background 1; with `median`, the median of each 7x7 window."""
        image = depth.clamp(max=self.background)
        return median_filter(image, REACH) if self.median else image
