"""Generated rooms, scanned virtually, as a data set of annotated scans."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.scan_set import AnnotatedScan, ScanItem, ScanSet
from basrelief.errors import ConfigError
from basrelief.shapes.room_layouts import ROOM_WORDS
from basrelief.types import Finding

LEAST_POINTS = 5
"""Points of the scan that an object must have to count."""


def room_scans(seeds: Iterable[int], *, shapes: Path | None = None) -> ScanSet:
    """Return one virtual scan for each seed; a scan is made when it is loaded.

    True boxes are those of whole objects, their hidden sides included. Objects of which the scan has fewer than five points are left out.

    Args:
        seeds: Seeds of rooms. Choose settings on seeds below 500,000, and report those of 1,000,000 and above.
        shapes: Folder with one folder of shapes for each label, used in place of generated ones where it has them; see `make_room`.

    Raises:
        ConfigError: If there is no seed.
    """
    scans = tuple(ScanItem(f"room-{seed}", (shapes or Path()) / f"room-{seed}", partial(_read, seed, shapes)) for seed in seeds)
    if not scans:
        raise ConfigError("There is no room to evaluate on. Pass seeds, e.g. --seeds 0-19.")
    classes = ScanClasses("rooms", "rooms", ROOM_WORDS, tuple(range(len(ROOM_WORDS))), {})
    from_files = f", with shapes of {shapes.name}" if shapes else ""
    finding = Finding("layout", "ok", f"{len(scans)} generated rooms of {len(ROOM_WORDS)} kinds of things, scanned virtually{from_files}.")
    return ScanSet("rooms", "generated", "all", Path(), classes, scans, (finding,))


def _read(seed: int, shapes: Path | None) -> AnnotatedScan:
    from basrelief.shapes.rooms import make_room
    from basrelief.shapes.virtual_scan import scan_room

    room = make_room(seed=seed, shapes=shapes)
    scan = scan_room(room, seed=seed)
    counts = np.bincount(scan.instances[scan.instances >= 0], minlength=len(room.labels))
    seen = np.flatnonzero(counts >= LEAST_POINTS)
    labels = np.array([ROOM_WORDS.index(room.labels[number]) for number in seen], dtype=np.int64)
    numbers = np.full(len(room.labels) + 1, -1, dtype=np.int64)  # the last entry is for points of no object
    numbers[seen] = np.arange(len(seen))
    hidden = len(room.labels) - len(seen)
    findings = (Finding("hidden objects", "ok", f"{hidden} objects are not in the scan and do not count."),) if hidden else ()
    return AnnotatedScan(scan.cloud, room.boxes[seen], labels, numbers[np.maximum(scan.instances, -1)], findings)
