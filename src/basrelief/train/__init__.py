"""Training: shape sets, augmentation, losses and the loop that makes `tiny`. Whoever only infers never imports it.

`python -m basrelief.train.tiny` is the command; names are loaded when asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from basrelief.train.augment import Augmentation
    from basrelief.train.data import ShapeSet
    from basrelief.train.settings import Settings
    from basrelief.train.tiny import train

_HOMES = {"Augmentation": "augment", "Settings": "settings", "ShapeSet": "data", "train": "tiny"}

__all__ = ["Augmentation", "Settings", "ShapeSet", "train"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
