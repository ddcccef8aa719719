"""The published sizes of 3DETR by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import torch

from basrelief.datasets.labels import label_set
from basrelief.scenes.threedetr.network import ThreeDetr, ThreeDetrSize


@dataclass(frozen=True)
class ThreeDetrSpec:
    """A size of the network, and the data it was trained on.

    Attributes:
        name: Name of the trained network, as in `basrelief.models.detectors.detectors()`; `3detr-m-scannet-color` has no published weights.
        dataset: Data set and label set: `scannet` or `sunrgbd`.
        size: Its size.
        classes: Names of its classes, in the order of its outputs.
        points: Points of a scene that it was trained on.
    """

    name: str
    dataset: str
    size: ThreeDetrSize
    classes: tuple[str, ...]
    points: int

    @property
    def method(self) -> str:
        """Name of the proposals it makes: `3detr` or `3detr-m`."""
        return "3detr-m" if self.size.enc_type == "masked" else "3detr"

    def empty(self) -> ThreeDetr:
        """Build the network on the meta device: names and dimensions, no numbers and no memory."""
        with torch.device("meta"):
            return ThreeDetr(self.size)


@cache
def published_sizes() -> Mapping[str, ThreeDetrSpec]:
    """Return all sizes that the authors trained, by name."""
    record = json.loads((resources.files("basrelief.scenes.threedetr") / "sizes.json").read_text(encoding="utf-8"))
    return {name: _spec(name, **options) for name, options in record.items()}


def _spec(name: str, dataset: str, points: int, **options: Any) -> ThreeDetrSpec:  # noqa: ANN401
    classes = label_set(dataset)
    return ThreeDetrSpec(name, dataset, ThreeDetrSize(num_semcls=len(classes), **options), classes, points)
