"""Training: few-shot heads, CLIP2Point, OpenDlign, and the networks that ship with basrelief. Inference never imports it.

Names are loaded on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_exports

if TYPE_CHECKING:
    from basrelief.train.adapter import AdapterResult, train_adapter
    from basrelief.train.clip2point import Clip2PointSettings, train_clip2point
    from basrelief.train.config import TrainingSettings
    from basrelief.train.opendlign import OpenDlignSettings, train_opendlign
    from basrelief.train.tiny import TinySettings, train_tiny
    from basrelief.train.upright import UprightSettings, train_upright

_HOMES = {
    "AdapterResult": "adapter",
    "Clip2PointSettings": "clip2point",
    "OpenDlignSettings": "opendlign",
    "TinySettings": "tiny",
    "TrainingSettings": "config",
    "UprightSettings": "upright",
    "train_adapter": "adapter",
    "train_clip2point": "clip2point",
    "train_opendlign": "opendlign",
    "train_tiny": "tiny",
    "train_upright": "upright",
}

__all__ = [
    "AdapterResult",
    "Clip2PointSettings",
    "OpenDlignSettings",
    "TinySettings",
    "TrainingSettings",
    "UprightSettings",
    "train_adapter",
    "train_clip2point",
    "train_opendlign",
    "train_tiny",
    "train_upright",
]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, public=__all__)
