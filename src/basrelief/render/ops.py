"""Tensor steps that several projections share; plain torch, the same on CPU and CUDA."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def rotate(points: Float[Tensor, "points 3"], rotation: Float[Tensor, "views 3 3 points_or_1"]) -> Float[Tensor, "3 views points"]:
    """Turn every point into every view, axis first.

    Written out instead of a matrix product, which torch may round to bfloat16 or TF32 when asked for speed elsewhere.

    Args:
        points: (M, 3).
        rotation: (V, 3, 3, 1), the same for all points, or (V, 3, 3, M); `p_view = rotation @ p`.
    """
    x, y, z = points.T
    columns = rotation.movedim(1, 0)
    turned: Tensor = columns[:, :, 0] * x
    return turned.addcmul_(columns[:, :, 1], y).addcmul_(columns[:, :, 2], z)


def point_chunks(count: int, cost: int, device: torch.device) -> Iterator[slice]:
    """Cut points into slices whose temporaries stay in the processor's cache (CPU) or small beside its memory (CUDA).

    Args:
        count: Number of points M.
        cost: Elements that one point needs in the largest temporary.
        device: Where the work is done.
    """
    step = max(1, 2 ** (18 if device.type == "cpu" else 24) // cost)
    return (slice(start, start + step) for start in range(0, count, step))


def extents(
    xyz: Float[Tensor, "3 views points"], cloud: Int[Tensor, " points"], clouds: int
) -> tuple[Float[Tensor, "3 views clouds"], Float[Tensor, "3 views clouds"]]:
    """Smallest and largest coordinate of each cloud in each view."""
    if clouds == 1:
        return xyz.amin(2, keepdim=True), xyz.amax(2, keepdim=True)
    index = cloud.expand(xyz.shape)
    empty = xyz.new_empty(*xyz.shape[:2], clouds)
    return (
        empty.scatter_reduce(2, index, xyz, "amin", include_self=False),
        empty.scatter_reduce(2, index, xyz, "amax", include_self=False),
    )


def resize(image: Float[Tensor, "clouds views size size"], size: int) -> Float[Tensor, "clouds views image image"]:
    """Bilinear, corners aligned, as the PointCLIP papers' code does; the same tensor when the size is right already."""
    return image if image.shape[-1] == size else F.interpolate(image, (size, size), mode="bilinear", align_corners=True)
