"""ModelNet as PointNet packed it: HDF5 of 2,048 points (`modelnet40_ply_hdf5_2048`), text of 10,000 (`modelnet40_normal_resampled`)."""

from __future__ import annotations

from pathlib import Path

from basrelief.datasets.layouts.base import Contents, Layout, Wanted, files, inside, item, numbered, read_lines, words
from basrelief.datasets.layouts.rows import row_labels
from basrelief.errors import ConfigError, FileFormatError, unknown_choice

_UP_Y = "PointNet's copies of ModelNet are +Y up: its augmentation turns them about y"


def _h5_home(root: Path) -> Path | None:
    return next(
        (home for home in (root, root / "modelnet40_ply_hdf5_2048") if files(home, ".h5") and (home / "shape_names.txt").is_file()), None
    )


def _read_h5(home: Path, wanted: Wanted) -> Contents:
    if wanted.split not in ("train", "test"):
        raise ConfigError(unknown_choice("split", wanted.split, ("train", "test")))
    labels = tuple(words(line) for line in read_lines(home / "shape_names.txt"))
    listed = home / f"{wanted.split}_files.txt"
    names = [Path(line).name for line in read_lines(listed)] if listed.is_file() else []
    paths = [inside(home, name) for name in names] or [
        path for path in files(home, ".h5") if path.name.startswith(f"ply_data_{wanted.split}")
    ]
    items = [item(home, path, label, row) for path in paths for row, label in enumerate(row_labels(path, len(labels)))]
    return Contents("modelnet40", wanted.split, labels, tuple(items), "y", _UP_Y, by_number=True)


def _txt_home(root: Path) -> Path | None:
    homes = (root, root / "modelnet40_normal_resampled")
    return next((home for home in homes if home.is_dir() and list(home.glob("modelnet*_shape_names.txt"))), None)


def _read_txt(home: Path, wanted: Wanted) -> Contents:
    name = wanted.name or ("modelnet40" if (home / "modelnet40_shape_names.txt").is_file() else "modelnet10")
    listed = home / f"{name}_{wanted.split}.txt"
    if not listed.is_file():
        raise ConfigError(f"{home.name!r} has no {listed.name}. Use split train or test, or download the list.")
    labels = tuple(words(line) for line in read_lines(home / f"{name}_shape_names.txt"))
    lines = read_lines(listed)
    folder = {line: line.rpartition("_")[0] for line in lines}
    number = numbered(set(folder.values()), labels)
    for line in lines:
        if folder[line] not in number:
            raise FileFormatError(f"{listed.name} names {line!r}; expected a known class and a number, as in chair_0001. Check the list.")
    items = [item(home, inside(home, f"{folder[line]}/{line}.txt"), number[folder[line]]) for line in lines]
    return Contents(name, wanted.split, labels, tuple(items), "y", _UP_Y)


HDF5 = Layout("modelnet-h5", ("modelnet40",), _h5_home, _read_h5, "shape_names.txt and ply_data_{train,test}*.h5")
RESAMPLED = Layout(
    "modelnet-txt",
    ("modelnet10", "modelnet40"),
    _txt_home,
    _read_txt,
    "modelnet40_shape_names.txt, modelnet40_{train,test}.txt, CLASS/*.txt",
)
