"""OpenShape's files: `test_pc.npy` with `test_split.json` (ModelNet40), `xyz_label.npy` (ScanObjectNN), splits of clouds (Objaverse-LVIS).

The files are pickles; `basrelief.io.formats.objects` reads them without executing code. The clouds are +Y up. OpenShape swaps y and z,
which mirrors a shape; here they are rotated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from basrelief.datasets.card import dataset_card
from basrelief.datasets.layouts.base import Contents, Layout, Wanted, inside, item, numbered, ordered, read_json, words
from basrelief.datasets.layouts.rows import checked_labels
from basrelief.errors import FileFormatError
from basrelief.io.formats.objects import read_objects

_UP_Y = "OpenShape stores clouds +Y up"


def _find(root: Path, *names: str) -> Path | None:
    homes = (
        root,
        root / "meta_data",
        *(base / part for base in (root, root / "meta_data") for part in ("modelnet40", "scanobjectnn", "objaverse_lvis")),
    )
    return next((home for home in homes if all((home / name).is_file() for name in names)), None)


def _read_modelnet(home: Path, _: Wanted) -> Contents:
    names = [_text(entry, "category", home / "test_split.json") for entry in _entries(home / "test_split.json")]
    order = home / "cat_name_pt_feat.npy"
    known = [str(name) for name in _record(order)] if order.is_file() else dataset_card("modelnet40").class_names
    labels = tuple(words(name) for name in known) if order.is_file() else ordered(names, known)
    number = numbered(set(names), labels)
    if missing := sorted(set(names) - set(number)):
        raise FileFormatError(f"test_split.json names class {missing[0]!r}, which cat_name_pt_feat.npy lacks. Download both again.")
    items = tuple(item(home, home / "test_pc.npy", number[name], row) for row, name in enumerate(names))
    return Contents("modelnet40", "test", labels, items, "y", _UP_Y)


def _read_scanobjectnn(home: Path, _: Wanted) -> Contents:
    path, labels = home / "xyz_label.npy", dataset_card("scanobjectnn").class_names
    record = _record(path)
    if not all(isinstance(record.get(key), np.ndarray) and record[key].ndim for key in ("xyz", "label")):
        raise FileFormatError("xyz_label.npy lacks the arrays `xyz` and `label`. Download the file again.")
    numbers = checked_labels(record["label"].reshape(-1), rows=len(record["xyz"]), classes=len(labels), path=path)
    items = tuple(item(home, path, label, row) for row, label in enumerate(numbers))
    note = "Training and test objects together: not the 581 of the test split that OpenDlign's figures are on."
    return Contents("scanobjectnn", "all", labels, items, "y", _UP_Y, "OBJ_ONLY", notes=(note,))


def _read_objaverse(home: Path, _: Wanted) -> Contents:
    listed = home / "lvis.json"
    entries = [(_text(entry, "category", listed), _text(entry, "data_path", listed)) for entry in _entries(listed)]
    names = sorted({name for name, _ in entries})
    found = [(names.index(name), inside(home, path_below(home, path))) for name, path in entries]
    items = tuple(item(home, path, label) for label, path in found if path.is_file())
    absent = len(found) - len(items)
    notes = (f"{absent:,} shapes of the list are missing.",) if absent else ()
    return Contents("objaverse-lvis", "all", tuple(words(name) for name in names), items, "y", _UP_Y, notes=notes)


def _record(path: Path) -> dict[Any, Any]:
    """Return the dictionary in a pickled array file."""
    stored = read_objects(path)
    found = stored.reshape(-1)[0] if stored.size == 1 else None
    if not isinstance(found, dict):
        raise FileFormatError(f"{path.name} does not hold a dictionary. Download the file again.")
    return found


def path_below(home: Path, path: str) -> str:
    """Convert a listed absolute path to one relative to `home`: its longest existing tail, else its last two parts."""
    parts = [part for part in Path(path).parts if part not in ("/", "..", ".")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if (home / end).is_file()), "/".join(parts[-2:]))


def _entries(path: Path) -> list[Any]:
    record = read_json(path)
    if not isinstance(record, list):
        raise FileFormatError(f"{path.name} holds a {type(record).__name__}; expected a JSON list. Download it again.")
    return record


def _text(entry: Any, key: str, path: Path) -> str:  # noqa: ANN401 - anything may stand in a file
    if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
        raise FileFormatError(f"{path.name} has an entry without a text {key!r}. Download it again.")
    return str(entry[key])


MODELNET = Layout(
    "openshape-modelnet40",
    ("modelnet40",),
    lambda root: _find(root, "test_pc.npy", "test_split.json"),
    _read_modelnet,
    "test_pc.npy and test_split.json",
)
SCANOBJECTNN = Layout(
    "openshape-scanobjectnn", ("scanobjectnn",), lambda root: _find(root, "xyz_label.npy"), _read_scanobjectnn, "xyz_label.npy"
)
OBJAVERSE = Layout(
    "openshape-lvis", ("objaverse-lvis",), lambda root: _find(root, "lvis.json"), _read_objaverse, "lvis.json and clouds *.npy"
)
