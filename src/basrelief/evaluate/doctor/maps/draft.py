"""Find the likely orientations of a cloud with small drafts of its depth maps, a few milliseconds for each orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor
from torch.nn import functional as F

from basrelief.evaluate.doctor.maps.order import match_views
from basrelief.evaluate.doctor.maps.variants import ORIENTATIONS, RATIOS, Variant, cameras, known_cameras
from basrelief.render.ops import rotate

_SIZE = 28
_FINE = 2 * _SIZE
_POINTS = 2048
_BIAS = 0.2
_GROWTH = 5  # pixels by which the projections grow a silhouette


def likely_variants(
    clouds: Sequence[Float32[np.ndarray, "points 3"]], images: Sequence[Float32[np.ndarray, "views size size"]], *, keep: int, seed: int = 0
) -> list[Variant]:
    """Return the most likely variants of every projection at every scale, the likeliest first.

    Points are written into a small grid, nearest wins, and compared with reduced maps. The order of the views is free, so that
    maps saved in another order are recognised.

    Args:
        clouds: Clouds in the axes of their files.
        images: Their maps, near dark, background 1.
        keep: Number of variants of each projection and scale to return.
        seed: Seed of the choice of points of large clouds.
    """
    wanted = [_reduced(1 - torch.from_numpy(image), image.shape[-1]) for image in images]
    thinned = [torch.from_numpy(cloud[np.random.default_rng(seed).permutation(len(cloud))[:_POINTS]]) for cloud in clouds]
    found: dict[tuple[str, float], list[tuple[float, int, Variant]]] = {}
    for ratio in RATIOS:
        bases = [base for base in known_cameras() if base.ratio == ratio]
        views = _Views.of(bases)
        drafts = [draft(cloud, views.rotation, ratio, image.shape[-1]) for cloud, image in zip(thinned, images, strict=True)]
        costs = [torch.cdist(want, every, p=1) for want, every in zip(wanted, drafts, strict=True)]
        cost = torch.stack(costs).sum(0) / (_SIZE * _SIZE)
        for base, places in zip(bases, views.places, strict=True):
            ranked = found.setdefault((base.projection, ratio), [])
            for orientation, own in zip(ORIENTATIONS, places, strict=True):
                error = match_views(cost[:, own].numpy())[1]
                ranked.append((error, len(ranked), replace(base, orientation=orientation)))
    best = sorted(entry for ranked in found.values() for entry in sorted(ranked)[:keep])
    return [variant for _, _, variant in best]


@dataclass(frozen=True, eq=False)
class _Views:
    """The different views of several rigs in all orientations, of which many are the same.

    Attributes:
        rotation: From the axes of a file to each camera.
        places: For each rig, the index of each orientation's views.
    """

    rotation: Float[Tensor, "images 3 3"]
    places: list[Int[np.ndarray, "orientations views"]]

    @classmethod
    def of(cls, bases: Sequence[Variant]) -> _Views:
        turns = np.stack([orientation.matrix for orientation in ORIENTATIONS])
        rotations = [cameras(base)[None] @ turns[:, None] for base in bases]
        flat = np.concatenate([rotation.reshape(-1, 9) for rotation in rotations])
        _, first, inverse = np.unique(flat.round(4) + 0.0, axis=0, return_index=True, return_inverse=True)
        ends = np.cumsum([len(turns) * rotation.shape[1] for rotation in rotations])[:-1]
        parts = np.split(inverse.reshape(-1), ends)
        return cls(torch.from_numpy(flat[first].reshape(-1, 3, 3)), [part.reshape(len(turns), -1) for part in parts])


def draft(
    points: Float[Tensor, "points 3"], rotation: Float[Tensor, "images 3 3"], ratio: float, size: int
) -> Float[Tensor, "images pixels"]:
    """Return small maps of nearness, 1 at the nearest pixel, 0 for background.

    Args:
        points: One cloud.
        rotation: From the axes of its file to each camera.
        ratio: Share of the width that the longest side covers.
        size: Side of the images that the drafts stand for, pixels.
    """
    xyz = rotate(points, rotation[..., None])
    low, high = xyz.amin(2, keepdim=True), xyz.amax(2, keepdim=True)
    side = (high - low).amax(0).clamp_(min=torch.finfo(torch.float32).tiny)
    right, down, ahead = (xyz - (high + low) / 2) / side
    row, column = (((axis * ratio + 0.5) * _FINE).long().clamp_(0, _FINE - 1) for axis in (down, right))
    near = (0.5 - ahead + _BIAS) / (1 + _BIAS)
    grid = torch.zeros(len(rotation), _FINE * _FINE).scatter_reduce_(1, row * _FINE + column, near, "amax")
    reach = max(1, round(_GROWTH * _FINE / size))
    grown = grid.view(-1, _FINE, _FINE)
    for along in (0, 1):
        window, padding = [1, 1], [0, 0]
        window[along], padding[along] = 2 * reach + 1, reach
        grown = F.max_pool2d(grown, window, stride=1, padding=padding)
    return _reduced(grown / grown.amax((1, 2), keepdim=True), _FINE)


def _reduced(near: Float[Tensor, "images size size"], size: int) -> Float[Tensor, "images pixels"]:
    small = F.adaptive_max_pool2d(near, _SIZE) if size > _SIZE else F.interpolate(near[None], (_SIZE, _SIZE))[0]
    return small.flatten(1)
