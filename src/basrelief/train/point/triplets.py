"""Shapes with a cloud, features of images, and features of texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from basrelief.models.shape_input import FRAMES


class Triplet(NamedTuple):
    """Features that a step contrasts a cloud with.

    Attributes:
        images: Features of K images, or None.
        text: Features of one text, or None.
    """

    images: Float32[np.ndarray, "images dim"] | None
    text: Float32[np.ndarray, " dim"] | None


class TripletSet(ABC):
    """Shapes with their clouds and features.

    Attributes:
        keys: Name of each shape.
        dim: Length of the features.
    """

    keys: Sequence[str]
    dim: int

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def cloud(self, row: int) -> Float32[np.ndarray, "points 6"]:
        """Return positions in the world frame (+Z up), any scale, and colours in [0, 1]; NaN where a point has none."""

    @abstractmethod
    def sample(self, row: int, generator: np.random.Generator, *, images: int = 1) -> Triplet:
        """Draw images and a text of a shape.

        Args:
            row: Index of the shape.
            generator: All randomness.
            images: Number of images; drawn without repeats as long as there are enough.
        """


class StoredTriplets(TripletSet):
    """Shapes whose clouds and features are arrays, in memory or mapped.

    Images are drawn uniformly from all images of a shape, texts from all its texts.

    Attributes:
        labels: Class names.
        truth: Class index of each shape.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        clouds: Float[np.ndarray, "shapes points 6"],
        images: Float[np.ndarray, "shapes images dim"],
        exists: Bool[np.ndarray, "shapes images"],
        texts: Float[np.ndarray, "texts dim"],
        text_rows: Sequence[Sequence[int]],
        sizes: Int[np.ndarray, " shapes"] | None = None,
        rows: Int[np.ndarray, " kept"] | None = None,
        labels: Sequence[str] = (),
        truth: Int[np.ndarray, " kept"] | None = None,
    ) -> None:
        """Hold the arrays.

        Args:
            keys: Name of each shape.
            clouds: See `cloud`.
            images: Features of the images of each shape.
            exists: Which of them exist.
            texts: Features of texts.
            text_rows: Rows of `texts` that describe each shape.
            sizes: Number of points of each cloud; the others are padding. All when None.
            rows: Row of each shape in `clouds`, `images`, `exists` and `sizes`, which need not be copied for a part of the shapes. All when
                None.
            labels: Class names.
            truth: Class index of each shape.
        """
        self.keys, self.dim, self.labels = keys, texts.shape[-1], tuple(labels)
        self.truth = np.full(len(keys), -1) if truth is None else truth
        self._clouds, self._images, self._exists, self._texts, self._text_rows = clouds, images, exists, texts, text_rows
        self._sizes = np.full(len(clouds), clouds.shape[1]) if sizes is None else sizes
        self._rows = np.arange(len(keys)) if rows is None else rows

    def cloud(self, row: int) -> Float32[np.ndarray, "points 6"]:
        """Return the stored cloud."""
        place = self._rows[row]
        return np.asarray(self._clouds[place, : self._sizes[place]], dtype=np.float32)

    def sample(self, row: int, generator: np.random.Generator, *, images: int = 1) -> Triplet:
        """Draw from all images and all texts of a shape."""
        place, text_rows = self._rows[row], self._text_rows[row]
        pool = np.flatnonzero(self._exists[place])
        chosen = None if not len(pool) else np.asarray(self._images[place][draw(len(pool), images, generator, among=pool)], np.float32)
        text = None if not len(text_rows) else np.asarray(self._texts[text_rows[int(generator.integers(len(text_rows)))]], np.float32)
        return Triplet(chosen, text)


def draw(count: int, wanted: int, generator: np.random.Generator, *, among: np.ndarray | None = None) -> Int[np.ndarray, " wanted"]:
    """Draw indices below `count`, or elements of `among`: without repeats, then random repeats if there are too few."""
    chosen = generator.permutation(count)[:wanted]
    if wanted > count:
        chosen = np.concatenate([chosen, generator.integers(count, size=wanted - count)])
    return chosen if among is None else among[chosen]


def in_frame(cloud: Float32[np.ndarray, "points 6"], frame: str, *, missing_color: float) -> Float32[np.ndarray, "points 6"]:
    """Turn a cloud of the world frame to a network's axes, and fill missing colours.

    Args:
        cloud: See `TripletSet.cloud`.
        frame: Key of `FRAMES`.
        missing_color: Red, green and blue of points without colour.
    """
    xyz = cloud[:, :3] @ np.array(FRAMES[frame], dtype=np.float32).T
    rgb = np.where(np.isnan(cloud[:, 3:]), np.float32(missing_color), cloud[:, 3:])
    return np.concatenate([xyz, rgb], axis=1).astype(np.float32)
