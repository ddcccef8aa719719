"""Records read again, by key and file name; the files stay closed between reads."""

from __future__ import annotations

import io
import json
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from basrelief.errors import FileFormatError
from basrelief.train.records.store import LAYOUTS, MANIFEST

_MAX_BYTES = 50_000_000
_MAX_SIDE = 2048


class RecordSet(ABC):
    """Records of a folder.

    Attributes:
        keys: Name of each record, sorted by shard or name.
        manifest: What they have in common.
    """

    keys: Sequence[str]
    manifest: dict[str, Any]

    @abstractmethod
    def read(self, row: int, name: str) -> bytes:
        """One file of a record, at most 50 MB of it.

        Raises:
            FileFormatError: If it is not there.
        """

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the manifest."""
        return tuple(self.manifest["labels"])

    def truth(self) -> list[int]:
        """Class number of each record."""
        return [read_label(self.read(row, "label.json"), labels=self.labels, key=key) for row, key in enumerate(self.keys)]


def open_records(folder: Path, kind: str) -> RecordSet:
    """Open what `make_records` wrote.

    Args:
        folder: With the manifest.
        kind: The maker's `format`.

    Raises:
        FileFormatError: If the manifest is of something else, or a shard is damaged.
    """
    manifest = read_manifest(folder / MANIFEST, kind)
    return _Shards(folder, manifest) if manifest["layout"] == "shards" else _Folders(folder, manifest)


def read_manifest(path: Path, kind: str) -> dict[str, Any]:
    """What records have in common.

    Raises:
        FileFormatError: If it is no manifest of that format.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != kind or record["layout"] not in LAYOUTS or not isinstance(record["labels"], list):
            raise ValueError(f"format {record['format']!r}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileFormatError(
            f"folder must have the manifest of {kind!r}, but got {path.parent.name!r}: {error}. Make its records again."
        ) from error
    return dict(record)


def read_label(data: bytes, *, labels: Sequence[str], key: str) -> int:
    """Class number in a `label.json`.

    Raises:
        FileFormatError: If it holds no label of the list.
    """
    try:
        return labels.index(json.loads(data)["label"])
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(f"record must have a label of the manifest, but got {key!r}: {error}. Make it again.") from error


def read_picture(source: Path | io.BytesIO, key: str, *, mode: str = "RGB") -> UInt8[np.ndarray, "size size *channels"]:
    """A PNG of at most 2,048 pixels a side.

    Args:
        source: The file or its bytes.
        key: Of the record, for the message.
        mode: Pillow's: `RGB`, or `L` for one channel.

    Raises:
        FileFormatError: If it is no such picture.
    """
    try:
        with Image.open(source, formats=("PNG",)) as picture:
            if max(picture.size) > _MAX_SIDE:
                raise ValueError(f"{picture.size} pixels")
            return np.asarray(picture.convert(mode))
    except (OSError, ValueError, Image.DecompressionBombError, SyntaxError) as error:
        raise FileFormatError(f"record must hold pictures, but got {key!r}: {error}. Make it again.") from error


class _Shards(RecordSet):
    """Members of tar files, read by their place."""

    def __init__(self, home: Path, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        place: dict[str, dict[str, tuple[Path, int, int]]] = {}
        for shard in sorted(home.glob("shard-*.tar")):
            with _opened(shard) as tar:
                for member in tar:
                    key, _, name = member.name.partition(".")
                    place.setdefault(key, {})[name] = (shard, member.offset_data, member.size)
        self._place = place
        self.keys = tuple(place)

    def read(self, row: int, name: str) -> bytes:
        place = self._place[self.keys[row]].get(name)
        if place is None:
            raise FileFormatError(
                f"record must have all its files, but got {self.keys[row]!r} without {name}. Remove its shard and make it again."
            )
        shard, offset, size = place
        with shard.open("rb") as file:
            file.seek(offset)
            return file.read(min(size, _MAX_BYTES))


class _Folders(RecordSet):
    """One folder for each shape."""

    def __init__(self, home: Path, manifest: dict[str, Any]) -> None:
        self.manifest, self._home = manifest, home
        self.keys = tuple(sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")))

    def read(self, row: int, name: str) -> bytes:
        try:
            with (self._home / self.keys[row] / name).open("rb") as file:
                return file.read(_MAX_BYTES)
        except OSError as error:
            raise FileFormatError(
                f"record must have all its files, but got {self.keys[row]!r} without {name}: {error.strerror}. Make it again."
            ) from error


def _opened(shard: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(shard, "r:")
    except (OSError, tarfile.TarError) as error:
        raise FileFormatError(f"shard must be a whole tar file, but got {shard.name}: {error}. Remove it and make it again.") from error
