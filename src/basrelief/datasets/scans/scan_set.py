"""A set of annotated scans, read one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from basrelief.datasets.card import DatasetCard, dataset_card
from basrelief.datasets.scans.classes import ScanClasses
from basrelief.errors import FileFormatError, GeometryError
from basrelief.geometry.boxes import Boxes
from basrelief.types import Finding, Mesh, Shape


@dataclass(frozen=True, eq=False)
class AnnotatedScan:
    """A scan with a labelled box for each object.

    Attributes:
        shape: Mesh or point cloud in metres, +Z up, aligned as the data set aligns it.
        boxes: M boxes in the frame of `shape`.
        labels: (M,) int64, class of each box, an index into `ScanSet.class_names`.
        instances: (N,) int64, for each point or vertex the row of its box; -1 for none. None if the files do not say.
        findings: What is unusual about this scan.

    Raises:
        GeometryError: If the fields do not agree in length.
    """

    shape: Shape
    boxes: Boxes
    labels: Int64[np.ndarray, " boxes"]
    instances: Int64[np.ndarray, " points"] | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Check that every box has a label and every point an instance."""
        count = len(self.shape.vertices if isinstance(self.shape, Mesh) else self.shape.points)
        if len(self.labels) != len(self.boxes):
            raise GeometryError(f"There are {len(self.labels)} labels for {len(self.boxes)} boxes. Pass one for each box.")
        if self.instances is not None and len(self.instances) != count:
            raise GeometryError(f"There are {len(self.instances)} instances for {count} points. Pass one for each point.")


@dataclass(frozen=True)
class ScanItem:
    """One scan of a set, not read yet.

    Attributes:
        id: Its name in the data set, e.g. `scene0568_00`.
        path: Its main file.
        read: Reads it.
    """

    id: str
    path: Path
    read: Callable[[], AnnotatedScan] = field(repr=False, compare=False)

    def load(self) -> AnnotatedScan:
        """Read the scan with its boxes.

        Raises:
            FileFormatError: If a file of this scan is missing or broken; other scans can still be read.
        """
        try:
            return self.read()
        except FileFormatError as error:
            raise FileFormatError(f"Scan {self.id} cannot be used: {error}") from error
        except GeometryError as error:
            raise FileFormatError(f"Scan {self.id} cannot be used: {error} Unpack it again.") from error


@dataclass(frozen=True)
class ScanSet:
    """One split of a data set of scans, found on disk by `open_scans`.

    Attributes:
        name: Name of its data card.
        layout: How it lies on disk.
        split: `train`, `val` or `test`.
        root: The folder that was given.
        classes: The classes that boxes are labelled with; boxes of others are left out.
        scans: The scans of the split, in the order of its list.
        findings: What was checked: layout, split, alignment.
    """

    name: str
    layout: str
    split: str
    root: Path
    classes: ScanClasses
    scans: tuple[ScanItem, ...]
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.scans)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in class order."""
        return self.classes.names

    @property
    def card(self) -> DatasetCard:
        """The data card: source, licence, counts of scans."""
        return dataset_card(self.name)
