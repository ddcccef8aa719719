"""Pairs as training reads them: our shards and folders, and the original's `rendering` beside ShapeNet55, as they are."""

from __future__ import annotations

import io
import json
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from basrelief.datasets import open_benchmark
from basrelief.errors import ConfigError, FileFormatError
from basrelief.io import load
from basrelief.render.rigs import CLIP2POINT_TURN
from basrelief.train.pairs.store import FORMAT, MANIFEST
from basrelief.types import Mesh

VIEWS = 10
_MAX_POINTS_BYTES = 50_000_000
_MAX_SIDE = 2048


class PairSet(ABC):
    """Shapes with pictures from the ten views of CLIP2Point.

    Attributes:
        keys: Name of each shape.
        labels: Class names.
        truth: Class number of each shape.
    """

    keys: Sequence[str]
    labels: tuple[str, ...]
    truth: Sequence[int]

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        """Points of a shape, world frame, +Z up, about the unit sphere."""

    @abstractmethod
    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        """Its picture from a view of the rig."""


def open_pairs(folder: Path | str, *, clouds: Path | str | None = None) -> PairSet:
    """Open pairs.

    Args:
        folder: What `basrelief train pairs` wrote, or the original's `rendering` (`SYNSET_ID/0.png` to `9.png`).
        clouds: For the original's pictures: the folder of ShapeNet55 (`shapenet_pc/SYNSET-ID.npy`, `ShapeNet-55/train.txt`).

    Raises:
        ConfigError: If the folder holds no pairs, or the original's pictures come without their clouds.
    """
    home = Path(folder)
    if (home / MANIFEST).is_file():
        record = _manifest(home / MANIFEST)
        return _Shards(home, record) if record["layout"] == "shards" else _Folders(home, record)
    if clouds is None:
        raise ConfigError(
            f"folder must hold pairs ({MANIFEST}), but got {home.name!r}, which has none. For the original's rendering, name its clouds."
        )
    return _Original(home, Path(clouds))


class _Shards(PairSet):
    """Members of tar files, read by their place; the files stay closed between reads."""

    def __init__(self, home: Path, record: dict[str, Any]) -> None:
        self.labels = tuple(record["labels"])
        place: dict[str, dict[str, tuple[Path, int, int]]] = {}
        for shard in sorted(home.glob("pairs-*.tar")):
            with _opened(shard) as tar:
                for member in tar:
                    key, _, end = member.name.partition(".")
                    place.setdefault(key, {})[end] = (shard, member.offset_data, member.size)
        self._place = place
        self.keys = tuple(place)
        self.truth = [self._label(row) for row in range(len(self.keys))]

    def _label(self, row: int) -> int:
        return _label(self._bytes(row, "json"), self.labels, self.keys[row])

    def _bytes(self, row: int, end: str) -> bytes:
        place = self._place[self.keys[row]].get(end)
        if place is None:
            raise FileFormatError(
                f"pair must have all its files, but got {self.keys[row]!r} without {end}. Remove its shard and draw again."
            )
        shard, offset, size = place
        with shard.open("rb") as file:
            file.seek(offset)
            return file.read(min(size, _MAX_POINTS_BYTES))

    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        return _points(io.BytesIO(self._bytes(row, "points.npy")), self.keys[row])

    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        return _picture(io.BytesIO(self._bytes(row, f"{view}.png")), self.keys[row])


class _Folders(PairSet):
    """One folder for each shape."""

    def __init__(self, home: Path, record: dict[str, Any]) -> None:
        self.labels, self._home = tuple(record["labels"]), home
        self.keys = tuple(sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")))
        self.truth = [_label(_read(home / key / "label.json"), self.labels, key) for key in self.keys]

    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        return _points(self._home / self.keys[row] / "points.npy", self.keys[row])

    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        return _picture(self._home / self.keys[row] / f"{view}.png", self.keys[row])


class _Original(PairSet):
    """The original's pictures of the training split of ShapeNet55; clouds without a folder of pictures are left out.

    Its code draws the clouds in their own frame, +Y up. Turned back by CLIP2Point's turn, they are in ours.
    """

    def __init__(self, pictures: Path, clouds: Path) -> None:
        benchmark = open_benchmark(clouds, "shapenet55", split="train", strict=False)
        stems = [Path(item.path).stem.replace("-", "_", 1) for item in benchmark.items]
        found = [row for row, stem in enumerate(stems) if (pictures / stem / f"{VIEWS - 1}.png").is_file()]
        if not found:
            raise ConfigError(
                f"folder must hold SYNSET_ID/0.png to 9.png, but got none of {clouds.name!r} in {pictures.name!r}. Check both."
            )
        self._pictures, self._items = pictures, [benchmark.items[row] for row in found]
        self.keys, self.labels = tuple(stems[row] for row in found), benchmark.labels
        self.truth = [item.label for item in self._items]

    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        cloud = load(self._items[row].path, up="z")  # as stored
        points = cloud.vertices if isinstance(cloud, Mesh) else cloud.points
        return np.asarray(points @ CLIP2POINT_TURN, dtype=np.float32)

    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        return _picture(self._pictures / self.keys[row] / f"{view}.png", self.keys[row])


def _manifest(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT or record["layout"] not in ("shards", "folders") or not isinstance(record["labels"], list):
            raise ValueError(f"format {record['format']!r}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileFormatError(
            f"pairs must have the manifest of basrelief train pairs, but got {path.name}: {error}. Draw them again."
        ) from error
    return dict(record)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"pair must have all its files, but got {path.parent.name!r}: {error.strerror}. Draw it again.") from error


def _label(data: bytes, labels: Sequence[str], key: str) -> int:
    try:
        return labels.index(json.loads(data)["label"])
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(f"pair must have a label of the manifest, but got {key!r}: {error}. Draw it again.") from error


def _opened(shard: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(shard, "r:")
    except (OSError, tarfile.TarError) as error:
        raise FileFormatError(f"shard must be a whole tar file, but got {shard.name}: {error}. Remove it and draw again.") from error


def _points(source: Path | io.BytesIO, key: str) -> Float32[np.ndarray, "points 3"]:
    try:
        points = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"pair must hold points, but got {key!r}: {error}. Draw it again.") from error
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0 or points.dtype.kind != "f":
        raise FileFormatError(f"pair must hold points (N, 3), but got {points.shape} in {key!r}. Draw it again.")
    found: np.ndarray = points.astype(np.float32)
    return found


def _picture(source: Path | io.BytesIO, key: str) -> UInt8[np.ndarray, "size size 3"]:
    try:
        with Image.open(source, formats=("PNG",)) as picture:
            if max(picture.size) > _MAX_SIDE:
                raise ValueError(f"{picture.size} pixels")
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError, SyntaxError) as error:
        raise FileFormatError(f"pair must hold pictures, but got {key!r}: {error}. Draw it again.") from error
