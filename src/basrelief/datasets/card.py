"""Data cards: what a published data set should hold, as data (one JSON file each in `cards/`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

from basrelief.datasets.labels import label_set
from basrelief.errors import ConfigError, unknown_choice


@dataclass(frozen=True)
class DatasetCard:
    """Facts about a published data set.

    Attributes:
        name: What users type.
        title: Its own name.
        labels: Name of its label set; empty where the class names come with the user's files.
        counts: Shapes or scans of each split, by variant; `all` for files that know no split.
        source: Where the numbers are from.
        licence: Of the data, in words.
        default_variant: Which variant is read when none is named.
        variant_notes: Which variant the papers report; empty where there is one.
        classes: Number of classes where there is no label set.
        checksums: SHA-256 by file name, where known.
        notes: What a user should know.
        kind: `shapes`, which `open_benchmark` reads, or `scans`, which `open_scans` reads.
    """

    name: str
    title: str
    labels: str
    counts: Mapping[str, Mapping[str, int]]
    source: str
    licence: str
    default_variant: str = ""
    variant_notes: str = ""
    classes: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    kind: Literal["shapes", "scans"] = "shapes"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels in class order; empty where they come with the user's files."""
        return label_set(self.labels) if self.labels else ()

    def count(self, variant: str, split: str) -> int | None:
        """Shapes or scans that a split of a variant should hold, or None where that is not known."""
        return self.counts.get(variant, {}).get(split)


@cache
def list_datasets() -> tuple[str, ...]:
    """List the names of the data sets that have a card, alphabetically."""
    folder = resources.files(__package__) / "cards"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


@cache
def dataset_card(name: str) -> DatasetCard:
    """Look up a data card.

    Args:
        name: One of `list_datasets()`.

    Raises:
        ConfigError: If there is no card of that name.
    """
    if name not in list_datasets():
        raise ConfigError(unknown_choice("dataset", name, list_datasets()))
    text = (resources.files(__package__) / "cards" / f"{name}.json").read_text(encoding="utf-8")
    return DatasetCard(**json.loads(text))
