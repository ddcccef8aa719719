"""From points to pictures: rigs of cameras, the named depth projections, meshes drawn and shaded, contact sheets; in plain torch."""

from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.registry import PROJECTIONS, get_projection
from basrelief.render.shade import portrait, shade
from basrelief.render.sheet import depth_sheet, evidence_sheet
from basrelief.render.views import DepthViews, draw_points, render_batch, render_depth

__all__ = [
    "PROJECTIONS",
    "Cameras",
    "DepthViews",
    "PointBatch",
    "Projection",
    "depth_sheet",
    "draw_points",
    "evidence_sheet",
    "get_projection",
    "portrait",
    "render_batch",
    "render_depth",
    "shade",
]
