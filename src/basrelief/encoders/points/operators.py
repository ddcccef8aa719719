"""Choose and gather points: farthest points, balls, nearest neighbours.

All work on padded batches of clouds: cloud b has its first `sizes[b]` rows, and the values of the others never matter. One implementation
serves the CPU and CUDA. Squared distances are sums of elementwise products, never matrix products, so that neighbours do not depend
on TF32 or autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int, Int64, Shaped
from torch import Tensor
from torch.nn import functional as F

_NEAR_ORIGIN = 1e-3  # squared distance to the origin up to which pointnet2_ops never picks a point
_MAX_THREADS = 512  # of the pointnet2_ops kernel; its choice among equal distances depends on it
_CHUNK, _CUDA_CHUNK = 1 << 17, 1 << 24  # distances at a time: on a CPU they stay in its cache


@torch.no_grad()
def farthest_points(
    xyz: Float[Tensor, "batch points 3"], count: int, *, sizes: Int[Tensor, " batch"] | None = None, skip_near_origin: bool = False
) -> Int64[Tensor, "batch count"]:
    """Choose points one by one, the first of each cloud and then the farthest from all chosen before (Gonzalez 1985).

    Two conventions exist, and mixing them changes the embeddings of point encoders. `skip_near_origin=False` is that of
    `dgl.geometry.farthest_point_sampler` (OpenShape, TAMM), which draws the first point at random; of equally far points the lowest index
    wins. `skip_near_origin=True` is that of `pointnet2_ops` (ULIP, Uni3D, 3DETR): a point with x^2 + y^2 + z^2 <= 1e-3 is never chosen
    after the start, and of equally far points the one wins whose index modulo T has the smallest reversed bits, then the lowest index (T
    is the largest power of two that is at most the size of the cloud and 512).

    Args:
        xyz: Clouds. Distances are computed in their dtype and must not overflow it.
        count: Points to choose from each, at least 1. When no other position is left, index 0 repeats.
        sizes: Number of points of each cloud; None if nothing is padding.
        skip_near_origin: Follow `pointnet2_ops` instead of DGL.

    Returns:
        Indices in the order of choice.
    """
    real = _real(xyz, sizes)
    order = _kernel_order(real) if skip_near_origin else None
    columns = xyz.masked_fill(~real[..., None], 0)
    columns = (columns if order is None else gather_points(columns, order)).permute(2, 0, 1).contiguous()
    distance = columns.new_full(real.shape, torch.inf).masked_fill_(~real, -1)  # padding is last in the order, too
    work, latest = torch.empty_like(columns), torch.empty_like(distance)
    if skip_near_origin:
        distance.masked_fill_(_sum_of_squares(columns, work, latest).double() <= _NEAR_ORIGIN, -1)
    chosen = torch.zeros(len(xyz), count, dtype=torch.int64, device=xyz.device)
    current = chosen[:, :1]  # index 0 is first in either order
    with _one_thread(xyz.device):
        for i in range(1, count):
            torch.sub(columns, columns.gather(2, current.expand(3, -1, 1)), out=work)
            torch.minimum(distance, _sum_of_squares(work, work, latest), out=distance)
            current = distance.argmax(1, keepdim=True)
            chosen[:, i : i + 1] = current
    return chosen if order is None else order.gather(1, chosen)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Keep thousands of short operations on one thread of a CPU: more save nothing, and on a busy machine they wait for each other."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sum_of_squares(columns: Tensor, work: Tensor, out: Tensor) -> Tensor:
    """Compute x^2 + y^2 + z^2 of (3, B, N) in this order and without fused multiplications, as the CUDA kernel compiled for a CPU."""
    torch.mul(columns, columns, out=work)
    return torch.add(work[0], work[1], out=out).add_(work[2])


def _kernel_order(real: Tensor) -> Tensor:
    """Order points so that of equal maxima the first is the one that pointnet2_ops's parallel reduction keeps; padding comes last."""
    index = torch.arange(real.shape[1], device=real.device)
    bits = real.sum(1, keepdim=True).clamp(max=_MAX_THREADS).log2().long()
    key = torch.zeros_like(real, dtype=torch.int64)
    for bit in range(_MAX_THREADS.bit_length() - 1):
        key += torch.where(bit < bits, ((index >> bit) & 1) << (bits - 1 - bit).clamp(min=0), 0)
    return key.masked_fill_(~real, _MAX_THREADS).argsort(dim=1, stable=True)


@torch.no_grad()
def ball_query(
    xyz: Float[Tensor, "batch points 3"],
    centres: Float[Tensor, "batch centres 3"],
    *,
    radius: float,
    count: int,
    sizes: Int[Tensor, " batch"] | None = None,
    inclusive: bool = True,
) -> Int64[Tensor, "batch centres count"]:
    """Find the points within a radius of each centre: those of the lowest indices, not the nearest.

    `inclusive=True` is OpenShape's rule, d^2 <= r^2 with d^2 = -2ab + a^2 + b^2; `inclusive=False` is that of `pointnet2_ops` (3DETR),
    d^2 < r^2 with d^2 = |a - b|^2. They differ in points at the very edge of a ball.

    Args:
        xyz: Clouds.
        centres: Centres in each cloud.
        radius: Radius of the balls, in the unit of the points.
        count: Indices to return for each centre.
        sizes: Number of points of each cloud; None if nothing is padding.
        inclusive: Follow OpenShape instead of `pointnet2_ops`.

    Returns:
        Ascending indices. Where fewer than `count` points are in reach the first repeats; where none is, index 0.
    """
    limit = radius**2 if inclusive else torch.tensor(radius, dtype=xyz.dtype).square().item()  # the kernel squares in float32

    def lowest(distance: Tensor) -> Tensor:
        inside = (distance <= limit if inclusive else distance < limit).flatten().nonzero()[:, 0]
        starts = torch.arange(len(distance) + 1, device=xyz.device) * distance.shape[1]
        bounds = torch.searchsorted(inside, starts)
        first, found = bounds[:-1, None], bounds.diff()[:, None]
        slot = torch.arange(count, device=xyz.device).expand(len(distance), -1)
        places = torch.where(slot < found, first + slot, first)
        index = torch.cat([inside, inside.new_zeros(1)])[places] - starts[:-1, None]
        return index.masked_fill_(found == 0, 0)

    return _for_each_centre(xyz, centres, sizes, count, lowest, _expanded_distances if inclusive else _direct_distances)


@torch.no_grad()
def nearest_points(
    xyz: Float[Tensor, "batch points 3"],
    centres: Float[Tensor, "batch centres 3"],
    *,
    count: int,
    sizes: Int[Tensor, " batch"] | None = None,
) -> Int64[Tensor, "batch centres count"]:
    """Find the nearest points of each centre by d^2 = -2ab + a^2 + b^2.

    Args:
        xyz: Clouds.
        centres: Centres in each cloud.
        count: Indices to return for each centre.
        sizes: Number of points of each cloud; None if nothing is padding.

    Returns:
        Indices in no particular order. If a cloud has fewer than `count` points, all of them and then index 0.
    """

    def nearest(distance: Tensor) -> Tensor:
        kept = min(count, distance.shape[1])
        return F.pad(distance.topk(kept, largest=False, sorted=False).indices, (0, count - kept))

    return _for_each_centre(xyz, centres, sizes, count, nearest, _expanded_distances)


def gather_points(
    values: Shaped[Tensor, "batch points channels"], index: Int64[Tensor, "batch *places"]
) -> Shaped[Tensor, "batch *places channels"]:
    """Take rows of each cloud by their indices, which lie in the same cloud."""
    batch, points, channels = values.shape
    first = torch.arange(batch, device=index.device).view(-1, *[1] * (index.dim() - 1)) * points
    return values.reshape(batch * points, channels).index_select(0, (index + first).flatten()).view(*index.shape, channels)


def _for_each_centre(
    xyz: Tensor,
    centres: Tensor,
    sizes: Tensor | None,
    count: int,
    find: Callable[[Tensor], Tensor],
    distances: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Call `find` with the squared distances (R, N) of R centres to all N points of their cloud, as many as memory should hold."""
    found = torch.empty(*centres.shape[:2], count, dtype=torch.int64, device=xyz.device)
    chunk = _CHUNK if xyz.device.type == "cpu" else _CUDA_CHUNK
    for b, size in enumerate([xyz.shape[1]] * len(xyz) if sizes is None else sizes.tolist()):
        columns, step = xyz[b, :size].T.contiguous(), max(1, chunk // size)
        for rows, out in zip(centres[b].split(step), found[b].split(step), strict=True):
            out.copy_(find(distances(rows, columns)))
    return found


def _expanded_distances(centres: Tensor, columns: Tensor) -> Tensor:
    """Compute -2ab + a^2 + b^2 in this order."""
    scaled = centres * -2
    distance = scaled[:, :1] * columns[0]
    for axis in (1, 2):
        distance.addcmul_(scaled[:, axis : axis + 1], columns[axis])
    return distance.add_(centres.square().sum(1, keepdim=True)).add_(columns.square().sum(0))


def _direct_distances(centres: Tensor, columns: Tensor) -> Tensor:
    """Compute |a - b|^2 from x to z, without fused multiplications."""
    x, y, z = (torch.sub(centres[:, axis : axis + 1], columns[axis]).square_() for axis in range(3))
    return x.add_(y).add_(z)


def _real(xyz: Tensor, sizes: Tensor | None) -> Tensor:
    """Tell which rows are points and not padding, (B, N)."""
    if sizes is None:
        return torch.ones(xyz.shape[:2], dtype=torch.bool, device=xyz.device)
    return torch.arange(xyz.shape[1], device=xyz.device) < sizes.to(xyz.device)[:, None]
