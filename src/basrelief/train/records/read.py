"""Read records by index and file name; files are not kept open."""

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
from basrelief.train.records.store import LAYOUTS, MANIFEST, MAX_SIDE


class RecordSet(ABC):
    """Records of a folder.

    Attributes:
        keys: Name of each record, in the order of shards or names.
        manifest: Common settings of the records.
    """

    keys: Sequence[str]
    manifest: dict[str, Any]

    @abstractmethod
    def read(self, row: int, name: str) -> bytes:
        """Return a file of a record.

        Raises:
            FileFormatError: If it is missing, or larger than `Limits.record_bytes`.
        """

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the manifest."""
        return tuple(self.manifest["labels"])

    def truth(self) -> list[int]:
        """Return the class index of each record."""
        return [read_label(self.read(row, "label.json"), labels=self.labels, key=key) for row, key in enumerate(self.keys)]


def open_records(folder: Path, kind: str) -> RecordSet:
    """Open records written by `make_records`.

    Args:
        folder: Folder of the records.
        kind: `format` of their maker.

    Raises:
        FileFormatError: If the manifest has another format, or a shard is damaged.
    """
    manifest = read_manifest(folder / MANIFEST, kind)
    return _Shards(folder, manifest) if manifest["layout"] == "shards" else _Folders(folder, manifest)


def read_manifest(path: Path, kind: str) -> dict[str, Any]:
    """Read the manifest of records.

    Raises:
        FileFormatError: If it is not a manifest of that format.
    """
    try:
        record = json.loads(read_file(path, limits().list_bytes))
        if record["format"] != kind or record["layout"] not in LAYOUTS or not isinstance(record["labels"], list):
            raise ValueError(f"format {str(record['format'])[:80]!r}")
        if not all(isinstance(label, str) for label in record["labels"]):
            raise ValueError("labels are not strings")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileFormatError(f"Folder {path.parent.name!r} has no valid manifest of {kind!r}: {error}. Make its records again.") from error
    return dict(record)


def read_label(data: bytes, *, labels: Sequence[str], key: str) -> int:
    """Return the class index in a `label.json`.

    Raises:
        FileFormatError: If its label is not in the list.
    """
    try:
        return labels.index(json.loads(data)["label"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileFormatError(f"Record {key!r} has no label of the manifest: {error}. Make it again.") from error


def read_picture(source: Path | io.BytesIO, key: str, *, mode: str = "RGB") -> UInt8[np.ndarray, "size size *channels"]:
    """Read a PNG of at most 2,048 pixels a side.

    Args:
        source: File or bytes.
        key: Name of the record, for the error message.
        mode: Pillow mode: `RGB`, or `L` for one channel.

    Raises:
        FileFormatError: If it is not such a picture.
    """
    try:
        if isinstance(source, Path) and not source.is_file():
            raise ValueError("no such file")
        with Image.open(source, formats=("PNG",)) as picture:
            if max(picture.size) > MAX_SIDE:
                raise ValueError(f"{picture.size} pixels")
            return np.asarray(picture.convert(mode))
    except (OSError, ValueError, Image.DecompressionBombError, SyntaxError) as error:
        raise FileFormatError(f"Record {key!r} has no readable picture: {error}. Make it again.") from error


class _Shards(RecordSet):
    """Records in tar files."""

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
            raise FileFormatError(f"Record {self.keys[row]!r} has no {name}. Remove its shard and make it again.")
        shard, offset, size = place
        try:
            with shard.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise FileFormatError(f"Cannot read shard {shard.name}: {error.strerror}. Check the disk.") from error
        if len(data) < size:
            raise FileFormatError(f"Shard {shard.name} is truncated. Remove it and make it again.")
        return data


class _Folders(RecordSet):
    """Records in folders."""

    def __init__(self, home: Path, manifest: dict[str, Any]) -> None:
        self.manifest, self._home = manifest, home
        self.keys = tuple(sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")))

    def read(self, row: int, name: str) -> bytes:
        try:
            return read_file(self._home / self.keys[row] / name, limits().record_bytes)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileFormatError(f"Record {self.keys[row]!r} has no readable {name}: {reason}. Make it again.") from error


def _members(shard: Path) -> list[tarfile.TarInfo]:
    """List the files of a shard; check that their contents lie inside it."""
    try:
        if not shard.is_file():
            raise ValueError("no such file")
        whole, most = shard.stat().st_size, limits().record_bytes
        with tarfile.open(shard, "r:") as tar:
            members = list(tar)
        for member in members:
            if not member.isreg() or member.issparse() or member.size > most or member.offset_data + member.size > whole:
                raise ValueError(f"{member.name[:80]!r}, not a regular file of at most {most:,} bytes")
    except (OSError, ValueError, OverflowError, EOFError, tarfile.TarError) as error:
        raise FileFormatError(f"Shard {shard.name} is not a valid tar file: {error}. Remove it and make it again.") from error
    return members


def read_file(path: Path, most: int) -> bytes:
    """Read a file.

    Args:
        path: A regular file; a pipe or device could be endless.
        most: Maximum size in bytes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a regular file, or too large.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return data
