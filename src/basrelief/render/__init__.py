"""Render point clouds as depth maps and shapes as shaded images; rigs of cameras, contact sheets. Plain torch, no GPU driver or display."""

from basrelief.render.base import Projection
from basrelief.render.registry import PROJECTIONS, get_projection
from basrelief.render.shade import render_thumbnail
from basrelief.render.sheet import contact_sheet, evidence_sheet
from basrelief.render.views import DepthViews, render_batch, render_depth, sample_points

__all__ = [
    "PROJECTIONS",
    "DepthViews",
    "Projection",
    "contact_sheet",
    "evidence_sheet",
    "get_projection",
    "render_batch",
    "render_depth",
    "render_thumbnail",
    "sample_points",
]
