"""Read image-depth pairs, in our format and as the published renderings of ShapeNet55."""

from __future__ import annotations

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from basrelief.datasets import open_benchmark
from basrelief.errors import ConfigError, FileFormatError
from basrelief.io import load
from basrelief.render.rigs import CLIP2POINT_TURN
from basrelief.train.pairs.make import FORMAT
from basrelief.train.records.read import open_records, read_picture
from basrelief.train.records.store import MANIFEST
from basrelief.types import Mesh

VIEWS = 10


class PairSet(ABC):
    """Shapes with pictures from the ten views of CLIP2Point.

    Attributes:
        keys: Name of each shape.
        labels: Class names.
        truth: Class index of each shape.
    """

    keys: Sequence[str]
    labels: tuple[str, ...]
    truth: Sequence[int]

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        """Return the points of a shape, +Z up, roughly in the unit sphere."""

    @abstractmethod
    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        """Return the picture of a shape from a view of the rig."""


def open_pairs(folder: Path | str, *, clouds: Path | str | None = None) -> PairSet:
    """Open image-depth pairs.

    Args:
        folder: Folder from `basrelief train pairs`, or the published `rendering` (`SYNSET_ID/0.png` to `9.png`).
        clouds: For the published renderings: the folder of ShapeNet55 (`shapenet_pc/SYNSET-ID.npy`, `ShapeNet-55/train.txt`).

    Raises:
        ConfigError: If the folder has no pairs, or `clouds` is missing for published renderings.
    """
    home = Path(folder)
    if (home / MANIFEST).is_file():
        return _GeneratedPairs(home)
    if clouds is None:
        raise ConfigError(f"Folder {home.name!r} has no pairs ({MANIFEST}). If it holds the published renderings, pass --clouds, too.")
    return _PublishedPairs(home, Path(clouds))


class _GeneratedPairs(PairSet):
    """Pairs from `basrelief train pairs`."""

    def __init__(self, home: Path) -> None:
        self._records = open_records(home, FORMAT)
        self.keys, self.labels, self.truth = self._records.keys, self._records.labels, self._records.truth()

    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        return _points(io.BytesIO(self._records.read(row, "points.npy")), self.keys[row])

    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        return read_picture(io.BytesIO(self._records.read(row, f"{view}.png")), self.keys[row])


class _PublishedPairs(PairSet):
    """The published renderings of the training split of ShapeNet55; shapes without renderings are left out.

    CLIP2Point's code uses the clouds in their own frame, +Y up; here they are rotated to the world frame.
    """

    def __init__(self, pictures: Path, clouds: Path) -> None:
        benchmark = open_benchmark(clouds, "shapenet55", split="train", strict=False)
        stems = [Path(item.path).stem.replace("-", "_", 1) for item in benchmark.items]
        found = [row for row, stem in enumerate(stems) if (pictures / stem / f"{VIEWS - 1}.png").is_file()]
        if not found:
            raise ConfigError(
                f"Folder {pictures.name!r} has no renderings SYNSET_ID/0.png to 9.png of the shapes in {clouds.name!r}. Check both."
            )
        self._pictures, self._items = pictures, [benchmark.items[row] for row in found]
        self.keys, self.labels = tuple(stems[row] for row in found), benchmark.labels
        self.truth = [item.label for item in self._items]

    def points(self, row: int) -> Float32[np.ndarray, "points 3"]:
        cloud = load(self._items[row].path, up="z")  # as stored
        points = cloud.vertices if isinstance(cloud, Mesh) else cloud.points
        return np.asarray(points @ CLIP2POINT_TURN, dtype=np.float32)

    def picture(self, row: int, view: int) -> UInt8[np.ndarray, "size size 3"]:
        return read_picture(self._pictures / self.keys[row] / f"{view}.png", self.keys[row])


def _load_array(source: io.BytesIO) -> np.ndarray:
    """Load an array after checking that the size in its header matches the data, as memory is allocated first."""
    version = np.lib.format.read_magic(source)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(source)
    if math.prod(shape) * kind.itemsize != len(source.getbuffer()) - source.tell():
        raise ValueError(f"{shape} {kind} in {len(source.getbuffer()):,} bytes")
    source.seek(0)
    found: np.ndarray = np.load(source, allow_pickle=False)
    return found


def _points(source: io.BytesIO, key: str) -> Float32[np.ndarray, "points 3"]:
    try:
        points = _load_array(source)
    except Exception as error:  # NumPy parses a header like Python code, with any exception
        raise FileFormatError(f"Pair {key!r} has no valid points: {error}. Draw it again.") from error
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0 or points.dtype.kind != "f":
        raise FileFormatError(f"Pair {key!r} has points of shape {points.shape}; expected (N, 3). Draw it again.")
    found: np.ndarray = points.astype(np.float32)
    if not np.isfinite(found).all():
        raise FileFormatError(f"The points of pair {key!r} hold NaN or infinity. Draw it again.")
    return found
