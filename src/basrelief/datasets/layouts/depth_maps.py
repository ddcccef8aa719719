"""OpenDlign's depth-map sets: `ID+CLASS_dm.npy` for evaluation. They hold rendered views, not shapes."""

from __future__ import annotations

from pathlib import Path

from basrelief.datasets.card import list_datasets
from basrelief.datasets.labels import label_set, list_label_sets
from basrelief.datasets.layouts.base import Contents, Layout, Wanted, files, item, numbered, ordered, words

_END = "_dm.npy"


def _home(root: Path) -> Path | None:
    return next((home for home in (root, root / "depth_map") if any(path.name.endswith(_END) for path in files(home, ".npy"))), None)


def _read(home: Path, wanted: Wanted) -> Contents:
    paths = [path for path in files(home, ".npy") if path.name.endswith(_END)]
    classes = {path: path.name.removesuffix(_END).partition("+")[2] for path in paths}
    named = {name for name in classes.values() if name}
    known = label_set(wanted.name) if wanted.name in list_label_sets() else ()
    labels = ordered(named, known) if known else tuple(sorted({words(name) for name in named}))
    number = numbered(named, labels)
    items = [item(home, path, number[name]) for path, name in classes.items() if name]
    bare = len(paths) - len(items)
    notes = (f"{bare:,} depth maps have no class in their name and are left out.",) if bare else ()
    reason = "depth maps are already rendered; their axis cannot change"
    name = wanted.name if wanted.name in list_datasets() else ""
    return Contents(name, "all", labels, tuple(sorted(items, key=lambda i: (i.label, i.id))), None, reason, kind="depth_maps", notes=notes)


DEPTH_MAPS = Layout("opendlign-depth-maps", (), _home, _read, "ID+CLASS_dm.npy")
