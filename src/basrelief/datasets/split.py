"""Which makers of labelled shapes are for training, validation and test: data with reasons in `splits/makers.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class MakerSplit:
    """A split by whole packs and creators.

    Attributes:
        validation: Packs and creators whose shapes choose settings.
        test: Packs and creators whose shapes are only reported.
        seeds: Ranges `[first, end)` of seeds for generated shapes, by part.
    """

    validation: tuple[str, ...]
    test: tuple[str, ...]
    seeds: Mapping[str, tuple[tuple[int, int], ...]]

    def part(self, group: str) -> Part:
        """Return the part that a group belongs to, e.g. of `KayKit Furniture Bits / Kay Lousberg`."""
        if any(name in group for name in self.test):
            return "test"
        return "validation" if any(name in group for name in self.validation) else "train"


@cache
def maker_split() -> MakerSplit:
    """Return the split that training, benchmarks and tests share."""
    text = (resources.files(__package__) / "splits" / "makers.json").read_text(encoding="utf-8")
    record = json.loads(text)
    validation, test = (tuple(name for entry in record[part] for name in entry["makers"]) for part in ("validation", "test"))
    seeds = {part: tuple((first, end) for first, end in ranges) for part, ranges in record["seeds"].items()}
    return MakerSplit(validation, test, seeds)
