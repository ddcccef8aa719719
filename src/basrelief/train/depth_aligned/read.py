"""Read depth-aligned images, in our format and in OpenDlign's published layout."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from basrelief.datasets.benchmark import read_depth_maps
from basrelief.datasets.layouts.base import words
from basrelief.errors import ConfigError, FileFormatError
from basrelief.limits import limits
from basrelief.train.depth_aligned.make import FORMAT
from basrelief.train.records.read import open_records, read_file, read_picture
from basrelief.train.records.store import MANIFEST

QUALITY = "quality.jsonl"
_MAPS, _PICTURES, _END = "depth_map", "depth_align_img", "_dm.npy"
_MAX_VIEWS = 64


@dataclass(frozen=True)
class Thresholds:
    """Minimum scores of the quality filter.

    Attributes:
        label: Minimum label agreement, in [0, 1].
        contour: Minimum contour agreement, in [0, 1].
    """

    label: float = 0.9
    contour: float = 0.65

    def __post_init__(self) -> None:
        """Check both."""
        for name, value in (("label", self.label), ("contour", self.contour)):
            if not 0 <= value <= 1:
                raise ConfigError(f"The {name} threshold is {value}; it must lie in [0, 1]. 0 turns it off.")


class AlignedSet(ABC):
    """Shapes with depth maps and images of the same views.

    Attributes:
        keys: Name of each shape.
        labels: Class names, if the files have some.
        truth: Class index of each shape, -1 if unknown.
        views: Number of views.
    """

    keys: Sequence[str]
    labels: tuple[str, ...]
    truth: Sequence[int]
    views: int

    def __init__(self, home: Path) -> None:
        self.home = home

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def projection(self) -> dict[str, Any]:
        """Name and options of the projection of these depth maps, see `basrelief.render.get_projection`."""
        return {"name": "opendlign", **({"size": int(self.depth(0).shape[-1])} if len(self) else {})}

    @abstractmethod
    def depth(self, row: int) -> UInt8[np.ndarray, "views size size"]:
        """Return the depth images of a shape, near dark, background 255.

        Raises:
            FileFormatError: If they cannot be read.
        """

    @abstractmethod
    def pictures(self, row: int) -> UInt8[np.ndarray, "views size size 3"]:
        """Return the images of a shape.

        Raises:
            FileFormatError: If they cannot be read.
        """

    def kept(self, row: int) -> Bool[np.ndarray, " views"]:
        """Return which views the quality filter kept; all if it has not been run."""
        thresholds, scores = self._quality
        own = scores.get(self.keys[row])
        return np.ones(self.views, dtype=bool) if own is None else (own[0] >= thresholds.label) & (own[1] >= thresholds.contour)

    @cached_property
    def _quality(self) -> tuple[Thresholds, dict[str, np.ndarray]]:
        header, scores = read_quality(self.home)
        known = {name: float(header[name]) for name in ("label", "contour") if name in header}
        return Thresholds(**known), {key: own for key, own in scores.items() if own.shape == (2, self.views)}


def read_quality(home: Path) -> tuple[dict[str, Any], dict[str, Float[np.ndarray, "2 views"]]]:
    """Read `quality.jsonl`: settings of the filter, and label and contour scores of every view by key; empty if there is none.

    Raises:
        FileFormatError: If a line is broken; the last one may be, after a kill.
    """
    path = home / QUALITY
    lines = _lines(path) if path.is_file() else []
    header: dict[str, Any] = {}
    scores: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
            if number == 0:
                header = dict(record)
            else:
                scores[str(record["id"])] = np.array([record["label"], record["contour"]], dtype=np.float64)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number == len(lines) - 1 > 0:
                break
            raise FileFormatError(f"{QUALITY} has a broken line: {line[:60]!r}. Remove the file and run the filter again.") from error
    return header, scores


def _lines(path: Path) -> list[str]:
    try:
        return read_file(path, limits().list_bytes).decode().splitlines()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"Cannot read {QUALITY}: {error}. Remove the file and run the filter again.") from error


def open_aligned(folder: Path | str) -> AlignedSet:
    """Open depth-aligned images.

    Args:
        folder: Folder from `basrelief train depth-aligned`, or in OpenDlign's layout: `depth_map/ID_dm.npy` (V, H, W, 3) beside
            `depth_align_img/ID/0.png` and so on; the name may hold a class, `ID+CLASS_dm.npy`.

    Raises:
        ConfigError: If the folder holds neither.
        FileFormatError: If the manifest or a shard is damaged.
    """
    home = Path(folder)
    if (home / MANIFEST).is_file():
        return _GeneratedImages(home)
    if (home / _MAPS).is_dir():
        return _PublishedImages(home)
    raise ConfigError(f"Folder {home.name!r} has no depth-aligned images ({MANIFEST} or {_MAPS}). Run basrelief train depth-aligned.")


class _GeneratedImages(AlignedSet):
    """Images from `basrelief train depth-aligned`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._records = open_records(home, FORMAT)
        self.keys, self.labels, self.truth = self._records.keys, self._records.labels, self._records.truth()
        self.views = self._count() if self.keys else 0

    @property
    def projection(self) -> dict[str, Any]:
        style = self._records.manifest.get("style")
        if not isinstance(style, dict) or not isinstance(style.get("size"), int) or not isinstance(style.get("rig"), str):
            raise FileFormatError(f"{MANIFEST} in {self.home.name!r} has no size and rig of the depth maps. Make the images again.")
        name = style.get("projection", "opendlign-paper")  # version 0.1 had no other
        return {"name": name, "size": style["size"], **({"rig": style["rig"]} if style["rig"] else {})}

    def _count(self) -> int:
        for view in range(_MAX_VIEWS):
            try:
                self._records.read(0, f"{view}.depth.png")
            except FileFormatError:
                return view
        return _MAX_VIEWS

    def depth(self, row: int) -> UInt8[np.ndarray, "views size size"]:
        return np.stack([self._picture(row, f"{view}.depth.png", "L") for view in range(self.views)])

    def pictures(self, row: int) -> UInt8[np.ndarray, "views size size 3"]:
        return np.stack([self._picture(row, f"{view}.png", "RGB") for view in range(self.views)])

    def _picture(self, row: int, name: str, mode: str) -> np.ndarray:
        return read_picture(io.BytesIO(self._records.read(row, name)), self.keys[row], mode=mode)


class _PublishedImages(AlignedSet):
    """OpenDlign's layout; depth maps without images are left out."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        paths = {path.name.removesuffix(_END): path for path in sorted((home / _MAPS).glob(f"*{_END}"))}
        self._paths = {key: path for key, path in paths.items() if self._folder(key).is_dir()}
        if not self._paths:
            raise ConfigError(f"None of the {len(paths)} depth maps {_MAPS}/ID{_END} has a folder {_PICTURES}/ID. Unpack both.")
        self.keys = tuple(self._paths)
        named = [words(key.partition("+")[2]) for key in self.keys]
        self.labels = tuple(sorted({name for name in named if name}))
        self.truth = [self.labels.index(name) if name else -1 for name in named]
        self.views = len(self.depth(0))

    def _folder(self, key: str) -> Path:
        whole = self.home / _PICTURES / key
        return whole if whole.is_dir() else self.home / _PICTURES / key.partition("+")[0]

    def depth(self, row: int) -> UInt8[np.ndarray, "views size size"]:
        path = self._paths[self.keys[row]]
        whole = read_depth_maps(path)
        if whole.dtype == np.uint8:
            return whole
        if not (whole.min() >= 0 and whole.max() <= 1):
            raise FileFormatError(f"Depth maps in {path.name} are neither bytes nor in [0, 1]. Scale them.")
        return (whole * 255).round().astype(np.uint8)

    def pictures(self, row: int) -> UInt8[np.ndarray, "views size size 3"]:
        folder = self._folder(self.keys[row])
        return np.stack([read_picture(folder / f"{view}.png", self.keys[row]) for view in range(self.views)])
