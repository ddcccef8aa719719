"""From the outputs of 3DETR's heads to boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_MIN_EXTENT = 0.1  # metres; sizes are parts of the scene's extent, which is taken to be at least this


@dataclass(frozen=True)
class HeadOutputs:
    """What the five heads say of each query.

    Attributes:
        classes: Logits of the classes; the last is the background.
        centers: Position of the centre relative to the query, before the sigmoid.
        sizes: Lengths relative to the extent of the scene, before the sigmoid.
        angle_bins: Logits of the bins of the angle.
        angle_residuals: Angle relative to the middle of each bin, in half bins.
    """

    classes: Float[Tensor, "batch queries classes"]
    centers: Float[Tensor, "batch queries 3"]
    sizes: Float[Tensor, "batch queries 3"]
    angle_bins: Float[Tensor, "batch queries bins"]
    angle_residuals: Float[Tensor, "batch queries bins"]


@dataclass(frozen=True)
class BoxPredictions:
    """One box for each query.

    Attributes:
        centers: (B, Q, 3), metres.
        sizes: (B, Q, 3) full lengths along the box's own axes, metres.
        yaws: (B, Q), radians counter-clockwise seen from above, in [-pi, pi]. The original's angle is the negative: clockwise.
        class_probs: (B, Q, C), without the background.
        objectness: (B, Q), 1 minus the probability of the background.
        class_logits: (B, Q, C + 1), the background last.
    """

    centers: Float[Tensor, "batch queries 3"]
    sizes: Float[Tensor, "batch queries 3"]
    yaws: Float[Tensor, "batch queries"]
    class_probs: Float[Tensor, "batch queries kinds"]
    objectness: Float[Tensor, "batch queries"]
    class_logits: Float[Tensor, "batch queries classes"]


def decode_boxes(
    outputs: HeadOutputs,
    queries: Float[Tensor, "batch queries 3"],
    low: Float[Tensor, "batch 3"],
    high: Float[Tensor, "batch 3"],
) -> BoxPredictions:
    """Turn the outputs of the heads into boxes.

    A centre lies at most 0.5 m from its query along each axis; a size is a share of the scene's extent.

    Args:
        outputs: Of the heads.
        queries: Positions of the queries, metres.
        low: Lowest corner of the scene.
        high: Highest corner of the scene.
    """
    centers = queries + (outputs.centers.sigmoid() - 0.5)
    sizes = outputs.sizes.sigmoid() * (high - low).clamp(min=_MIN_EXTENT)[:, None]
    probabilities = outputs.classes.softmax(-1)
    return BoxPredictions(
        centers,
        sizes,
        -_angles(outputs.angle_bins, outputs.angle_residuals),
        probabilities[..., :-1],
        1 - probabilities[..., -1],
        outputs.classes,
    )


def _angles(bins: Tensor, residuals: Tensor) -> Tensor:
    """Angles clockwise seen from above, in (-pi, pi]: the middle of the likeliest bin and its residual; 0 if there is one bin."""
    count = bins.shape[-1]
    if count == 1:
        return torch.zeros_like(bins[..., 0])
    likeliest = bins.argmax(-1, keepdim=True)
    angles = (likeliest * (2 * np.pi / count) + residuals.gather(-1, likeliest) * (np.pi / count))[..., 0]
    return torch.where(angles > np.pi, angles - 2 * np.pi, angles)
