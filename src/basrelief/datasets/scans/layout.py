"""What the readers of scan layouts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.scan_set import ScanItem
from basrelief.types import Finding


@dataclass(frozen=True)
class ScanLayout:
    """A way to store a data set of scans on disk.

    Attributes:
        name: Its name.
        dataset: Name of the data card of what it holds.
        home: Function that finds the top folder of the layout in the folder of the user; None if the layout is another one.
        find: Function that lists the scans of a split, given that top folder, the split and the classes, with what was noticed.
        shown: Files that identify the layout, for messages.
    """

    name: str
    dataset: str
    home: Callable[[Path], Path | None]
    find: Callable[[Path, str, ScanClasses], tuple[tuple[ScanItem, ...], tuple[Finding, ...]]]
    shown: str
