"""Depth-aligned images: what a shape's depth maps could look like in colour, painted by a ControlNet or drawn by our own renderer."""

from basrelief.train.depth_aligned.make import AlignedMaker, Painter, make_painter
from basrelief.train.depth_aligned.quality import FilterResult, filter_aligned, quality_sheet
from basrelief.train.depth_aligned.read import AlignedSet, Thresholds, open_aligned
from basrelief.train.depth_aligned.settings import SOURCES, AlignedSettings, DiffusionSettings, published_hours

__all__ = [
    "SOURCES",
    "AlignedMaker",
    "AlignedSet",
    "AlignedSettings",
    "DiffusionSettings",
    "FilterResult",
    "Painter",
    "Thresholds",
    "filter_aligned",
    "make_painter",
    "open_aligned",
    "published_hours",
    "quality_sheet",
]
