"""Training: shape sets, augmentation, losses and the loop that makes `tiny`. Whoever only infers never imports it.

`python -m basrelief.train.tiny` is the command; names are loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_names

if TYPE_CHECKING:
    from basrelief.train.adapter import Taught, train_adapter
    from basrelief.train.augment import Augmentation
    from basrelief.train.data import ShapeSet
    from basrelief.train.settings import Settings
    from basrelief.train.tiny import train

_HOMES = {
    "Augmentation": "augment",
    "Settings": "settings",
    "ShapeSet": "data",
    "Taught": "adapter",
    "train": "tiny",
    "train_adapter": "adapter",
}

__all__ = ["Augmentation", "Settings", "ShapeSet", "Taught", "train", "train_adapter"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, public=__all__)
