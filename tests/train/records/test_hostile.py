"""Untrusted records: shards, links, sizes and pictures that are refused with a clear message."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.errors import ConfigError, FileFormatError
from basrelief.limits import limits, use_limits
from basrelief.train.pairs.make import FORMAT
from basrelief.train.pairs.read import open_pairs
from basrelief.train.records.make import FAILED, read_failures
from basrelief.train.records.read import open_records, read_picture
from basrelief.train.records.store import png_bytes, write_manifest

MANIFEST = {"format": FORMAT, "layout": "shards", "labels": ["chair"], "style": {}}


def npy(points: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, points)
    return data.getvalue()


GOOD = {
    "label.json": b'{"label": "chair"}',
    "points.npy": npy(np.zeros((4, 3), np.float32)),
    **{f"{view}.png": png_bytes(np.zeros((8, 8, 3), np.uint8)) for view in range(10)},
}


def shard(folder: Path, *members: tarfile.TarInfo, **changes: bytes) -> Path:
    (folder / "records.json").write_text(json.dumps(MANIFEST))
    with tarfile.open(folder / "shard-000000.tar", "w") as tar:
        for name, data in (GOOD | {name.replace("_", "."): data for name, data in changes.items()}).items():
            entry = tarfile.TarInfo(f"key.{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return folder


def test_a_good_shard_is_read(tmp_path: Path) -> None:
    pairs = open_pairs(shard(tmp_path))
    assert (len(pairs), pairs.points(0).shape, pairs.picture(0, 9).shape) == (1, (4, 3), (8, 8, 3))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_members_that_are_not_files_are_rejected(kind: bytes, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("other.label.json")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(FileFormatError, match=r"Shard shard-000000\.tar is not a valid tar file: .*not a regular file"):
        open_pairs(shard(tmp_path, entry))


@pytest.mark.parametrize("size", [10**6, 10**10, 10**15])
def test_false_array_sizes_are_rejected(size: int, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("other.label.json")
    entry.size = size
    (shard(tmp_path) / "shard-000001.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(512))
    with pytest.raises(FileFormatError, match="is not a valid tar file: "):
        open_pairs(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 700, 3000])
def test_a_truncated_shard_is_rejected(keep: int, tmp_path: Path) -> None:
    path = shard(tmp_path) / "shard-000000.tar"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match=r"Shard shard-000000\.tar is not a valid tar file|has no "):
        pairs = open_pairs(tmp_path)
        [pairs.picture(0, view) for view in range(10)]


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{}", '{"format": 1}', "\x00", json.dumps(MANIFEST | {"labels": [1]})])
def test_an_invalid_manifest_is_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(text)
    with pytest.raises(FileFormatError, match="has no valid manifest of"):
        open_records(tmp_path, FORMAT)
    with pytest.raises(ConfigError, match="holds other files. Name another folder."):
        write_manifest(tmp_path, MANIFEST)


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b'{"label": []}', b'{"label": "mug"}', b"\xff"])
def test_an_invalid_label_is_rejected(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="has no label of the manifest: "):
        open_pairs(shard(tmp_path, label_json=text))


def _npy_head(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy(np.zeros((4, 3), np.float32))[:-4],
        npy(np.zeros((4, 3), np.float32)) + b"more",
        npy(np.zeros((0, 3), np.float32)),
        npy(np.zeros((4, 3), np.int64)),
        npy(np.full((4, 3), np.nan, np.float32)),
        _npy_head("{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 3)}\n"),
        _npy_head("{'descr': '|O', 'fortran_order': False, 'shape': (1, 3)}\n") + b"\x80\x02N.",
        _npy_head("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}\n"),
        _npy_head("{'descr': " + "(" * 5000 + "\n"),
        _npy_head("{}\n", b"\x09\x00"),
    ],
)
def test_invalid_points_are_rejected(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="has no valid points|has points of shape|NaN or infinity"):
        open_pairs(shard(tmp_path, points_npy=content)).points(0)


def _png(width: int, height: int) -> bytes:
    """A picture of so many pixels whose bytes unpack to few."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [_png(60_000, 60_000), _png(2049, 1), _png(2000, 2000), b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_invalid_and_huge_pictures_are_rejected(content: bytes) -> None:
    with pytest.raises(FileFormatError, match="Record 'key' has no readable picture"):
        read_picture(io.BytesIO(content), "key")


def test_a_member_above_the_limit_is_rejected(tmp_path: Path) -> None:
    with use_limits(replace(limits(), record_bytes=100)), pytest.raises(FileFormatError, match="not a regular file of at most 100 bytes"):
        open_pairs(shard(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_pipes_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(json.dumps(MANIFEST | {"layout": "folders"}))
    (tmp_path / "key").mkdir()
    os.mkfifo(tmp_path / "key" / "label.json")
    with pytest.raises(FileFormatError, match="has no readable label.json: it is not a regular file"):
        open_pairs(tmp_path)
    with pytest.raises(FileFormatError, match="Record 'key' has no readable picture: no such file"):
        read_picture(tmp_path / "key" / "label.json", "key")


def test_invalid_failure_records_are_ignored(tmp_path: Path) -> None:
    (tmp_path / FAILED).write_text('{"id": 3, "error": []}\n[]\n{"id": "x"}\n' + "[" * 100_000 + '\n{"id": "y", "err')
    assert read_failures(tmp_path) == [("3", "[]")]
