"""Classes of scan data sets: their names, numbers in the files, and other wordings. Data in `datasets/labels/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Int, Int64

from basrelief.datasets.labels import label_set, list_label_sets
from basrelief.errors import ConfigError, unknown_choice


@dataclass(frozen=True)
class ScanClasses:
    """The classes that boxes of a data set are labelled with.

    Attributes:
        name: Name of the label set.
        dataset: Name of the data set whose files have these numbers.
        names: C names, in class order.
        numbers: Number of each class in the files, e.g. its NYU40 id.
        synonyms: Other wordings of a class, by name; a class without any is left out.
        catch_all: Classes whose name fits only part of their boxes; report means with and without them.
    """

    name: str
    dataset: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    synonyms: Mapping[str, tuple[str, ...]]
    catch_all: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return C."""
        return len(self.names)

    def places(self, numbers: Int[np.ndarray, " values"]) -> Int64[np.ndarray, " values"]:
        """Return the class of each number of the files, an index into `names`; -1 if it is none of the classes."""
        order = np.argsort(self.numbers)
        ordered = np.array(self.numbers)[order]
        at = np.searchsorted(ordered, numbers).clip(max=len(ordered) - 1)
        return np.where(ordered[at] == numbers, order[at], -1).astype(np.int64)

    def wordings(self, name: str) -> tuple[str, ...]:
        """Return the name of a class, followed by its synonyms."""
        return (name, *self.synonyms.get(name, ()))


@cache
def scan_classes(name: str) -> ScanClasses:
    """Look up the classes of a scan data set.

    Args:
        name: A label set with class numbers: `scannet`, `scannet-ov3det` or `sunrgbd`.

    Raises:
        ConfigError: If there is no such label set.
    """
    known = [known for known in list_label_sets() if "dataset" in _record(known)]
    if name not in known:
        raise ConfigError(unknown_choice("classes of scans", name, known))
    record = _record(name)
    synonyms = MappingProxyType({label: tuple(words) for label, words in record["synonyms"].items()})
    return ScanClasses(name, record["dataset"], label_set(name), tuple(record["numbers"]), synonyms, tuple(record.get("catch_all", ())))


@cache
def _record(name: str) -> dict[str, Any]:
    return dict(json.loads((resources.files("basrelief.datasets") / "labels" / f"{name}.json").read_text(encoding="utf-8")))
