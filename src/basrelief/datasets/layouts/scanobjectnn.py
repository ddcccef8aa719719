"""ScanObjectNN's HDF5 files: six variants, which are often confused, each with five train/test splits."""

from __future__ import annotations

from pathlib import Path

from basrelief.datasets.card import dataset_card
from basrelief.datasets.layouts.base import Contents, Layout, Wanted, item
from basrelief.datasets.layouts.rows import row_labels
from basrelief.errors import ConfigError, unknown_choice

_FOLDERS = ("main_split", "split1", "split2", "split3", "split4")
_ENDS = {
    "OBJ_ONLY": ("_nobg", ""),
    "OBJ_BG": ("", ""),
    "PB_T25": ("", "_augmented25_norot"),
    "PB_T25_R": ("", "_augmented25rot"),
    "PB_T50_R": ("", "_augmentedrot"),
    "PB_T50_RS": ("", "_augmentedrot_scale75"),
}
"""Suffixes of folder name and file name for each variant."""


def _home(root: Path) -> Path | None:
    homes = (root, root / "h5_files")
    return next((home for home in homes if any((home / f"{name}{end}").is_dir() for name in _FOLDERS for end in ("", "_nobg"))), None)


def _read(home: Path, wanted: Wanted) -> Contents:
    card = dataset_card("scanobjectnn")
    variant, _, folder = (wanted.variant or card.default_variant).partition("@")
    folder = folder or "main_split"
    if variant not in _ENDS:
        raise ConfigError(unknown_choice("variant", variant, _ENDS))
    if folder not in _FOLDERS:
        raise ConfigError(unknown_choice("variant", wanted.variant, [f"{variant}@{name}" for name in _FOLDERS]))
    if wanted.split not in ("train", "test"):
        raise ConfigError(unknown_choice("split", wanted.split, ("train", "test")))
    part, file = _ENDS[variant]
    start = "training" if wanted.split == "train" else "test"
    path = home / f"{folder}{part}" / f"{start}_objectdataset{file}.h5"
    if not path.is_file():
        raise ConfigError(
            f"{home.name!r} has no {path.relative_to(home).as_posix()}, which {variant} needs. Unpack it, or name another --variant."
        )
    labels = card.class_names
    items = tuple(item(home, path, label, row) for row, label in enumerate(row_labels(path, len(labels))))
    name = variant if folder == "main_split" else f"{variant}@{folder}"
    return Contents(
        "scanobjectnn", wanted.split, labels, items, "y", "ScanObjectNN's HDF5 files are +Y up (not verified: look at one)", name
    )


SCANOBJECTNN = Layout(
    "scanobjectnn", ("scanobjectnn",), _home, _read, "h5_files/{main_split,main_split_nobg}/{training,test}_objectdataset*.h5"
)
