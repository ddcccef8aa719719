"""Measure how well drawn maps agree with stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional as F

from basrelief.evaluate.doctor.maps.read import StoredMaps, foreground

_LEVEL, _CLOSE = 1 / 255 + 1e-5, 0.02
_BINS = 64
_BLOCKS = 14


@dataclass(frozen=True)
class Agreement:
    """Agreement of drawn maps with stored ones, as means over all pixels; of several shapes, the mean over shapes.

    Attributes:
        error: Mean absolute difference, maps in [0, 1].
        within_rounding: Share of pixels within 1e-5.
        within_level: Share of pixels within 1/255.
        within_2_percent: Share of pixels within 0.02.
        within_tolerance: Share of pixels within the tolerance of their storage, see `MapFormat.tolerance`.
        silhouette_iou: Common foreground over joint foreground.
        score: Mean absolute difference of the means of 14 x 14 blocks; lower is better. Another random choice of as many points has a
            large error, but a small score.
        bias: Mean of stored minus drawn.
        foreground: Share of pixels of the stored maps that show the shape.
    """

    error: float
    within_rounding: float
    within_level: float
    within_2_percent: float
    within_tolerance: float
    silhouette_iou: float
    score: float
    bias: float
    foreground: float


def block_means(images: Float32[np.ndarray, "views size size"]) -> Float[Tensor, "views blocks"]:
    """Return the means of 14 x 14 blocks of each image."""
    return F.adaptive_avg_pool2d(torch.from_numpy(images), _BLOCKS).flatten(1)


def block_difference(ours: Float32[np.ndarray, "views size size"], theirs: Float32[np.ndarray, "views size size"]) -> float:
    """Return the mean absolute difference of block means."""
    return float((block_means(ours) - block_means(theirs)).abs().mean())


def agreement(drawn: Float32[np.ndarray, "drawn size size"], stored: StoredMaps, order: Sequence[int]) -> Agreement:
    """Compare the maps of one shape.

    Args:
        drawn: All views, near dark; silhouettes if the stored maps are coloured.
        stored: The stored maps.
        order: The drawn view for each stored one; those with -1 are left out.
    """
    known = [view for view, number in enumerate(order) if number >= 0]
    ours, theirs = drawn[[order[view] for view in known]], stored.image[known]
    difference = np.abs(ours - theirs)
    mine, their = foreground(ours), foreground(theirs)
    both, either = mine & their, mine | their
    return Agreement(
        error=float(difference.mean(dtype=np.float64)),
        within_rounding=float((difference <= 1e-5).mean()),
        within_level=float((difference <= _LEVEL).mean()),
        within_2_percent=float((difference <= _CLOSE).mean()),
        within_tolerance=float((difference <= stored.format.tolerance).mean()),
        silhouette_iou=float(both.sum() / max(1, either.sum())),
        score=block_difference(ours, theirs),
        bias=float((theirs - ours).mean(dtype=np.float64)),
        foreground=float(their.mean()),
    )


def mean_agreement(parts: Sequence[Agreement]) -> Agreement:
    """Return the mean over shapes."""
    values = np.mean([[getattr(part, name) for name in Agreement.__dataclass_fields__] for part in parts], axis=0)
    return Agreement(*values.tolist())


class ColorByDepth:
    """How far the colours of coloured maps are a function of the depth: 1 for a colour map, about 0 for colours of another origin."""

    def __init__(self) -> None:
        self._sums = np.zeros((_BINS, 7))  # pixels, colours, squares of colours

    def add(self, depth: Float32[np.ndarray, "views size size"], stored: StoredMaps, order: Sequence[int]) -> None:
        """Add a shape.

        Args:
            depth: All drawn views, near dark.
            stored: Coloured maps.
            order: The drawn view for each stored one.
        """
        if stored.colors is None:
            return
        for view, number in enumerate(order):
            if number >= 0:
                shown = foreground(depth[number]) & foreground(stored.image[view])
                colors = stored.colors[view][shown].astype(np.float64)
                place = np.minimum((depth[number][shown] * _BINS).astype(int), _BINS - 1)
                np.add.at(self._sums, place, np.hstack([np.ones((len(colors), 1)), colors, colors**2]))

    @property
    def explained(self) -> float:
        """Share of the variance of the colours that the depth explains."""
        count = self._sums[:, :1].clip(1)
        within = (self._sums[:, 4:] - self._sums[:, 1:4] ** 2 / count).sum()
        total = self._sums.sum(0)
        variance = (total[4:] - total[1:4] ** 2 / max(1.0, total[0])).sum()
        return float(1 - within / variance) if variance > 0 else 0.0
