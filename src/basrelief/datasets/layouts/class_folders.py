"""Class folders: `CLASS/*`, `CLASS/SPLIT/*` (ModelNet), `SPLIT/CLASS/*`, shapes of any format; OmniObject3D's `POINTS/CLASS/*.ply`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from basrelief.datasets.card import dataset_card
from basrelief.datasets.layouts.base import Contents, Layout, Wanted, files, item, numbered, ordered, plain, subfolders, words
from basrelief.errors import ConfigError, unknown_choice
from basrelief.io import FORMATS

_SUFFIXES = tuple(f".{name}" for name in FORMATS if name != "txt")
_SPLITS = ("train", "val", "test")
_COUNTS = ("1024", "4096", "16384")
_ASSUMED = "each format's own rule"


def _modelnet_home(root: Path) -> Path | None:
    return root if any(files(folder / split, ".off") for folder in subfolders(root) for split in ("train", "test")) else None


def _read_modelnet(home: Path, wanted: Wanted) -> Contents:
    folders = [folder for folder in subfolders(home) if any((folder / split).is_dir() for split in _SPLITS)]
    name = wanted.name or _modelnet_name({plain(folder.name) for folder in folders})
    labels = ordered((folder.name for folder in folders), dataset_card(name).class_names if name else ())
    number = numbered((folder.name for folder in folders), labels)
    items = (item(home, file, number[folder.name]) for folder in folders for file in files(folder / wanted.split, ".off"))
    variant = "aligned" if "align" in home.resolve().name.lower() else ""
    up, reason = ("z", "ModelNet's OFF files are +Z up") if name else (None, _ASSUMED)
    return Contents(name, wanted.split, labels, tuple(sorted(items, key=lambda i: (i.label, i.id))), up, reason, variant)


def _modelnet_name(classes: set[str]) -> str:
    """Return `modelnet10` or `modelnet40`, the smaller one that has all these classes, or an empty string."""
    known = {name: {plain(label) for label in dataset_card(name).class_names} for name in ("modelnet10", "modelnet40")}
    return next((name for name, labels in known.items() if classes <= labels), "")


def _omni_home(root: Path) -> Path | None:
    counts = [root / count for count in _COUNTS]
    if any(files(folder, ".ply") for count in counts if count.is_dir() for folder in subfolders(count)):
        return root
    own = plain(root.name) in _COUNTS and any(files(folder, ".ply") for folder in subfolders(root))
    return root.parent if own else None


def _read_omni(home: Path, wanted: Wanted) -> Contents:
    variant = wanted.variant or dataset_card("omniobject3d").default_variant
    if variant not in _COUNTS or not (home / variant).is_dir():
        raise ConfigError(unknown_choice("variant", variant, [count for count in _COUNTS if (home / count).is_dir()]))
    folders = subfolders(home / variant)
    labels = ordered((folder.name for folder in folders), dataset_card("omniobject3d").class_names)
    number = numbered((folder.name for folder in folders), labels)
    items = (item(home, file, number[folder.name]) for folder in folders for file in files(folder, ".ply"))
    reason = "scans of OmniObject3D are +Z up (not verified: look at one)"
    return Contents("omniobject3d", "all", labels, tuple(sorted(items, key=lambda i: (i.label, i.id))), "z", reason, variant)


def _any_home(root: Path) -> Path | None:
    folders = subfolders(root)
    deeper = (inner for folder in folders for inner in subfolders(folder))
    return root if any(_shapes(folder) for folder in (*folders, *deeper)) else None


def _read_any(home: Path, wanted: Wanted) -> Contents:
    splits = [home / split for split in _SPLITS if _holds_classes(home / split)]
    if splits:  # SPLIT/CLASS/*
        classes = {folder.name for split in splits for folder in subfolders(split)}
        found = ((folder.name, _shapes(folder)) for folder in subfolders(home / wanted.split)) if (home / wanted.split).is_dir() else ()
        return _of_classes(home, wanted.split, classes, found)
    folders = subfolders(home)
    below = any(_shapes(folder / split) for folder in folders for split in _SPLITS)
    split = wanted.split if below else "all"
    pairs = ((folder.name, _shapes(folder / split if below else folder)) for folder in folders)
    return _of_classes(home, split, {folder.name for folder in folders}, pairs)


def _holds_classes(split: Path) -> bool:
    """Return whether a folder named like a split contains class folders; a class may be called `train`, too."""
    return split.is_dir() and not _shapes(split) and any(_shapes(folder) for folder in subfolders(split))


def _of_classes(home: Path, split: str, classes: Iterable[str], found: Iterable[tuple[str, list[Path]]]) -> Contents:
    shapes = {name: paths for name, paths in found if paths}
    classes = [name for name in classes if name in shapes or split != "all"]
    labels = tuple(sorted({words(name) for name in classes}))
    number = numbered(classes, labels)
    items = (item(home, path, number[name]) for name, paths in shapes.items() for path in paths)
    return Contents("", split, labels, tuple(sorted(items, key=lambda i: (i.label, i.id))), None, _ASSUMED)


def _shapes(folder: Path) -> list[Path]:
    return [path for path in files(folder, *_SUFFIXES) if not path.name.endswith("_dm.npy")]


MODELNET = Layout("modelnet-off", ("modelnet10", "modelnet40"), _modelnet_home, _read_modelnet, "CLASS/{train,test}/*.off")
OMNIOBJECT = Layout("omniobject3d", ("omniobject3d",), _omni_home, _read_omni, "{1024,4096,16384}/CLASS/*.ply")
CLASS_FOLDERS = Layout("class-folders", (), _any_home, _read_any, "CLASS/*, CLASS/{train,val,test}/* or {train,val,test}/CLASS/*")
