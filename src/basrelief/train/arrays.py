"""Arrays on disk with one row for each shape, filled in any order and resumable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import ConfigError
from basrelief.output import make_folder, output_errors, to_json, write_text

ArraySizes = Mapping[str, tuple[tuple[int, ...], str]]
"""Dimensions and dtype of each array by its name."""
_FLUSH = 64  # rows between flushes


class ArrayCache:
    """Memory-mapped arrays in a folder, so memory use does not grow with the data; `done.npy` marks the finished rows.

    Attributes:
        folder: Holds `NAME.npy` of every array, and `features.json`, which says what they were computed from.
    """

    def __init__(self, folder: Path, sizes: ArraySizes, *, identity: Mapping[str, Any], remedy: str) -> None:
        """Open or create the arrays.

        Args:
            folder: Created if missing.
            sizes: The arrays; the first dimension of each is the number of rows.
            identity: What decides the values, as plain data.
            remedy: What to do if the disk is too small; ends the error message.

        Raises:
            ConfigError: If the folder holds arrays of another identity, or the disk is too small.
            OutputError: If a file cannot be written.
        """
        self.folder = folder
        sizes = {"done": ((next(iter(sizes.values()))[0][0],), "uint8"), **sizes}
        arrays = {name: [list(shape), kind] for name, (shape, kind) in sorted(sizes.items())}
        path, record = folder / "features.json", {**identity, "arrays": arrays}
        if not path.is_file():
            _make(folder, sizes, remedy)
            write_text(path, to_json(record))
        elif json.loads(path.read_text(encoding="utf-8")) != record:
            raise ConfigError(f"The cache {folder.name!r} holds features of another encoder or other images. Name another folder.")
        self._arrays: dict[str, Any] = {name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="r+") for name in sizes}
        self._pending: list[int] = []

    def __getitem__(self, name: str) -> np.ndarray:
        """Return an array."""
        found: np.ndarray = self._arrays[name]
        return found

    def missing(self, *, rank: int = 0, world_size: int = 1) -> list[int]:
        """Return the unfinished rows of one of several processes."""
        return [row for row in np.flatnonzero(self["done"] == 0).tolist() if row % world_size == rank]

    def put(self, rows: list[int], **values: np.ndarray) -> None:
        """Write finished rows; call `flush` after the last ones."""
        for name, value in values.items():
            self._arrays[name][rows] = value
        self._pending += rows
        if len(self._pending) >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Flush rows to disk, then mark them as done."""
        for array in self._arrays.values():
            array.flush()
        self._arrays["done"][self._pending] = 1
        self._arrays["done"].flush()
        self._pending = []


def _make(folder: Path, sizes: ArraySizes, remedy: str) -> None:
    make_folder(folder)
    wanted = sum(int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize for shape, kind in sizes.values())
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise ConfigError(f"The cache needs {wanted / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free. {remedy}")
    for name, (shape, kind) in sizes.items():
        with output_errors(folder / f"{name}.npy"):
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape).flush()
