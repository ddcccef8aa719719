"""Objaverse-LVIS: `lvis-annotations.json.gz`, a list of shapes for each class, and the shapes in `glbs/000-xxx/UID.glb`."""

from __future__ import annotations

from pathlib import Path

from basrelief.datasets.layouts.base import Contents, Layout, Wanted, files, item, read_json, subfolders, words
from basrelief.errors import FileFormatError

_LIST = "lvis-annotations.json.gz"


def _home(root: Path) -> Path | None:
    homes = (root, root / "hf-objaverse-v1")
    return next((home for home in homes if (home / _LIST).is_file() and (home / "glbs").is_dir()), None)


def _read(home: Path, _: Wanted) -> Contents:
    record = read_json(home / _LIST)
    if not isinstance(record, dict) or not all(
        isinstance(uids, list) and all(isinstance(u, str) for u in uids) for uids in record.values()
    ):
        raise FileFormatError(f"{_LIST} is not a JSON object of lists of names. Download it again.")
    paths = {path.stem: path for folder in subfolders(home / "glbs") for path in files(folder, ".glb")}
    names = sorted(record)
    present = [(i, uid) for i, name in enumerate(names) for uid in sorted(record[name]) if uid in paths]
    absent = sum(len(set(uids)) for uids in record.values()) - len(present)
    notes = (f"{absent:,} shapes of the list are missing in glbs/.",) if absent else ()
    items = tuple(item(home, paths[uid], i) for i, uid in present)
    return Contents(
        "objaverse-lvis", "all", tuple(words(name) for name in names), items, None, "glTF is +Y up by its specification", notes=notes
    )


OBJAVERSE = Layout("objaverse-lvis", ("objaverse-lvis",), _home, _read, f"{_LIST} and glbs/000-xxx/UID.glb")
