"""From points to pictures: rigs of cameras and the named depth projections, in plain torch."""

from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.registry import PROJECTIONS, get_projection
from basrelief.render.views import DepthViews, render_batch, render_depth

__all__ = [
    "PROJECTIONS",
    "Cameras",
    "DepthViews",
    "PointBatch",
    "Projection",
    "get_projection",
    "render_batch",
    "render_depth",
]
