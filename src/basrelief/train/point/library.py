"""Triplets of a folder of shapes: clouds are sampled from the shapes, images come from records that were made of the same shapes.

Clouds and image features are computed once and kept on disk; see `ArrayCache`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from torch.nn import functional as F

from basrelief.datasets import Benchmark, Item
from basrelief.datasets.layouts.base import read_json
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError, FileFormatError
from basrelief.geometry import normalise_unit_sphere
from basrelief.models import Model
from basrelief.processes import Failure, WorkerPool, batches
from basrelief.render import sample_points
from basrelief.train.arrays import ArrayCache
from basrelief.train.depth_aligned.read import open_aligned
from basrelief.train.pairs.make import FORMAT as PAIRS
from basrelief.train.pairs.read import VIEWS, open_pairs
from basrelief.train.point.triplets import StoredTriplets
from basrelief.train.records.make import record_key
from basrelief.train.records.store import MANIFEST
from basrelief.types import Progress, Shape

_AT_ONCE = 8  # shapes
_TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class LibraryOptions:
    """What a library is made of.

    Attributes:
        images: Folders of `train pairs` or `train depth-aligned`, made of the same shapes; a shape's images join in one pool.
        captions: JSON file with a text or a list of texts for shapes, by their id or file name; a shape without has its label alone.
        cache: Folder of clouds and image features.
        points: Points of a cloud.
        seed: Seed of the surface sampling.
        jobs: Worker processes that read shapes; 0 reads in this process.
        rank: Index of this process among those that share the work.
        world_size: Number of those processes.
        progress: Called after each batch.
    """

    cache: Path
    images: tuple[Path, ...] = ()
    captions: Path | None = None
    points: int = 10_000
    seed: int = 0
    jobs: int = 0
    rank: int = 0
    world_size: int = 1
    progress: Progress | None = None


class _Pictures(NamedTuple):
    """Images of shapes by the key of a shape."""

    row: Mapping[str, int]
    views: int
    read: Callable[[int], UInt8[np.ndarray, "views size size 3"]]
    kept: Callable[[int], np.ndarray]


class LibraryCache:
    """Clouds and image features of a library; `fill`, then `triplets`.

    Attributes:
        library: The shapes.
        model: CLIP of the images and texts.
    """

    def __init__(self, library: Benchmark, model: Model, options: LibraryOptions) -> None:
        """Open or create the arrays.

        Raises:
            ConfigError: If the cache belongs to other shapes, images or weights, no shape has an image, or the disk is too small.
        """
        self.library, self.model, self.options = library, model, options
        self._pools = [_open_pictures(folder, library.root) for folder in options.images]
        for folder, pool in zip(options.images, self._pools, strict=True):
            if not any(_row(pool, item) is not None for item in library.items):
                raise ConfigError(f"None of the images in {folder.name!r} shows one of these shapes. They must be made of the same folder.")
        count, views = len(library), sum(pool.views for pool in self._pools)
        self.arrays = ArrayCache(
            options.cache,
            {
                "sizes": ((count,), "int32"),
                "clouds": ((count, options.points, 6), "float16"),
                "images": ((count, views, model.encoder.embedding_dim), "float32"),
                "exists": ((count, views), "bool"),
            },
            identity=self._identity(),
            remedy="Use fewer points, or name another folder.",
        )

    def fill(self) -> None:
        """Compute this process's part of what is missing; a shape that cannot be read is marked by a cloud without points."""
        own = self.options
        left = self.arrays.missing(rank=own.rank, world_size=own.world_size)
        draw = functools.partial(_sample, library=self.library, points=own.points, seed=own.seed)
        done = 0
        with WorkerPool(own.jobs) as pool:
            clouds = pool.map(draw, [self.library.items[row] for row in left])
            try:
                for pairs in batches(zip(left, clouds, strict=True), _AT_ONCE):
                    self._put(pairs)
                    done += len(pairs)
                    if own.progress:
                        own.progress(done, len(left))
            finally:
                self.arrays.flush()

    def triplets(self) -> StoredTriplets:
        """Return the shapes that could be read.

        Raises:
            ConfigError: If there is none.
        """
        rows = np.flatnonzero(self.arrays["sizes"][:] > 0)
        if not len(rows):
            raise ConfigError(f"None of the {len(self.library)} shapes of {self.library.name!r} can be read. Run basrelief doctor on it.")
        items = [self.library.items[row] for row in rows.tolist()]
        texts, text_rows = self._texts(items)
        return StoredTriplets(
            [item.id for item in items],
            clouds=self.arrays["clouds"],
            images=self.arrays["images"],
            exists=self.arrays["exists"],
            texts=texts,
            text_rows=text_rows,
            sizes=self.arrays["sizes"],
            rows=rows,
            labels=self.library.labels,
            truth=np.array([item.label for item in items]),
        )

    @property
    def unreadable(self) -> list[str]:
        """Ids of the shapes that cannot be read."""
        rows = np.flatnonzero((self.arrays["sizes"][:] == 0) & (self.arrays["done"][:] == 1))
        return [self.library.items[row].id for row in rows.tolist()]

    def _put(self, pairs: list[tuple[int, Float16[np.ndarray, "points 6"] | Failure]]) -> None:
        rows = [row for row, _ in pairs]
        clouds = np.zeros((len(rows), *self.arrays["clouds"].shape[1:]), np.float16)
        sizes = np.zeros(len(rows), np.int32)
        images = np.zeros((len(rows), *self.arrays["images"].shape[1:]), np.float32)
        exists = np.zeros((len(rows), images.shape[1]), bool)
        for place, (row, cloud) in enumerate(pairs):
            if isinstance(cloud, Failure):
                continue
            sizes[place], clouds[place, : len(cloud)] = len(cloud), cloud
            for start, features, kept in self._images(self.library.items[row]):
                images[place, start : start + len(features)], exists[place, start : start + len(features)] = features, kept
        self.arrays.put(rows, sizes=sizes, clouds=clouds, images=images, exists=exists)

    def _images(self, item: Item) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield the place of the first image of each folder, the images' features, and which the quality filter kept."""
        start = 0
        for pool in self._pools:
            row = _row(pool, item)
            if row is not None:
                yield start, self.model.embed_images(list(pool.read(row))).cpu().numpy(), pool.kept(row)
            start += pool.views

    def _texts(self, items: Sequence[Item]) -> tuple[np.ndarray, list[list[int]]]:
        """Embed labels by the recipe's templates and captions as they are; return them, and which rows describe each shape."""
        captions = _captions(self.options.captions) if self.options.captions else {}
        own = [[text for name in _names(item) for text in captions.get(name, ())] for item in items]
        known = {text: len(self.library.labels) + place for place, text in enumerate(sorted({text for texts in own for text in texts}))}
        text_rows = [[item.label, *(known[text] for text in texts)] for item, texts in zip(items, own, strict=True)]
        labels = self.model.embed_text(self.library.labels).cpu().numpy()
        return np.concatenate([labels, self._captions(list(known))]), text_rows

    def _captions(self, texts: list[str]) -> np.ndarray:
        """Embed captions; they are kept on disk, too."""
        encoder = self.model.encoder
        cache = VectorCache(self.options.cache / "captions.sqlite", limit=10_000_000)
        found = cache.get(encoder.fingerprint, texts)
        left = [text for text in texts if text not in found]
        for start in range(0, len(left), _TEXTS_AT_ONCE):
            part = left[start : start + _TEXTS_AT_ONCE]
            with torch.no_grad():
                rows = F.normalize(encoder.encode_text(part), dim=-1).cpu().numpy()
            new = dict(zip(part, rows, strict=True))
            cache.put(encoder.fingerprint, new)
            found |= new
        return np.stack([found[text] for text in texts]) if texts else np.empty((0, encoder.embedding_dim), np.float32)

    def _identity(self) -> dict[str, Any]:
        shapes = self.library.fingerprint()
        keys = hashlib.sha256(json.dumps([sorted(pool.row) for pool in self._pools]).encode()).hexdigest()[:16]
        return {"format": 1, "shapes": shapes, "images": keys, "tower": self.model.encoder.fingerprint, "seed": self.options.seed}


def _sample(item: Item, *, library: Benchmark, points: int, seed: int) -> Float16[np.ndarray, "points 6"]:
    """Sample a cloud: normalised positions in the world frame and colours, NaN where there are none."""
    shape: Shape = library.load(item)
    cloud = sample_points(shape, points, seed=seed)
    rgb = np.full_like(cloud.points, np.nan) if cloud.colors is None else cloud.colors
    return np.concatenate([normalise_unit_sphere(cloud.points), rgb], axis=1).astype(np.float16)


def _open_pictures(folder: Path, root: Path) -> _Pictures:
    """Open the images of a folder, of either kind; published renderings belong to the shapes in `root`."""
    aligned = (folder / "depth_map").is_dir() or ((folder / MANIFEST).is_file() and _format(folder) != PAIRS)
    if aligned:
        images = open_aligned(folder)
        names = {key.partition("+")[0]: row for row, key in enumerate(images.keys)}
        return _Pictures(names, images.views, images.pictures, images.kept)
    pairs = open_pairs(folder, clouds=root)
    rows = {key: row for row, key in enumerate(pairs.keys)}
    read = lambda row: np.stack([pairs.picture(row, view) for view in range(VIEWS)])  # noqa: E731
    return _Pictures(rows, VIEWS, read, lambda row: np.ones(VIEWS, dtype=bool))


def _format(folder: Path) -> str:
    found = read_json(folder / MANIFEST)
    return str(found.get("format")) if isinstance(found, dict) else ""


def _names(item: Item) -> tuple[str, ...]:
    """Return what a shape may be called in records and lists: its id, the key of its record, its file name, ShapeNet's `SYNSET_ID`."""
    stem = Path(item.id).stem
    return item.id, record_key(item), stem, stem.replace("-", "_", 1)


def _row(pool: _Pictures, item: Item) -> int | None:
    return next((pool.row[name] for name in _names(item) if name in pool.row), None)


def _captions(path: Path) -> dict[str, list[str]]:
    found = read_json(path)
    texts = {key: [value] if isinstance(value, str) else value for key, value in found.items()} if isinstance(found, dict) else {}
    valid = (isinstance(own, list) and all(isinstance(text, str) and text.strip() for text in own) for own in texts.values())
    if not texts or not all(valid):
        raise FileFormatError(f'{path.name} holds no texts by shape. Write, for example, {{"chair/1.glb": ["a red chair", "a seat"]}}.')
    return texts
