"""From points to pictures: rigs of cameras, the named depth projections, meshes drawn and shaded, contact sheets; in plain torch."""

from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.registry import PROJECTIONS, get_projection
from basrelief.render.shade import render_thumbnail, shade
from basrelief.render.sheet import contact_sheet, evidence_sheet
from basrelief.render.views import DepthViews, render_batch, render_depth, sample_points

__all__ = [
    "PROJECTIONS",
    "Cameras",
    "DepthViews",
    "PointBatch",
    "Projection",
    "contact_sheet",
    "evidence_sheet",
    "get_projection",
    "render_batch",
    "render_depth",
    "render_thumbnail",
    "sample_points",
    "shade",
]
