"""Depth-aligned images as training reads them: ours, and OpenDlign's published layout as it is."""

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
from basrelief.train.records import MANIFEST, open_records, read_file, read_picture

QUALITY = "quality.jsonl"
_MAPS, _PICTURES, _END = "depth_map", "depth_align_img", "_dm.npy"
_MAX_VIEWS = 64


@dataclass(frozen=True)
class Thresholds:
    """What the quality filter keeps: pictures with both figures at least this.

    Attributes:
        label: Of the label agreement, in [0, 1].
        contour: Of the contour agreement, in [0, 1].
    """

    label: float = 0.9
    contour: float = 0.65

    def __post_init__(self) -> None:
        """Check both."""
        for name, value in (("label", self.label), ("contour", self.contour)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} threshold must lie in [0, 1], but got {value}. 0 switches it off.")


class AlignedSet(ABC):
    """Shapes with depth maps and pictures of the same views.

    Attributes:
        keys: Name of each shape.
        labels: Class names; none where the files do not say them.
        truth: Class number of each shape, -1 where it is not said.
        views: V.
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
        """Options of OpenDlign's projection that the maps were drawn with: size and rig; the published ones say their size alone."""
        return {"size": int(self.depth(0).shape[-1])} if len(self) else {}

    @abstractmethod
    def depth(self, row: int) -> UInt8[np.ndarray, "views size size"]:
        """Depth images of a shape, near dark, background 255.

        Raises:
            FileFormatError: If they cannot be read.
        """

    @abstractmethod
    def pictures(self, row: int) -> UInt8[np.ndarray, "views size size 3"]:
        """Its pictures.

        Raises:
            FileFormatError: If they cannot be read.
        """

    def kept(self, row: int) -> Bool[np.ndarray, " views"]:
        """Which views the quality filter kept; all where none was run."""
        thresholds, scores = self._quality
        own = scores.get(self.keys[row])
        return np.ones(self.views, dtype=bool) if own is None else (own[0] >= thresholds.label) & (own[1] >= thresholds.contour)

    @cached_property
    def _quality(self) -> tuple[Thresholds, dict[str, np.ndarray]]:
        header, scores = read_quality(self.home)
        known = {name: float(header[name]) for name in ("label", "contour") if name in header}
        return Thresholds(**known), {key: own for key, own in scores.items() if own.shape == (2, self.views)}


def read_quality(home: Path) -> tuple[dict[str, Any], dict[str, Float[np.ndarray, "2 views"]]]:
    """What the quality filter wrote: its settings, and label and contour agreement of every view by key; nothing where none was run.

    Raises:
        FileFormatError: If a line is no record; the last one may be cut off by a kill.
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
            raise FileFormatError(f"{QUALITY} must hold one record a line, but got {line[:60]!r}. Remove the file.") from error
    return header, scores


def _lines(path: Path) -> list[str]:
    try:
        return read_file(path, limits().list_bytes).decode().splitlines()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{QUALITY} must be a list in UTF-8, but got: {error}. Remove the file.") from error


def open_aligned(folder: Path | str) -> AlignedSet:
    """Open depth-aligned images.

    Args:
        folder: What `basrelief train depth-aligned` wrote, or OpenDlign's layout: `depth_map/ID_dm.npy` (V, H, W, 3) beside
            `depth_align_img/ID/0.png` and so on; a class may stand in the name, `ID+CLASS_dm.npy`.

    Raises:
        ConfigError: If the folder holds neither.
        FileFormatError: If the manifest or a shard is damaged.
    """
    home = Path(folder)
    if (home / MANIFEST).is_file():
        return _GeneratedImages(home)
    if (home / _MAPS).is_dir():
        return _PublishedImages(home)
    raise ConfigError(f"folder must hold depth-aligned images ({MANIFEST} or {_MAPS}), but got {home.name!r}, which has none.")


class _GeneratedImages(AlignedSet):
    """What `basrelief train depth-aligned` wrote."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._records = open_records(home, FORMAT)
        self.keys, self.labels, self.truth = self._records.keys, self._records.labels, self._records.truth()
        self.views = self._count() if self.keys else 0

    @property
    def projection(self) -> dict[str, Any]:
        style = self._records.manifest.get("style")
        if not isinstance(style, dict) or not isinstance(style.get("size"), int) or not isinstance(style.get("rig"), str):
            raise FileFormatError(f"{MANIFEST} must say size and rig of the maps, but got none in {self.home.name!r}.")
        return {"size": style["size"], "rig": style["rig"]}

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
    """OpenDlign's layout. Maps without their pictures are left out."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        paths = {path.name.removesuffix(_END): path for path in sorted((home / _MAPS).glob(f"*{_END}"))}
        self._paths = {key: path for key, path in paths.items() if self._folder(key).is_dir()}
        if not self._paths:
            raise ConfigError(f"folder must hold {_MAPS}/ID{_END} with {_PICTURES}/ID, but got no such pair of {len(paths)} maps.")
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
            raise FileFormatError(f"depth maps must be bytes or lie in [0, 1], but got other numbers in {path.name}. Scale them.")
        return (whole * 255).round().astype(np.uint8)

    def pictures(self, row: int) -> UInt8[np.ndarray, "views size size 3"]:
        folder = self._folder(self.keys[row])
        return np.stack([read_picture(folder / f"{view}.png", self.keys[row]) for view in range(self.views)])
