"""Write records: tar shards in webdataset's layout, or one folder for each shape.

A record is a few small files: `label.json`, `0.png`, ... In a shard they are `KEY.label.json`, `KEY.0.png`, ... Shards and folders are
written atomically, so a killed run leaves no partial ones.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from basrelief.errors import ConfigError
from basrelief.output import output_errors, remove_temporary_files, replace_file, to_json, write_text

MANIFEST = "records.json"
LAYOUTS = ("shards", "folders")
MAX_SIDE = 2048
"""Maximum side of a picture in a record, in pixels."""

Record = Mapping[str, bytes]
"""File names and contents, `label.json` first."""


def shard_name(number: int) -> str:
    """Return the name of a shard."""
    return f"shard-{number:06d}.tar"


def write_manifest(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the manifest of a folder, or check that the existing one is the same.

    Raises:
        ConfigError: If the folder holds records with other settings.
    """
    path, text = folder / MANIFEST, to_json(record, indent=1) + "\n"
    if not path.is_file():
        write_text(path, text)
    elif _same_manifest(path, text):
        return
    else:
        raise ConfigError(f"Folder {folder.name!r} holds other files. Name another folder.")


def write_folder(folder: Path, key: str, record: Record) -> None:
    """Write a record as a folder, atomically."""
    part = folder / f".{key}.part"
    shutil.rmtree(part, ignore_errors=True)
    with output_errors(folder / key):
        part.mkdir(parents=True)
        for name, content in record.items():
            (part / name).write_bytes(content)
        part.replace(folder / key)


def pack_shard(folder: Path, work: Path, *, number: int, keys: Iterable[str]) -> None:
    """Move finished folders into a shard, atomically.

    Args:
        folder: Folder of the shards.
        work: Folder of the finished folders.
        number: Number of the shard.
        keys: Names of the folders, in order; missing ones are skipped.
    """
    remove_temporary_files(folder / shard_name(number))
    with replace_file(folder / shard_name(number)) as part, tarfile.open(part, "w") as tar:
        for key in keys:
            files = (work / key).iterdir() if (work / key).is_dir() else ()
            for file in sorted(files, key=lambda file: (file.suffix != ".json", file.suffix != ".npy", len(file.name), file.name)):
                _add(tar, f"{key}.{file.name}", file.read_bytes())
    shutil.rmtree(work, ignore_errors=True)


def png_bytes(picture: np.ndarray) -> bytes:
    """Encode a picture, (H, W) or (H, W, 3) uint8, as PNG."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "png", compress_level=4)
    return data.getvalue()


def _same_manifest(path: Path, text: str) -> bool:
    with suppress(OSError, ValueError, RecursionError):
        return bool(json.loads(path.read_text(encoding="utf-8")) == json.loads(text))
    return False


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # no time and owner: the same records give the same bytes
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
