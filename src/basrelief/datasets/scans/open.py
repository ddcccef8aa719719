"""Open a folder of annotated scans: recognise its layout, list the scans of one split."""

from __future__ import annotations

from pathlib import Path

from basrelief.datasets.layouts.base import subfolders
from basrelief.datasets.scans import scannet, sunrgbd, votenet
from basrelief.datasets.scans.classes import scan_classes
from basrelief.datasets.scans.layout import ScanLayout
from basrelief.datasets.scans.scan_set import ScanSet
from basrelief.errors import ConfigError, unknown_choice
from basrelief.limits import limits
from basrelief.types import Finding

SCAN_LAYOUTS: tuple[ScanLayout, ...] = (scannet.RELEASE, votenet.EXPORT, sunrgbd.EXPORT)
"""All layouts, in the order in which they are tried."""

SPLITS = ("train", "val", "test")


def open_scans(root: str | Path, name: str | None = None, *, split: str = "val", classes: str | None = None) -> ScanSet:
    """Open a data set of scans as it was unpacked. Scans are read later, one at a time, by `ScanItem.load`.

    Args:
        root: The folder that was unpacked.
        name: `scannet` or `sunrgbd`; None to find out.
        split: `train`, `val` or `test`.
        classes: Label set that boxes are labelled with, e.g. `scannet-ov3det`; that of the data set when None.

    Raises:
        ConfigError: If a name is unknown, the folder has no layout that can be read, or it has no scan of the split.
        FileFormatError: If the list of the split is broken.
    """
    folder = Path(root)
    names = tuple(dict.fromkeys(layout.dataset for layout in SCAN_LAYOUTS))
    if name is not None and name not in names:
        raise ConfigError(unknown_choice("data set of scans", name, names))
    if split not in SPLITS:
        raise ConfigError(unknown_choice("split", split, SPLITS))
    if not folder.is_dir():
        raise ConfigError(f"{str(root)!r} is not a folder. Pass the folder of the unpacked data set.")
    found = _layout(folder, name)
    if found is None:
        shown = "; ".join(layout.shown for layout in SCAN_LAYOUTS if name in (None, layout.dataset))
        raise ConfigError(f"{folder.name!r} does not look like {name or 'a data set of scans'}. Looked for: {shown}.")
    layout, home = found
    return _open(layout, home, folder, split, classes or layout.dataset)


def holds_scans(root: str | Path) -> bool:
    """Return whether a folder has the layout of a data set of scans."""
    return _layout(Path(root), None) is not None


def _layout(folder: Path, name: str | None) -> tuple[ScanLayout, Path] | None:
    """Return the first layout that fits, with its top folder; a folder that holds nothing but one other folder is that one."""
    place = folder
    for _ in range(limits().nesting):
        for layout in SCAN_LAYOUTS:
            if name in (None, layout.dataset) and (home := layout.home(place)):
                return layout, home
        if len(inner := subfolders(place)) != 1:
            return None
        place = inner[0]
    return None


def _open(layout: ScanLayout, home: Path, root: Path, split: str, classes: str) -> ScanSet:
    chosen = scan_classes(classes)
    if chosen.dataset != layout.dataset:
        raise ConfigError(f"{classes!r} are classes of {chosen.dataset}, but {root.name!r} is {layout.dataset}. Leave them out.")
    scans, findings = layout.find(home, split, chosen)
    if not scans:
        raise ConfigError(f"{root.name!r} has no scan of the {split} split of {layout.dataset}. Check the path, or pass --split.")
    recognised = Finding("layout", "ok", f"{layout.name}: {layout.shown}.")
    return ScanSet(layout.dataset, layout.name, split, root, chosen, scans, (recognised, *findings))
