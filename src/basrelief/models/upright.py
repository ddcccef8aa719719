"""A small network that tells whether a shape stands upright, from six depth pictures: four sides, top and bottom.

It was trained on this project's own shapes (`basrelief.train.upright`); half a million parameters ship in the wheel.
`basrelief.models.pose` asks it which of several candidates for up is right; `basrelief.geometry.upright_network` applies it without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.geometry.upright_network import RADIUS, SIDE, WEIGHTS, face_rotations
from basrelief.render.clip2point import draw_discs

POINTS = 2048
"""Points drawn of each shape."""

_WIDTHS = (32, 64, 96, 160)
_CELLS = 3
_AT_ONCE = 1024


def face_images(clouds: Float[Tensor, "n points 3"]) -> Float[Tensor, "n 6 side side"]:
    """Draw four sides, top and bottom of clouds in the unit sphere: 1 is nearest, 0.2 farthest, 0 nothing.

    Args:
        clouds: World frame, +Z up, mean at the origin, farthest point at radius 1.
    """
    faces = torch.as_tensor(face_rotations(), device=clouds.device)
    xyz = torch.einsum("vij,npj->ivnp", faces, clouds).flatten(2)
    xyz[2] += 1
    cloud = torch.arange(len(clouds), device=clouds.device).repeat_interleave(clouds.shape[1])
    depth = draw_discs(xyz, cloud, len(clouds), size=SIDE, radius=RADIUS)
    return torch.where(depth.isfinite(), 1 - 0.4 * depth, 0.0)


class UprightNet(nn.Module):
    """One convolutional encoder for all six images, with an embedding of the kind; sides are pooled, then joined with top and bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, _WIDTHS[0], 3, stride=2, padding=1)
        self.kind = nn.Parameter(torch.zeros(3, _WIDTHS[0], 1, 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=2, padding=1),
                nn.GroupNorm(8, b),
                nn.GELU(),
                nn.Conv2d(b, b, 3, padding=1, groups=b),
                nn.GELU(),
            )
            for a, b in pairwise(_WIDTHS)
        )
        self.pool = nn.Linear(_WIDTHS[-1] * _CELLS**2, _WIDTHS[-1])
        self.head = nn.Sequential(nn.Linear(4 * _WIDTHS[-1], 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, 1))

    def forward(self, images: Float[Tensor, "n 6 side side"]) -> Float[Tensor, " n"]:
        """Score of each candidate: larger is more upright; a softmax over the candidates of one shape gives probabilities."""
        count = len(images)
        kind = self.kind[torch.tensor([0, 0, 0, 0, 1, 2], device=images.device)]
        x = self.first(images.reshape(-1, 1, *images.shape[2:])) + kind.repeat(count, 1, 1, 1)
        x = nn.functional.gelu(x)
        for block in self.blocks:
            x = block(x)
        x = nn.functional.adaptive_avg_pool2d(x, _CELLS).flatten(1)
        x = nn.functional.gelu(self.pool(x)).view(count, 6, -1)
        sides = x[:, :4]
        joined = torch.cat([sides.mean(dim=1), sides.amax(dim=1), x[:, 4], x[:, 5]], dim=1)
        score: Tensor = self.head(joined)[:, 0]
        return score


@lru_cache(maxsize=1)
def load_upright() -> UprightNet:
    """Load the network that ships with basrelief, on the CPU, in evaluation mode."""
    from safetensors.torch import load_file

    net = UprightNet()
    weights = load_file(WEIGHTS)
    net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return net.eval().requires_grad_(False)


def upright_scores(
    clouds: Sequence[Float[np.ndarray, "points 3"]], rotations: Float[np.ndarray, "candidates 3 3"], *, net: UprightNet | None = None
) -> Float[np.ndarray, "shapes candidates"]:
    """Score every candidate rotation of every cloud.

    Args:
        clouds: `POINTS` points each, unit sphere about their mean.
        rotations: What turns a cloud's candidate into +Z up; the same for all clouds.
        net: None for the one that ships.
    """
    net = net or load_upright()
    turns = torch.as_tensor(np.asarray(rotations, dtype=np.float32))
    stacked = torch.as_tensor(np.stack(clouds).astype(np.float32))
    scores = []
    step = max(1, _AT_ONCE // (6 * len(turns)))
    with torch.no_grad():
        for start in range(0, len(stacked), step):
            turned = torch.einsum("kij,npj->nkpi", turns, stacked[start : start + step])
            scores.append(net(face_images(turned.flatten(0, 1))).view(-1, len(turns)))
    return torch.cat(scores).numpy()
