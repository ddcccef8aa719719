"""Adapters between views: PointCLIP's, and CLIP2Point's simplified and dual-path ones.

All fuse the views the same way: each view is weighted and batch-normalised, and all are mapped to one vector. Input features are not
of unit length.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.errors import WeightsError

_THEIRS = {
    "fusion_ratio": "ratio",
    "global_f.0.bn": "norm_views",
    "global_f.3": "join",
    "global_f.4": "norm_joined",
    "global_f.7": "out",
    "view_f.0": "spread.0",
    "view_f.2": "spread.2",
}
"""Names in the published few-shot checkpoints, and ours."""


class _Fusion(nn.Module):
    """Fuse V views to one vector: weight, batch norm, dropout, linear layer."""

    def __init__(self, views: int, dim: int, *, ratio: float, dropout: float) -> None:
        super().__init__()
        self.ratio = nn.Parameter(torch.full((views,), ratio))
        self.norm_views = nn.BatchNorm1d(dim)
        self.join = nn.Linear(views * dim, dim)
        self.norm_joined = nn.BatchNorm1d(dim)
        self.dropout = nn.Dropout(dropout)

    def fuse(self, views: Float[Tensor, "batch views dim"]) -> Float[Tensor, "batch dim"]:
        weighed = views * self.ratio[:, None]
        normal: Tensor = self.norm_views(weighed.flatten(0, 1)).view_as(weighed)
        joined: Tensor = self.dropout(self.norm_joined(self.join(self.dropout(normal).flatten(1))).relu())
        return joined


class SimplifiedAdapter(_Fusion):
    """CLIP2Point's adapter of one tower (Huang et al. 2023, arXiv:2210.01055, sec. 3.3): fuses views to one feature, without a residual."""

    def __init__(self, views: int, dim: int, *, ratio: float = 0.5, dropout: float = 0.075) -> None:
        super().__init__(views, dim, ratio=ratio, dropout=dropout)
        self.out = nn.Linear(dim, dim)

    def forward(self, views: Float[Tensor, "batch views dim"]) -> Float[Tensor, "batch dim"]:
        """Return one feature for each shape, not of unit length.

        Args:
            views: Features of V views.
        """
        feature: Tensor = self.out(self.fuse(views))
        return feature


class DualPathAdapter(nn.Module):
    """CLIP2Point's Dual-Path Adapter: one simplified adapter for the depth tower, one for CLIP's own, averaged.

    The views of both towers are concatenated: first V of the depth tower, then V of CLIP's image tower.
    """

    def __init__(self, views: int, dim: int, *, ratio: float = 0.5, dropout: float = 0.075) -> None:
        super().__init__()
        self.depth = SimplifiedAdapter(views // 2, dim, ratio=ratio, dropout=dropout)
        self.image = SimplifiedAdapter(views // 2, dim, ratio=ratio, dropout=dropout)

    def forward(self, views: Float[Tensor, "batch views dim"]) -> Float[Tensor, "batch dim"]:
        """Return one feature for each shape, not of unit length.

        Args:
            views: Features of both towers, 2 V views.
        """
        depth, image = views.chunk(2, dim=1)
        feature: Tensor = (self.depth(depth) + self.image(image)) / 2
        return feature


class InterViewAdapter(_Fusion):
    """PointCLIP's inter-view adapter (Zhang et al. 2022, arXiv:2112.02413, sec. 3.3): the fused vector is projected back to every view.

    Each view is 0.6 times the output of the adapter plus 0.4 times the input.
    """

    def __init__(self, views: int, dim: int, *, ratio: float = 0.5, dropout: float = 0.075, share: float = 0.6) -> None:
        super().__init__(views, dim, ratio=ratio, dropout=dropout)
        self.spread = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, views * dim), nn.ReLU())
        self.share = share

    def forward(self, views: Float[Tensor, "batch views dim"]) -> Float[Tensor, "batch wide"]:
        """Return all views of each shape as one row of V * D values.

        Args:
            views: Features of V views.
        """
        spread: Tensor = self.spread(self.fuse(views))
        return self.share * spread + (1 - self.share) * views.flatten(1)


def published_adapter(state: Mapping[str, Tensor], path: str = "") -> dict[str, Tensor]:
    """Rename the tensors of an adapter in a published few-shot checkpoint to our names.

    Args:
        state: Tensors by name; may hold other parts of the checkpoint.
        path: `adapter1` (depth) or `adapter2` (image) of a dual-path checkpoint; empty for an adapter alone.

    Raises:
        WeightsError: If the adapter is missing or one of its names is unknown.
    """
    start = f"{path}." if path else ""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not name.startswith(start):
            continue
        theirs = name.removeprefix(start)
        place, _, field = theirs.rpartition(".")
        key = _THEIRS.get(theirs) or (f"{_THEIRS[place]}.{field}" if place in _THEIRS else None)
        if key is None:
            raise WeightsError(f"The weights hold {name!r}, which is not part of an adapter. Use the published few-shot file.")
        found[key] = tensor.float() if tensor.is_floating_point() else tensor
    if not found:
        raise WeightsError(f"The weights hold no {path or 'adapter'}. Use the published few-shot file.")
    return found


def spread_smoothing(smoothing: float, classes: int) -> float:
    """Convert `smoothing`, spread over the other classes only as in PointCLIP's code, to PyTorch's label smoothing."""
    return min(1.0, smoothing * classes / max(classes - 1, 1))


def adapter_loss(logits: Float[Tensor, "batch classes"], truth: Tensor, *, smoothing: float = 0.0) -> Float[Tensor, ""]:
    """Return the cross entropy of few-shot training, with label smoothing over the other classes.

    Args:
        logits: Scaled cosines.
        truth: Class number of each shape.
        smoothing: 0.2 in PointCLIP, 0 in CLIP2Point.
    """
    return F.cross_entropy(logits, truth, label_smoothing=spread_smoothing(smoothing, logits.shape[1]))
