"""Pairs on disk: tar shards that webdataset reads, or one folder for each shape, as the original keeps its `rendering`.

A shard holds for each shape `KEY.points.npy`, `KEY.json` and `KEY.0.png` to `KEY.9.png`. A shard or folder appears under its name only when
it is whole, so that a killed run leaves nothing half.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from basrelief.errors import ConfigError
from basrelief.train.pairs.draw import RIG, DrawnPair, PairStyle

MANIFEST = "pairs.json"
FORMAT = "basrelief pairs 1"
LAYOUTS = ("shards", "folders")


def shard_name(number: int) -> str:
    """Name of a shard."""
    return f"pairs-{number:06d}.tar"


def write_manifest(folder: Path, style: PairStyle, *, layout: str, labels: Sequence[str], data: str) -> None:
    """Write what the whole folder has in common, or check that it is what was written before.

    Raises:
        ConfigError: If the folder holds pairs drawn otherwise.
    """
    record = {"format": FORMAT, "rig": RIG, "layout": layout, "style": asdict(style), "labels": list(labels), "data": data}
    path = folder / MANIFEST
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != record:
            raise ConfigError(f"out must hold pairs of this command, but got others in {folder.name!r}. Name another folder.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def write_shard(folder: Path, number: int, pairs: Iterable[tuple[str, str, DrawnPair]]) -> None:
    """Write one shard whole.

    Args:
        folder: Of the shards.
        number: Of this one.
        pairs: Key, label and content of each shape.
    """
    part = folder / f".{shard_name(number)}.part"
    with tarfile.open(part, "w") as tar:
        for key, label, pair in pairs:
            _add(tar, f"{key}.json", json.dumps({"label": label}).encode())
            _add(tar, f"{key}.points.npy", _npy(pair.points))
            for view, picture in enumerate(pair.pictures):
                _add(tar, f"{key}.{view}.png", picture)
    part.replace(folder / shard_name(number))


def write_folder(folder: Path, key: str, label: str, pair: DrawnPair) -> None:
    """Write one shape's folder whole."""
    part = folder / f".{key}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / "label.json").write_text(json.dumps({"label": label}), encoding="utf-8")
    (part / "points.npy").write_bytes(_npy(pair.points))
    for view, picture in enumerate(pair.pictures):
        (part / f"{view}.png").write_bytes(picture)
    part.replace(folder / key)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # time 0 and no owner: the same pairs give the same bytes
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _npy(points: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, points)
    return data.getvalue()
