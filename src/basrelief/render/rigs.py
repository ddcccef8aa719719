"""Named sets of cameras, as rotations from the world frame (+Z up) to camera frames (OpenCV)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.errors import ConfigError, unknown_choice
from basrelief.render.base import Cameras
from basrelief.render.cameras import look_at_cameras

# CLIP2Point renders in a frame with +Y up. Its `rot=True` converts +Z-up data: p_rendered = CLIP2POINT_TURN @ p_world.
CLIP2POINT_TURN = np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]], dtype=np.float32)


def euler(angles: Sequence[tuple[float, float, float]]) -> Float[np.ndarray, "views 3 3"]:
    """Return rotations Rx Ry Rz of column vectors, in float32 throughout, like PointCLIP's code.

    Args:
        angles: V angles about x, y and z, in units of pi.
    """
    radians = torch.tensor(angles, dtype=torch.float64).mul(math.pi).float()
    (ca, cb, cc), (sa, sb, sc) = radians.cos().T, radians.sin().T
    rows = (
        torch.stack([cb * cc, -cb * sc, sb], dim=1),
        torch.stack([ca * sc + sa * sb * cc, ca * cc - sa * sb * sc, -sa * cb], dim=1),
        torch.stack([sa * sc - ca * sb * cc, sa * cc + ca * sb * sc, ca * cb], dim=1),
    )
    return torch.stack(rows, dim=1).numpy()


def clip2point_look(azimuth: Float[Tensor, " views"], elevation: Float[Tensor, " views"]) -> Float[Tensor, "views 3 3"]:
    """Return CLIP2Point's cameras, from its rendering frame (+Y up) to camera frames (OpenCV).

    At elevations 90, 270 and -90 the original's "up" depends on the rounding of cos(pi/2) in float32 and on a tolerance of its camera
    library; this function takes the same steps in the same precision, or those views would be rotated.

    Args:
        azimuth: (V,) degrees of the eye from +Z towards +X.
        elevation: (V,) degrees of the eye above the horizon; beyond 90 the camera passes the pole, and up stays +Y.
    """
    a, e = torch.deg2rad(azimuth.float()), torch.deg2rad(elevation.float())
    eye = torch.stack([e.cos() * a.sin(), e.sin(), e.cos() * a.cos()], dim=1)
    up = torch.tensor([0.0, 1.0, 0.0], device=eye.device).expand_as(eye)
    forward = F.normalize(-eye, eps=1e-5)
    left = F.normalize(torch.linalg.cross(up, forward), eps=1e-5)
    above = F.normalize(torch.linalg.cross(forward, left), eps=1e-5)
    lost = (left.abs() <= 5e-3).all(dim=1, keepdim=True)
    left = torch.where(lost, F.normalize(torch.linalg.cross(above, forward), eps=1e-5), left)
    return torch.stack([-left, -above, forward], dim=1)


def _clip2point(azimuth: Sequence[float], elevation: Sequence[float]) -> Cameras:
    return Cameras(clip2point_look(torch.tensor(azimuth), torch.tensor(elevation)).numpy() @ CLIP2POINT_TURN)


CLIP2POINT10_ANGLES = (
    (0.0, 0.0, 0.0, 0.0, -45.0, 45.0, -45.0, 45.0, -90.0, 90.0),
    (0.0, 90.0, 180.0, 270.0, 225.0, 225.0, 315.0, 315.0, 0.0, 0.0),
)
"""Azimuths and elevations of CLIP2Point's ten views, in its angles (`clip2point_look`) and its order."""
_CLIP2POINT6 = (0.0, 90.0, 180.0, 270.0, 0.0, 180.0), (0.0, 0.0, 0.0, 0.0, 90.0, -90.0)
_TURNTABLE10 = (*range(0, 360, 45), 0, 0), (*(20,) * 8, 90, -20)

RIGS: dict[str, Callable[[], Cameras]] = {
    "clip2point10": lambda: _clip2point(*CLIP2POINT10_ANGLES),
    "clip2point6": lambda: _clip2point(*_CLIP2POINT6),
    "turntable10": lambda: look_at_cameras(*_TURNTABLE10),
    "opendlign-original": lambda: look_at_cameras(range(-60, 211, 30), [*(20,) * 9, 12]),
    "opendlign-30": lambda: look_at_cameras(range(30, 301, 30), 20),
    "opendlign-33": lambda: look_at_cameras([30 + 300 * i / 9 for i in range(10)], 20),
}


@cache
def get_rig(name: str) -> Cameras:
    """Return the orthographic cameras of a named rig.

    Args:
        name: `turntable10` (eight views every 45 degrees at elevation 20, the top, the front at elevation -20), or `clip2point10` or
            `clip2point6` (the views of Huang et al. 2023, arXiv:2210.01055), or `opendlign-original` (ten every 30 degrees at elevation
            20, the last at 12, as OpenDlign's program has them), or two readings of its paper, both at elevation 20: `opendlign-30` (ten
            every 30 degrees from 30) and `opendlign-33` (ten evenly from 30 to 330).

    Raises:
        ConfigError: If there is no rig of that name.
    """
    if name not in RIGS:
        raise ConfigError(unknown_choice("rig", name, RIGS))
    return RIGS[name]()


def evenly_spaced_views(count: int, views: int) -> list[int]:
    """Return the indices of `count` views spread evenly over a rig of `views`.

    Raises:
        ConfigError: If `count` is not between 1 and `views`.
    """
    if not 1 <= count <= views:
        raise ConfigError(f"views is {count}; the rig has {views} views. Leave it out for all.")
    return [i * views // count for i in range(count)]
