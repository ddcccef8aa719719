"""The published sizes of 3DETR by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import torch

from basrelief.scenes.threedetr.network import ThreeDetr, ThreeDetrSize


@dataclass(frozen=True)
class ThreeDetrSpec:
    """A size of the network, and the data it was trained on.

    Attributes:
        name: Name of the trained network, as in `basrelief.models.detectors.detectors()`; `3detr-m-scannet-color` has no published weights.
        dataset: `scannet` or `sunrgbd`.
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
    found = {}
    for name, options in record["networks"].items():
        dataset = options.pop("dataset")
        data = record["datasets"][dataset]
        size = ThreeDetrSize(num_semcls=len(data["classes"]), num_angle_bin=data["num_angle_bin"], **options)
        found[name] = ThreeDetrSpec(name, dataset, size, tuple(data["classes"]), data["points"])
    return found
