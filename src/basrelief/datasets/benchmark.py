"""A benchmark: the labelled shapes of one split of one variant of a data set, as stored on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Shaped

from basrelief.checks import check_at_least
from basrelief.datasets.card import DatasetCard, dataset_card, list_datasets
from basrelief.datasets.labels import check_labels
from basrelief.errors import ConfigError, FileFormatError
from basrelief.io import load, split_row
from basrelief.io.checks import parser_errors
from basrelief.types import Finding, Shape

_MAX_VIEWS, _MAX_SIDE = 64, 1024


@dataclass(frozen=True)
class Item:
    """One labelled shape.

    Attributes:
        id: Its name within the benchmark, the same on every machine: the path below the root, `file.h5#12` for a row.
        label: Number of its class in `Benchmark.labels`.
        path: What `basrelief.load` reads, `file.h5#12` for a row of a file with many.
    """

    id: str
    label: int
    path: str


@dataclass(frozen=True)
class Benchmark:
    """One split of a data set, found on disk by `open_benchmark`.

    Attributes:
        name: Name of its data card, or of its folder where there is none.
        layout: How it lies on disk, one of `LAYOUTS`.
        variant: Which of several, e.g. `PB_T50_RS`; empty where there is one.
        split: `train`, `val` or `test`; `all` where the files know no split.
        root: The folder that was given.
        labels: C class names in the class order of the files.
        items: The shapes, sorted by class order, then name, or in the order of the file.
        up: Up axis of the stored files, or None for each format's own rule.
        up_reason: Where that axis is known from.
        findings: What was checked against the data card: labels, counts, order.
        kind: `shapes`, or `depth_maps` for files that hold drawn depth.

    Raises:
        ConfigError: If the labels fail `check_labels` or an item has none of them.
    """

    name: str
    layout: str
    variant: str
    split: str
    root: Path
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    up: str | None
    up_reason: str
    findings: tuple[Finding, ...] = ()
    kind: Literal["shapes", "depth_maps"] = "shapes"

    def __post_init__(self) -> None:
        """Check labels and items."""
        check_labels(self.labels)
        if not self.items:
            raise ConfigError(f"{self.root.name!r} has no shapes of the {self.split} split. Check the path.")
        for item in self.items:
            if not 0 <= item.label < len(self.labels):
                raise ConfigError(f"{item.id!r} has label {item.label}; expected 0 to {len(self.labels) - 1}. Check the list of classes.")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def card(self) -> DatasetCard | None:
        """The published data set's card, or None for a folder of the user's own."""
        return dataset_card(self.name) if self.name in list_datasets() else None

    def load(self, item: Item) -> Shape:
        """Read one shape in the world frame, see `basrelief.load`.

        Raises:
            FileFormatError: If the benchmark holds depth maps, or as `basrelief.load` does.
        """
        if self.kind != "shapes":
            raise FileFormatError(f"{item.id!r} holds depth maps, not a shape. Use load_depth_maps.")
        return load(item.path, up=self.up)

    def load_depth_maps(self, item: Item) -> Float32[np.ndarray, "views height width"]:
        """Read the depth maps of one item: bytes as shares of 255, as the original code does, other numbers as stored.

        Raises:
            FileFormatError: If the benchmark holds shapes, or the file is no array (V, H, W) of numbers, at most 64 views of 1,024 pixels.
        """
        if self.kind != "depth_maps":
            raise FileFormatError(f"{item.id!r} holds a shape, not depth maps. Use load.")
        maps = read_depth_maps(item.path)
        return np.asarray(maps, dtype=np.float32) / np.float32(255 if maps.dtype == np.uint8 else 1)

    def counts(self) -> dict[str, int]:
        """Shapes of each class, by name, in class order."""
        found = dict.fromkeys(self.labels, 0)
        for item in self.items:
            found[self.labels[item.label]] += 1
        return found

    def limited(self, limit: int) -> Benchmark:
        """The first shapes of every class in turn, `limit` in all: a small run still meets every class.

        Raises:
            ConfigError: If `limit` is below 1.
        """
        check_at_least("limit", limit, 1, "Leave it out to use every shape.")
        seen: dict[int, int] = {}
        turns = []
        for place, item in enumerate(self.items):
            turns.append((seen.get(item.label, 0), place))
            seen[item.label] = seen.get(item.label, 0) + 1
        kept = sorted(place for _, place in sorted(turns)[:limit])
        return replace(self, items=tuple(self.items[place] for place in kept))

    def fingerprint(self) -> str:
        """16 hexadecimal digits of labels, items and their files' sizes: another copy of the same data has the same."""
        digest = hashlib.sha256("\0".join((self.split, self.variant, *self.labels)).encode())
        for line in self._lines():
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]

    def _lines(self) -> Iterator[str]:
        sizes: dict[Path, int] = {}
        for item in self.items:
            file, _ = split_row(item.path)
            if file not in sizes:
                sizes[file] = file.stat().st_size if file.is_file() else -1
            yield f"\n{item.id}\0{item.label}\0{sizes[file]}"


def read_depth_maps(path: Path | str) -> Shaped[np.ndarray, "views height width"]:
    """Depth maps (V, H, W) in a `.npy` file, as stored; of three equal channels the first.

    Args:
        path: The file; it is mapped, and never unpickled.

    Raises:
        FileFormatError: If the file is no array (V, H, W) of numbers, at most 64 views of 1,024 pixels.
    """
    stored = open_depth_maps(path)
    return stored[..., 0] if stored.ndim == 4 else stored


def open_depth_maps(path: Path | str) -> Shaped[np.ndarray, "views height width *channels"]:
    """Depth maps (V, H, W) or (V, H, W, C) in a `.npy` file, as stored, with one channel or three.

    Args:
        path: The file; it is mapped, and never unpickled.

    Raises:
        FileFormatError: If the file is no array of numbers of that shape, at most 64 views of 1,024 pixels.
    """
    path = Path(path)
    with parser_errors(path, "npy"):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        flat = stored.ndim == 3 or (stored.ndim == 4 and stored.shape[-1] in (1, 3))
        if not flat or stored.dtype.kind not in "fiu" or max(stored.shape[1:3]) > _MAX_SIDE or not 1 <= len(stored) <= _MAX_VIEWS:
            raise FileFormatError(
                f"{path.name} has shape {stored.shape} and dtype {stored.dtype}; expected maps (V, H, W). Render them again."
            )
        return np.asarray(stored)
