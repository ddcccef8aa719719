"""Tensor operations shared by projections; plain torch, the same on CPU and CUDA."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Turn = Callable[[Tensor], Tensor]
"""Turns points (M, 3) into the coordinates of every view, (3, V, M)."""


def rotate(
    points: Float[Tensor, "points 3"] | Float[Tensor, "3 views points"], rotation: Float[Tensor, "views 3 3 points_or_1"]
) -> Float[Tensor, "3 views points"]:
    """Rotate every point into every view, axis first.

    Written out, so that equal points give equal bits at any position and on every device; a matrix product does not guarantee that, and
    torch may round it to bfloat16 or TF32 depending on global settings.

    Args:
        points: (M, 3), or (3, V, M) that are rotated already.
        rotation: (V, 3, 3, 1), the same for all points, or (V, 3, 3, M); `p_view = rotation @ p`.
    """
    x, y, z = points.unbind(-1) if points.ndim == 2 else points
    columns = rotation.movedim(1, 0)
    turned: Tensor = columns[:, :, 0] * x
    return turned.add_(columns[:, :, 1] * y).add_(columns[:, :, 2] * z)


def dot(first: Float[Tensor, "*rows 3"], second: Float[Tensor, "*rows 3"]) -> Float[Tensor, "*rows"]:
    """Return inner products; written out because torch's sum over an axis of three takes five times as long."""
    (a, b, c), (x, y, z) = first.unbind(-1), second.unbind(-1)
    return (a * x).add_(b * y).add_(c * z)


def blend(corners: Float[Tensor, "rows 3 channels"], weight: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows channels"]:
    """Return weighted sums of the values at three corners; written out like `dot`."""
    (a, b, c), (x, y, z) = corners.unbind(1), weight[..., None].unbind(1)
    return (a * x).add_(b * y).add_(c * z)


def point_chunks(count: int, cost: int, device: torch.device) -> Iterator[slice]:
    """Split points into slices whose temporaries fit the processor's cache (CPU) or a fraction of its memory (CUDA).

    Args:
        count: Number of points M.
        cost: Elements per point in the largest temporary.
        device: Device of the computation.
    """
    step = max(1, 2 ** (18 if device.type == "cpu" else 24) // cost)
    return (slice(start, start + step) for start in range(0, count, step))


def image_parts(ends: Sequence[int], views: int, voxels: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Split clouds x views into parts whose grids fit the processor's cache (CPU) or a fraction of its memory (CUDA).

    Args:
        ends: Index of each cloud's first point, then the number of points.
        views: Number of views V.
        voxels: Voxels of an image's grid.
        device: Device of the computation.
    """
    images = max(1, 2 ** (23 if device.type == "cpu" else 28) // voxels)
    most = 2**22 // max(stop - start for start, stop in pairwise(ends))
    step, width = max(1, min(images, most) // views), max(1, min(views, images, most))
    for start in range(0, len(ends) - 1, step):
        clouds = slice(start, min(start + step, len(ends) - 1))
        yield from ((clouds, slice(view, view + width)) for view in range(0, views, width))


def median_filter(image: Float[Tensor, "clouds views size size"], reach: int) -> Float[Tensor, "clouds views size size"]:
    """Return the median of each window of 2 reach + 1 pixels; beyond the border, the image is reflected."""
    windows = F.pad(image, (reach,) * 4, mode="reflect").unfold(2, 2 * reach + 1, 1).unfold(3, 2 * reach + 1, 1)
    return torch.stack([one.flatten(2).median(2).values for one in windows.flatten(0, 1)]).view_as(image)


def extents(
    points: Float[Tensor, "points 3"], turn: Turn, views: int, cloud: Int[Tensor, " points"], clouds: int
) -> tuple[Float[Tensor, "3 views clouds"], Float[Tensor, "3 views clouds"]]:
    """Return the smallest and largest coordinates of each cloud in each view."""
    low = points.new_full((3, views, clouds), math.inf)
    high = -low
    for part in point_chunks(len(points), 3 * views, points.device):
        xyz = turn(points[part])
        if clouds == 1:
            torch.minimum(low, xyz.amin(2, keepdim=True), out=low)
            torch.maximum(high, xyz.amax(2, keepdim=True), out=high)
        else:
            index = cloud[part].expand(xyz.shape)
            low.scatter_reduce_(2, index, xyz, "amin")
            high.scatter_reduce_(2, index, xyz, "amax")
    return low, high


def running_maximum(values: Float[Tensor, "*before"], window: int, axis: int) -> Float[Tensor, "*after"]:
    """Return the maximum of each full window along an axis, by doubling: three passes for a window of 7.

    Args:
        values: At least `window` elements along the axis.
        window: Length of a window; the result is `window - 1` shorter.
        axis: Along which axis.
    """
    width = 1
    while width < window:
        step = min(width, window - width)
        length = values.shape[axis] - step
        values = torch.maximum(values.narrow(axis, 0, length), values.narrow(axis, step, length))
        width += step
    return values


def resize(image: Float[Tensor, "clouds views size size"], size: int) -> Float[Tensor, "clouds views image image"]:
    """Resize bilinearly with aligned corners, as the PointCLIP papers' code does; a no-op at the right size."""
    return image if image.shape[-1] == size else F.interpolate(image, (size, size), mode="bilinear", align_corners=True)
