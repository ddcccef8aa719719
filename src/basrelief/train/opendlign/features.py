"""Cache of the frozen features of an alignment: trunk tokens of the depth maps, and features of the images.

Both are memory-mapped arrays on disk, so memory use does not grow with the data. `done.npy` marks the finished rows; an interrupted run
computes the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder
from basrelief.render.rigs import evenly_spaced_views
from basrelief.train.arrays import ArrayCache
from basrelief.train.depth_aligned.read import AlignedSet
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.types import Progress

_AT_ONCE = 4  # shapes per pass of the trunk


class Row(NamedTuple):
    """Features of one shape.

    Attributes:
        tokens: Tokens of the depth maps, before the tuned blocks.
        frozen: Class tokens after the frozen last blocks.
        pictures: Features of the images, not normalised.
        kept: Views to use.
    """

    tokens: Float[np.ndarray, "views tokens width"]
    frozen: Float[np.ndarray, "views width"]
    pictures: Float[np.ndarray, "views dim"]
    kept: Bool[np.ndarray, " views"]


class FeatureStore:
    """Frozen features of every shape.

    Attributes:
        aligned: Depth maps and images.
        encoder: Encoder with tuned blocks, which determine where the trunk ends.
        usable: Indices of the shapes with at least one kept view.
        views: Indices of the views to use; the cache holds all views, so runs with other numbers may share it.
    """

    def __init__(self, aligned: AlignedSet, encoder: ClipEncoder, *, settings: OpenDlignSettings, folder: Path) -> None:
        self.aligned, self.encoder, self.settings, self.folder = aligned, encoder, settings, folder
        self.usable = [row for row in range(len(aligned)) if aligned.kept(row).any()]
        self.views = evenly_spaced_views(settings.views, aligned.views)
        if settings.cache != "none":
            self._arrays = self._open()

    def fill(self, *, rank: int = 0, world_size: int = 1, progress: Progress | None = None) -> None:
        """Compute what is missing.

        Args:
            rank: Index of this process.
            world_size: Number of processes that share the work.
            progress: Called after each pass.

        Raises:
            FileFormatError: If a map or image cannot be read.
        """
        if self.settings.cache == "none":
            return
        left = self._arrays.missing(rank=rank, world_size=world_size)
        try:
            for start in range(0, len(left), _AT_ONCE):
                rows = left[start : start + _AT_ONCE]
                values = {"pictures": self._pictures(rows)}
                if self.settings.cache == "tokens":
                    values["tokens"], values["frozen"] = self._tokens(rows)
                self._arrays.put(rows, **values)
                if progress:
                    progress(start + len(rows), len(left))
        finally:
            self._arrays.flush()

    def row(self, row: int) -> Row:
        """Return the features of a shape; those that are not cached are computed."""
        views = self.views
        pictures = self._pictures([row])[0][views] if self.settings.cache == "none" else self._arrays["pictures"][row, views]
        kept = self.aligned.kept(row)[views]
        if self.settings.cache == "tokens":
            return Row(self._arrays["tokens"][row, views], self._arrays["frozen"][row, views], pictures, kept)
        tokens, frozen = self._tokens([row])
        return Row(tokens[0, views], frozen[0, views], pictures, kept)

    @torch.no_grad()
    def _tokens(self, rows: Sequence[int]) -> tuple[Float[np.ndarray, "rows views tokens width"], Float32[np.ndarray, "rows views width"]]:
        maps, towers = self._stacked([self.aligned.depth(row) for row in rows]), self.encoder.towers
        tokens, frozen = [], []
        for part in maps.split(self.encoder.batch_size):
            seen = towers.trunk(self.encoder.prepare(part))
            tokens.append(seen.to(getattr(torch, self.settings.cache_type)).cpu())
            frozen.append(towers.frozen_token(seen).float().cpu())
        whole, ends = (torch.cat(parts).unflatten(0, (len(rows), -1)).numpy() for parts in (tokens, frozen))
        return whole, ends

    @torch.no_grad()
    def _pictures(self, rows: Sequence[int]) -> Float[np.ndarray, "rows views dim"]:
        pictures = self._stacked([self.aligned.pictures(row) for row in rows])
        found: np.ndarray = self.encoder.encode_images(pictures).unflatten(0, (len(rows), -1)).cpu().numpy()
        return found

    def _stacked(self, views: Sequence[UInt8[np.ndarray, "views size size *channels"]]) -> Tensor:
        """Stack images as values in [0, 1], channels first."""
        whole = torch.from_numpy(np.concatenate(views)).float() / 255
        return whole.movedim(3, 1) if whole.ndim == 4 else whole

    def _open(self) -> ArrayCache:
        """Open or create the arrays; check that they belong to this encoder and these images."""
        vision, count = self.encoder.config.image_tower, len(self.aligned)
        sizes: dict[str, tuple[tuple[int, ...], str]] = {"pictures": ((count, self.aligned.views, self.encoder.embedding_dim), "float32")}
        if self.settings.cache == "tokens":
            tokens = 1 + (vision.image_size // (vision.patch_size or 1)) ** 2
            sizes["tokens"] = ((count, self.aligned.views, tokens, vision.width), self.settings.cache_type)
            sizes["frozen"] = ((count, self.aligned.views, vision.width), "float32")
        remedy = "Set cache=pictures to cache the features of the images alone."
        return ArrayCache(self.folder, sizes, identity=self._identity(), remedy=remedy)

    def _identity(self) -> dict[str, Any]:
        from basrelief.encoders.tuned import base_fingerprint

        keys = hashlib.sha256("\0".join(self.aligned.keys).encode()).hexdigest()[:16]
        tower = [base_fingerprint(self.encoder), list(self.encoder.mean), list(self.encoder.std), self.settings.blocks]
        return {"format": 1, "tower": tower, "keys": keys}


def cache_bytes(config: ClipConfig, aligned: AlignedSet, *, settings: OpenDlignSettings) -> int:
    """Return the size of the cache.

    Args:
        config: Configuration of the encoder.
        aligned: Depth-aligned images.
        settings: Settings of the run.
    """
    tokens = 1 + (config.image_tower.image_size // (config.image_tower.patch_size or 1)) ** 2
    each = 4 * config.embed_dim * (settings.cache != "none")
    if settings.cache == "tokens":
        each += config.image_tower.width * (4 + (2 if settings.cache_type == "float16" else 4) * tokens)
    return len(aligned) * aligned.views * each


class TrainingCost(NamedTuple):
    """Cost of an alignment.

    Attributes:
        parameters: Trainable parameters.
        steps: Steps of the run.
        cache_bytes: Size of the features on disk.
    """

    parameters: int
    steps: int
    cache_bytes: int


def alignment_cost(config: ClipConfig, aligned: AlignedSet, *, settings: OpenDlignSettings) -> TrainingCost:
    """Return the cost of an alignment.

    Args:
        config: Configuration of the encoder.
        aligned: Depth-aligned images.
        settings: Settings of the run.
    """
    steps = len(aligned) // settings.batch_size * settings.epochs
    return TrainingCost(trainable_parameters(config, blocks=settings.blocks), steps, cache_bytes(config, aligned, settings=settings))


def trainable_parameters(config: ClipConfig, *, blocks: int = 1) -> int:
    """Return the number of trainable parameters: the attention of the tuned blocks, 4 W^2 + 4 W each.

    Args:
        config: Configuration of the encoder.
        blocks: Number of tuned blocks.
    """
    width = config.image_tower.width
    return blocks * 4 * (width**2 + width)
