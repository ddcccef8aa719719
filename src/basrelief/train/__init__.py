"""Training: shape sets, augmentation, losses and the loop that makes `tiny`. Whoever only infers never imports it.

`python -m basrelief.train.tiny` is the command; names are loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_names

if TYPE_CHECKING:
    from basrelief.train.augment import Augmentation
    from basrelief.train.data import ShapeSet
    from basrelief.train.settings import Settings
    from basrelief.train.tiny import train

_HOMES = {"Augmentation": "augment", "Settings": "settings", "ShapeSet": "data", "train": "tiny"}

__all__ = ["Augmentation", "Settings", "ShapeSet", "train"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, public=__all__)
