"""OpenShape's published training data: one file for each shape with its cloud and the features of its images and texts.

Fields: `xyz` (10,000, 3) with +Y up, `rgb`, `image_feat` (12, D), `thumbnail_feat`, `text_feat`, `blip_caption_feat`,
`msft_caption_feat`, `retrieval_text_feat`. A text is a record of two features, `original` and `prompt_avg`. The files are pickles, read
without executing code.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from basrelief.datasets.layouts.base import inside, read_json
from basrelief.datasets.layouts.openshape import path_below
from basrelief.errors import ConfigError, FileFormatError
from basrelief.geometry.transforms import rotation_to_z_up
from basrelief.io.formats.objects import read_objects
from basrelief.train.point.triplets import Triplet, TripletSet, draw

_OBJAVERSE = "Objaverse"
_Y_UP = rotation_to_z_up("y").astype(np.float32)


class _Entry(NamedTuple):
    """A shape of the list."""

    id: str
    dataset: str
    path: Path


class PublishedTriplets(TripletSet):
    """Shapes of a split of the published files; those whose file is missing are left out.

    Attributes:
        missing: Number of those.
    """

    def __init__(self, root: Path, split: Path, *, text_filter: Path | None = None, prompt_average: bool = True) -> None:
        """Open a split.

        Args:
            root: Folder of the unpacked files.
            split: List of shapes, e.g. `meta_data/split/train_all.json`.
            text_filter: `gpt4_filtering.json`; the texts of Objaverse that it marks `N` are not used. None uses all.
            prompt_average: Whether texts and captions are averaged over prompts.

        Raises:
            ConfigError: If no file is there.
            FileFormatError: If a list is broken.
        """
        listed = [_entry(record, root, split) for record in _list(split)]
        self._entries = [entry for entry in listed if entry.path.is_file()]
        self.missing = len(listed) - len(self._entries)
        if not self._entries:
            raise ConfigError(f"None of the {len(listed):,} shapes of {split.name} is in {root.name!r}. Unpack them there.")
        self.keys = [entry.id for entry in self._entries]
        self._useless = _useless(text_filter) if text_filter else frozenset()
        self._version = "prompt_avg" if prompt_average else "original"
        self._last = threading.local()
        self.dim = _image_features(self._read(0), self._entries[0].path).shape[1]

    def cloud(self, row: int) -> Float32[np.ndarray, "points 6"]:
        """Return all points of a shape, turned to the world frame."""
        record, path = self._read(row), self._entries[row].path
        xyz, rgb = (_array(record, name, path, columns=3) for name in ("xyz", "rgb"))
        if len(xyz) != len(rgb) or not len(xyz):
            raise FileFormatError(f"{path.name} has {len(xyz):,} points and {len(rgb):,} colours. Download it again.")
        return np.concatenate([xyz @ _Y_UP.T, rgb.clip(0, 1)], axis=1).astype(np.float32)

    def sample(self, row: int, generator: np.random.Generator, *, images: int = 1) -> Triplet:
        """Draw as published.

        One image of Objaverse is the thumbnail or one of the renderings, each with probability 1/2; of several, the first is the thumbnail.
        Other data sets have renderings alone. The text is one of those that exist: the shape's own text; the caption of BLIP or Azure, by
        a coin; a retrieved text.
        """
        record, entry = self._read(row), self._entries[row]
        rendered = _image_features(record, entry.path)
        first = entry.dataset == _OBJAVERSE and (images > 1 or generator.random() < 0.5)
        thumbnail = [_vector(record.get("thumbnail_feat"), self.dim, entry.path)] if first else []
        shown = [*thumbnail, *rendered[draw(len(rendered), images - len(thumbnail), generator)]]
        texts = self._texts(record, entry, generator)
        return Triplet(np.stack(shown).astype(np.float32), texts[int(generator.integers(len(texts)))] if texts else None)

    def _texts(self, record: dict[str, Any], entry: _Entry, generator: np.random.Generator) -> list[np.ndarray]:
        found = []
        own = _sequence(record.get("text_feat"))
        if entry.dataset == _OBJAVERSE:
            own = own[:1] if entry.id not in self._useless else ()
        if len(own):
            found.append(self._text(own[int(generator.integers(len(own)))], self._version, entry))
        captioner = "blip" if generator.random() < 0.5 else "msft"
        if record.get(f"{captioner}_caption"):
            found.append(self._text(record.get(f"{captioner}_caption_feat"), self._version, entry))
        retrieved = _sequence(record.get("retrieval_text_feat"))
        if len(retrieved):
            found.append(self._text(retrieved[int(generator.integers(len(retrieved)))], "original", entry))
        return found

    def _text(self, features: object, version: str, entry: _Entry) -> Float32[np.ndarray, " dim"]:
        if not isinstance(features, dict):
            raise FileFormatError(f"{entry.path.name} has a text without features. Download it again.")
        return _vector(features.get(version), self.dim, entry.path)

    def _read(self, row: int) -> dict[str, Any]:
        """Read the file of a shape; each thread keeps its last one, as cloud and features are asked for one after the other."""
        known: tuple[int, dict[str, Any]] | None = getattr(self._last, "read", None)
        if known is not None and known[0] == row:
            return known[1]
        path = self._entries[row].path
        stored = read_objects(path)
        found = stored.reshape(-1)[0] if stored.size == 1 else None
        if not isinstance(found, dict):
            raise FileFormatError(f"{path.name} does not hold one shape. Download it again.")
        self._last.read = row, found
        return found


def _entry(record: object, root: Path, split: Path) -> _Entry:
    names = ("id", "dataset", "data_path")
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in names):
        raise FileFormatError(f"{split.name} has an entry without {', '.join(names)}. Download it again.")
    return _Entry(record["id"], record["dataset"], inside(root, path_below(root, record["data_path"])))


def _list(split: Path) -> list[Any]:
    found = read_json(split)
    if not isinstance(found, list):
        raise FileFormatError(f"{split.name} holds a {type(found).__name__}; expected a JSON list. Download it again.")
    return found


def _useless(path: Path) -> frozenset[str]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise FileFormatError(f"{path.name} holds a {type(found).__name__}; expected a JSON object. Download it again.")
    return frozenset(str(key) for key, value in found.items() if isinstance(value, dict) and value.get("flag") == "N")


def _image_features(record: dict[str, Any], path: Path) -> Float32[np.ndarray, "images dim"]:
    found = _array(record, "image_feat", path)
    if not len(found):
        raise FileFormatError(f"{path.name} has no image features. Download it again.")
    return found


def _array(record: dict[str, Any], name: str, path: Path, *, columns: int | None = None) -> Float32[np.ndarray, "rows columns"]:
    found = record.get(name)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.ndim != 2 or columns not in (None, found.shape[1]):
        raise FileFormatError(f"{path.name} has no valid array {name!r}. Download it again.")
    values: np.ndarray = found.astype(np.float32)
    if not np.isfinite(values).all():
        raise FileFormatError(f"{name!r} of {path.name} holds NaN or infinity. Download it again.")
    return values


def _vector(found: object, dim: int, path: Path) -> Float32[np.ndarray, " dim"]:
    if not isinstance(found, np.ndarray) or found.size != dim or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise FileFormatError(f"{path.name} has features of another kind than {dim} finite numbers. Download it again.")
    values: np.ndarray = found.reshape(-1).astype(np.float32)
    return values


def _sequence(found: object) -> list[Any] | tuple[Any, ...] | np.ndarray:
    return found if isinstance(found, list | tuple | np.ndarray) else ()
