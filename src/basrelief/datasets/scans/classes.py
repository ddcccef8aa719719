"""Classes of scan data sets: their names, numbers in the files, and other wordings. Data in `datasets/labels/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from basrelief.datasets.labels import label_set


@dataclass(frozen=True)
class ScanClasses:
    """The classes that boxes of a data set are labelled with.

    Attributes:
        name: Name of the label set.
        names: C names, in class order.
        numbers: Number of each class in the files, e.g. its NYU40 id.
        synonyms: Other wordings of a class, by name; a class without any is left out.
        catch_all: Classes whose name fits only part of their boxes; report means with and without them.
    """

    name: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    synonyms: Mapping[str, tuple[str, ...]]
    catch_all: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return C."""
        return len(self.names)

    def wordings(self, name: str) -> tuple[str, ...]:
        """Return the name of a class, followed by its synonyms."""
        return (name, *self.synonyms.get(name, ()))


@cache
def scan_classes(name: str) -> ScanClasses:
    """Look up the classes of a scan data set.

    Args:
        name: A label set with class numbers: `scannet`, `scannet-ov3det` or `sunrgbd`.

    Raises:
        ConfigError: If there is no label set of that name.
    """
    names = label_set(name)
    record = json.loads((resources.files("basrelief.datasets") / "labels" / f"{name}.json").read_text(encoding="utf-8"))
    synonyms = MappingProxyType({label: tuple(words) for label, words in record.get("synonyms", {}).items()})
    return ScanClasses(name, names, tuple(record.get("numbers", range(len(names)))), synonyms, tuple(record.get("catch_all", ())))
