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
from basrelief.limits import limits
from basrelief.train.records.store import LAYOUTS, MANIFEST

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
        """One file of a record.

        Raises:
            FileFormatError: If it is not there, or larger than `Limits.record_bytes`.
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
        record = json.loads(read_file(path, limits().list_bytes))
        if record["format"] != kind or record["layout"] not in LAYOUTS or not isinstance(record["labels"], list):
            raise ValueError(f"format {str(record['format'])[:80]!r}")
        if not all(isinstance(label, str) for label in record["labels"]):
            raise ValueError("labels that are no texts")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
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
    except (ValueError, TypeError, KeyError, RecursionError) as error:
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
        if isinstance(source, Path) and not source.is_file():
            raise ValueError("no file")
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
            for member in _members(shard):
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
        try:
            with shard.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise FileFormatError(f"shard {shard.name} cannot be read: {error.strerror}. Check the disk.") from error
        if len(data) < size:
            raise FileFormatError(f"shard {shard.name} ends within a record. Remove it and make it again.")
        return data


class _Folders(RecordSet):
    """One folder for each shape."""

    def __init__(self, home: Path, manifest: dict[str, Any]) -> None:
        self.manifest, self._home = manifest, home
        self.keys = tuple(sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")))

    def read(self, row: int, name: str) -> bytes:
        try:
            return read_file(self._home / self.keys[row] / name, limits().record_bytes)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileFormatError(
                f"record must have all its files, but got {self.keys[row]!r} without {name}: {reason}. Make it again."
            ) from error


def _members(shard: Path) -> list[tarfile.TarInfo]:
    """The files of a shard; their content lies in it, whatever their headers say."""
    try:
        if not shard.is_file():
            raise ValueError("no file")
        whole, most = shard.stat().st_size, limits().record_bytes
        with tarfile.open(shard, "r:") as tar:
            members = list(tar)
        for member in members:
            if not member.isreg() or member.issparse() or member.size > most or member.offset_data + member.size > whole:
                raise ValueError(f"{member.name[:80]!r}, which is no plain file of at most {most:,} bytes")
    except (OSError, ValueError, OverflowError, EOFError, tarfile.TarError) as error:
        raise FileFormatError(f"shard must be a whole tar file, but got {shard.name}: {error}. Remove it and make it again.") from error
    return members


def read_file(path: Path, most: int) -> bytes:
    """A file of records.

    Args:
        path: A file; a pipe or a device is none, and would never end.
        most: Its largest size.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no plain file, or larger.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no plain file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it holds more than {most:,} bytes")
    return data
