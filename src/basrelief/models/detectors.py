"""Published networks that propose boxes in scans: where their weights are, under which licence, and their published figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from basrelief.models.recipe_parts import Checkpoint, PaperNumber


@dataclass(frozen=True)
class Detector:
    """A trained detector as data; `basrelief.scenes` builds the network.

    Attributes:
        name: What users fetch.
        method: Name of the proposals it makes.
        title: One line for people.
        paper: Title, venue and arXiv number.
        checkpoint: Its weights: a safetensors copy on the hub, and the address of the authors' own file.
        training_data: What the weights were trained on. Their boxes are supervised by the classes of this data.
        numbers: Published figures of these weights.
    """

    name: str
    method: str
    title: str
    paper: str
    checkpoint: Checkpoint
    training_data: str
    numbers: tuple[PaperNumber, ...]


@cache
def detectors() -> Mapping[str, Detector]:
    """Return all known detectors by name, the preferred first."""
    record = json.loads((resources.files("basrelief.models") / "detectors.json").read_text(encoding="utf-8"))
    return {name: _detector(name, entry) for name, entry in record.items()}


def _detector(name: str, entry: Mapping[str, Any]) -> Detector:
    numbers = tuple(PaperNumber(**number) for number in entry["numbers"])
    return Detector(name=name, **{**entry, "checkpoint": Checkpoint(**entry["checkpoint"]), "numbers": numbers})
