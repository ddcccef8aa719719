"""Points to tokens, as Point-BERT and Uni3D do it: groups of neighbouring points, each encoded by a small PointNet.

Follows Yu et al. 2022 (arXiv:2111.14819), sec. 3.1. Group centres are farthest points under the rule of `pointnet2_ops`, with which the
published weights were trained: the first point starts, and points within about 0.03 of the origin are never chosen after it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.points.operators import farthest_points, gather_points, nearest_points

_LOCAL = 256
_ROWS, _CUDA_ROWS = 4096, 1 << 18  # points encoded at once in evaluation mode; their activations stay in the cache of a CPU


def make_groups(
    points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"], *, count: int, neighbours: int, channels: int
) -> tuple[Float[Tensor, "batch count 3"], Float[Tensor, "batch count neighbours channels"]]:
    """Choose group centres and gather the nearest points of each.

    Args:
        points: Positions and colours, padded.
        sizes: Number of points of each cloud.
        count: Number of groups.
        neighbours: Points of a group.
        channels: 3 for positions alone, 6 with colours.

    Returns:
        The centres, and the points of each group: position relative to the centre, then colour. Their order within a group is arbitrary.
    """
    xyz = points[..., :3]
    centres = gather_points(xyz, farthest_points(xyz, count, sizes=sizes, skip_near_origin=True))
    near = gather_points(points[..., :channels], nearest_points(xyz, centres, count=neighbours, sizes=sizes))
    return centres, torch.cat([near[..., :3] - centres[:, :, None], near[..., 3:]], dim=-1)


class GroupEncoder(nn.Module):
    """A PointNet over the points of each group: two perceptrons on every point, each followed by a maximum over the group.

    Parameters have the names and shapes of the convolutions in published files.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first_conv = _Perceptron(channels, 128, _LOCAL)
        self.second_conv = _Perceptron(2 * _LOCAL, 512, width)

    def forward(self, groups: Float[Tensor, "batch count neighbours channels"]) -> Float[Tensor, "batch count width"]:
        """Encode groups; in evaluation mode a part of them at a time, which bounds memory."""
        rows = groups.flatten(0, 1)
        most = _ROWS if rows.device.type == "cpu" else _CUDA_ROWS
        parts = (rows,) if self.training else rows.split(max(1, most // rows.shape[1]))
        features: Tensor = torch.cat([self._encode(part) for part in parts]).unflatten(0, groups.shape[:2])
        return features

    def _encode(self, groups: Float[Tensor, "n neighbours channels"]) -> Float[Tensor, "n width"]:
        weight, bias = self.first_conv.inward()
        local = self.first_conv.outward(F.linear(groups, weight, bias))
        # The second perceptron reads the maximum of the group before each point; its product with it is the same for all points.
        weight, bias = self.second_conv.inward()
        of_group, of_point = weight.split(_LOCAL, dim=1)
        joint = F.linear(local, of_point) + F.linear(local.amax(1), of_group, bias)[:, None]
        return self.second_conv.outward(joint).amax(1)


class _Perceptron(nn.Sequential):
    """Two convolutions of kernel size 1 with batch norm and ReLU between them, on rows whose last dimension is the channels."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Conv1d(inputs, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Conv1d(hidden, outputs, 1))

    def inward(self) -> tuple[Float[Tensor, "hidden inputs"], Float[Tensor, " hidden"]]:
        """Return weight and bias of the first convolution."""
        return self.get_parameter("0.weight")[..., 0], self.get_parameter("0.bias")

    def outward(self, hidden: Float[Tensor, "n neighbours hidden"]) -> Float[Tensor, "n neighbours outputs"]:
        """Apply everything after the first convolution."""
        rows: Tensor = self[2](self[1](hidden.flatten(0, 1)))
        rows = F.linear(rows, self.get_parameter("3.weight")[..., 0], self.get_parameter("3.bias"))
        outputs: Tensor = rows.unflatten(0, hidden.shape[:2])
        return outputs
