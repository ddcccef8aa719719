"""Scans as labelled boxes: guard, proposals, crops, labels, suppression, outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_exports

if TYPE_CHECKING:
    from basrelief.scenes.crops import CropSettings, embed_boxes
    from basrelief.scenes.detections import Detections
    from basrelief.scenes.guard import prepare_scene
    from basrelief.scenes.label import LabelSettings, label_boxes
    from basrelief.scenes.pipeline import detect
    from basrelief.scenes.proposals import Proposals, propose
    from basrelief.scenes.recognise import recognise_scene
    from basrelief.scenes.scene import Scene

_MODULES = {
    "CropSettings": "crops",
    "Detections": "detections",
    "LabelSettings": "label",
    "Proposals": "proposals",
    "Scene": "scene",
    "detect": "pipeline",
    "embed_boxes": "crops",
    "label_boxes": "label",
    "prepare_scene": "guard",
    "propose": "proposals",
    "recognise_scene": "recognise",
}

__all__ = [
    "CropSettings",
    "Detections",
    "LabelSettings",
    "Proposals",
    "Scene",
    "detect",
    "embed_boxes",
    "label_boxes",
    "prepare_scene",
    "propose",
    "recognise_scene",
]

__getattr__, __dir__ = lazy_exports(__name__, _MODULES, public=__all__)
