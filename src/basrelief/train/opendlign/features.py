"""What the alignment does not change, worked out once: the trunk's tokens of the depth maps, and the frozen features of the images.

Both are kept on disk as plain arrays that are mapped, not read, so that memory does not grow with the library. A row counts when its byte
in `done.npy` says so; a run that was stopped fills the others.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder
from basrelief.errors import ConfigError
from basrelief.output import make_folder, output_errors, to_json, write_text
from basrelief.train.depth_aligned import AlignedSet
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.train.records import Progress

_AT_ONCE = 4  # shapes in one pass of the trunk
_FLUSH = 64  # shapes between two visits to the disk


class Row(NamedTuple):
    """One shape as a step reads it.

    Attributes:
        tokens: Of the depth maps, before the blocks that are tuned.
        frozen: Their class tokens after the frozen last blocks.
        pictures: Frozen features of the images, as the tower gives them.
        kept: Which views count.
    """

    tokens: Float[np.ndarray, "views tokens width"]
    frozen: Float[np.ndarray, "views width"]
    pictures: Float[np.ndarray, "views dim"]
    kept: Bool[np.ndarray, " views"]


class FeatureStore:
    """The frozen part of the tower on every shape of a set.

    Attributes:
        aligned: Maps and images.
        encoder: Behind its preprocessing, with the tuned blocks in place, which decide where the trunk ends.
        views: Numbers of the views that are used; what is kept holds all of them, so that runs with other numbers may share it.
    """

    def __init__(self, aligned: AlignedSet, encoder: ClipEncoder, *, settings: OpenDlignSettings, folder: Path) -> None:
        self.aligned, self.encoder, self.settings, self.folder = aligned, encoder, settings, folder
        self.views = evenly_spaced_views(settings.views, aligned.views)
        self._arrays: dict[str, Any] = {}
        if settings.cache != "none":
            self._open()

    def fill(self, *, rank: int = 0, world_size: int = 1, progress: Progress | None = None) -> None:
        """Compute what is missing.

        Args:
            rank: Index of this process.
            world_size: Number of processes that share the work.
            progress: Told after each pass.

        Raises:
            FileFormatError: If a map or image cannot be read.
        """
        if self.settings.cache == "none":
            return
        left = [row for row in np.flatnonzero(self._arrays["done"] == 0).tolist() if row % world_size == rank]
        pending: list[int] = []
        try:
            for start in range(0, len(left), _AT_ONCE):
                rows = left[start : start + _AT_ONCE]
                self._arrays["pictures"][rows] = self._pictures(rows)
                if self.settings.cache == "tokens":
                    self._arrays["tokens"][rows], self._arrays["frozen"][rows] = self._tokens(rows)
                pending += rows
                if len(pending) >= _FLUSH:
                    self._settle(pending)
                    pending = []
                if progress:
                    progress(start + len(rows), len(left))
        finally:
            self._settle(pending)

    def _settle(self, rows: list[int]) -> None:
        """Bring rows to the disk, then say that they are there."""
        for array in self._arrays.values():
            array.flush()
        self._arrays["done"][rows] = 1
        self._arrays["done"].flush()

    def row(self, row: int) -> Row:
        """One shape; what is not kept is worked out now."""
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
        """Values in [0, 1], channels first."""
        whole = torch.from_numpy(np.concatenate(views)).float() / 255
        return whole.movedim(3, 1) if whole.ndim == 4 else whole

    def _open(self) -> None:
        """Open the arrays, or make them empty; those of another tower or set are refused."""
        vision, count = self.encoder.config.vision, len(self.aligned)
        shapes = {"done": ((count,), "uint8"), "pictures": ((count, self.aligned.views, self.encoder.embedding_dim), "float32")}
        if self.settings.cache == "tokens":
            tokens = 1 + (vision.image_size // (vision.patch_size or 1)) ** 2
            shapes["tokens"] = ((count, self.aligned.views, tokens, vision.width), self.settings.cache_type)
            shapes["frozen"] = ((count, self.aligned.views, vision.width), "float32")
        identity, path = self._identity(shapes), self.folder / "features.json"
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) != identity:
                raise ConfigError(
                    f"cache must hold features of this tower and set, but got others in {self.folder.name!r}. Name another folder."
                )
        else:
            self._make(shapes)
            write_text(path, to_json(identity))
        self._arrays = {name: np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="r+") for name in shapes}

    def _make(self, shapes: dict[str, tuple[tuple[int, ...], str]]) -> None:
        make_folder(self.folder)
        wanted = sum(int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize for shape, kind in shapes.values())
        free = shutil.disk_usage(self.folder).free
        if wanted > free:
            raise ConfigError(
                f"cache must fit the disk, but got {wanted / 1e9:.1f} GB for {free / 1e9:.1f} GB that are free. Set cache=pictures, "
                "which keeps the images' features alone."
            )
        for name, (shape, kind) in shapes.items():
            with output_errors(self.folder / f"{name}.npy"):
                np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape).flush()

    def _identity(self, shapes: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, Any]:
        from basrelief.encoders.tuned import base_fingerprint

        keys = hashlib.sha256("\0".join(self.aligned.keys).encode()).hexdigest()[:16]
        sizes = {name: [list(shape), kind] for name, (shape, kind) in sorted(shapes.items())}
        tower = [base_fingerprint(self.encoder), list(self.encoder.mean), list(self.encoder.std), self.settings.blocks]
        return {"format": 1, "tower": tower, "keys": keys, "arrays": sizes}


def evenly_spaced_views(count: int, of: int) -> list[int]:
    """Numbers of `count` views, evenly over the `of` of a rig.

    Raises:
        ConfigError: If there are not so many.
    """
    if not 1 <= count <= of:
        raise ConfigError(f"views must lie between 1 and {of}, the views that were drawn, but got {count}. Leave it out for all.")
    return [i * of // count for i in range(count)]


def cache_bytes(config: ClipConfig, aligned: AlignedSet, *, settings: OpenDlignSettings) -> int:
    """Size of what is kept on disk.

    Args:
        config: Of the towers.
        aligned: The shapes.
        settings: What is kept.
    """
    tokens = 1 + (config.vision.image_size // (config.vision.patch_size or 1)) ** 2
    each = 4 * config.embed_dim * (settings.cache != "none")
    if settings.cache == "tokens":
        each += config.vision.width * (4 + (2 if settings.cache_type == "float16" else 4) * tokens)
    return len(aligned) * aligned.views * each


def trainable_parameters(config: ClipConfig, *, blocks: int = 1) -> int:
    """How many numbers are trained: the attention of the tuned blocks, 4 W^2 + 4 W each.

    Args:
        config: Of the towers.
        blocks: How many are tuned.
    """
    width = config.vision.width
    return blocks * 4 * (width**2 + width)
