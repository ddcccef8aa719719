"""ShapeNetCore v2 as unpacked (`SYNSET/ID/models/model_normalized.obj`); ShapeNet55's clouds (`shapenet_pc/SYNSET-ID.npy` and lists)."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path

from basrelief.datasets.card import dataset_card
from basrelief.datasets.layouts.base import Contents, Layout, Wanted, files, inside, item, read_lines, subfolders
from basrelief.errors import ConfigError, FileFormatError

_SYNSET = re.compile(r"0\d{7}")
_LISTS = ("ShapeNet-55", "ShapeNet55", ".")


@cache
def synsets() -> dict[str, str]:
    """Return the labels of the 55 synsets of ShapeNetCore v2 by synset id."""
    text = (resources.files("basrelief.datasets") / "synsets.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["synsets"])


def _core_home(root: Path) -> Path | None:
    for home in (root, root / "ShapeNetCore.v2"):
        if home.is_dir() and any(
            _mesh(model) for folder in subfolders(home) if _SYNSET.fullmatch(folder.name) for model in subfolders(folder)[:3]
        ):
            return home
    return None


def _read_core(home: Path, _: Wanted) -> Contents:
    labels, names = dataset_card("shapenet55").class_names, synsets()
    folders = [folder for folder in subfolders(home) if folder.name in names]
    pairs = ((folder, mesh) for folder in folders for model in subfolders(folder) if (mesh := _mesh(model)))
    items = [item(home, mesh, labels.index(names[folder.name])) for folder, mesh in pairs]
    return Contents("shapenet55", "all", labels, tuple(sorted(items, key=lambda i: (i.label, i.id))), "y", "ShapeNetCore is +Y up", "")


def _mesh(model: Path) -> Path | None:
    found = (path for path in (model / "models" / "model_normalized.obj", model / "model.obj") if path.is_file())
    return next((path for path in found if path.resolve().is_relative_to(model.resolve())), None)


def _clouds_home(root: Path) -> Path | None:
    return root if files(root / "shapenet_pc", ".npy") else None


def _read_clouds(home: Path, wanted: Wanted) -> Contents:
    listed = next((home / name / f"{wanted.split}.txt" for name in _LISTS if (home / name / f"{wanted.split}.txt").is_file()), None)
    if listed is None:
        raise ConfigError(f"{home.name!r} has no ShapeNet-55/{wanted.split}.txt. Use split train or test, or download the list.")
    labels, names = dataset_card("shapenet55").class_names, synsets()
    items = []
    for line in read_lines(listed):
        synset = line.partition("-")[0]
        if synset not in names:
            raise FileFormatError(f"{listed.name} names {line!r}; expected SYNSET-ID.npy of a known synset. Check the list.")
        items.append(item(home, inside(home, f"shapenet_pc/{line}"), labels.index(names[synset])))
    return Contents("shapenet55", wanted.split, labels, tuple(items), "y", "ShapeNetCore is +Y up")


CORE = Layout("shapenet-core", ("shapenet55",), _core_home, _read_core, "SYNSET/ID/models/model_normalized.obj")
CLOUDS = Layout("shapenet55-npy", ("shapenet55",), _clouds_home, _read_clouds, "shapenet_pc/SYNSET-ID.npy and ShapeNet-55/{train,test}.txt")
