"""Training: heads, CLIP2Point's and OpenDlign's recipes, and `tiny`. Whoever only infers never imports it.

Names are loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_names

if TYPE_CHECKING:
    from basrelief.train.adapter import AdapterResult, train_adapter
    from basrelief.train.augment import Augmentation
    from basrelief.train.data import ShapeSet
    from basrelief.train.tiny import TinySettings, train_tiny

_HOMES = {
    "Augmentation": "augment",
    "ShapeSet": "data",
    "AdapterResult": "adapter",
    "TinySettings": "tiny",
    "train_adapter": "adapter",
    "train_tiny": "tiny",
}

__all__ = ["AdapterResult", "Augmentation", "ShapeSet", "TinySettings", "train_adapter", "train_tiny"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, public=__all__)
