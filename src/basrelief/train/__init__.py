"""Training: few-shot heads, CLIP2Point, OpenDlign, point networks, and the networks that ship with basrelief. Inference never imports it.

Names are loaded on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_exports

if TYPE_CHECKING:
    from basrelief.train.ablation.study import AblationStudy
    from basrelief.train.ablation.tables import ablation_table
    from basrelief.train.adapter import AdapterResult, train_adapter
    from basrelief.train.clip2point.settings import Clip2PointSettings
    from basrelief.train.clip2point.trainer import train_clip2point
    from basrelief.train.config import read_settings
    from basrelief.train.depth_aligned.make import AlignedMaker
    from basrelief.train.depth_aligned.quality import filter_images
    from basrelief.train.depth_aligned.read import Thresholds
    from basrelief.train.depth_aligned.settings import AlignedSettings
    from basrelief.train.opendlign.settings import OpenDlignSettings
    from basrelief.train.opendlign.trainer import TrainOptions, train_opendlign, training_cost
    from basrelief.train.pairs.draw import PairSettings
    from basrelief.train.pairs.make import PairMaker
    from basrelief.train.point.fit import StartingPoint
    from basrelief.train.point.settings import PointSettings
    from basrelief.train.point.trainer import PointData, train_point
    from basrelief.train.records.make import Workers, estimate_cost, make_records
    from basrelief.train.resources import Resources
    from basrelief.train.tiny.run import Sources, train_tiny
    from basrelief.train.tiny.settings import TinySettings
    from basrelief.train.upright.settings import UprightSettings
    from basrelief.train.upright.trainer import train_upright

_HOMES = {
    "AblationStudy": "ablation.study",
    "AdapterResult": "adapter",
    "AlignedMaker": "depth_aligned.make",
    "AlignedSettings": "depth_aligned.settings",
    "Clip2PointSettings": "clip2point.settings",
    "OpenDlignSettings": "opendlign.settings",
    "PairMaker": "pairs.make",
    "PairSettings": "pairs.draw",
    "PointData": "point.trainer",
    "PointSettings": "point.settings",
    "Resources": "resources",
    "Sources": "tiny.run",
    "StartingPoint": "point.fit",
    "Thresholds": "depth_aligned.read",
    "TinySettings": "tiny.settings",
    "TrainOptions": "opendlign.trainer",
    "UprightSettings": "upright.settings",
    "Workers": "records.make",
    "ablation_table": "ablation.tables",
    "estimate_cost": "records.make",
    "filter_images": "depth_aligned.quality",
    "make_records": "records.make",
    "read_settings": "config",
    "train_adapter": "adapter",
    "train_clip2point": "clip2point.trainer",
    "train_opendlign": "opendlign.trainer",
    "train_point": "point.trainer",
    "train_tiny": "tiny.run",
    "train_upright": "upright.trainer",
    "training_cost": "opendlign.trainer",
}

__all__ = [
    "AblationStudy",
    "AdapterResult",
    "AlignedMaker",
    "AlignedSettings",
    "Clip2PointSettings",
    "OpenDlignSettings",
    "PairMaker",
    "PairSettings",
    "PointData",
    "PointSettings",
    "Resources",
    "Sources",
    "StartingPoint",
    "Thresholds",
    "TinySettings",
    "TrainOptions",
    "UprightSettings",
    "Workers",
    "ablation_table",
    "estimate_cost",
    "filter_images",
    "make_records",
    "read_settings",
    "train_adapter",
    "train_clip2point",
    "train_opendlign",
    "train_point",
    "train_tiny",
    "train_upright",
    "training_cost",
]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, public=__all__)
