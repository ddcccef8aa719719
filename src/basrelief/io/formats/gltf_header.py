"""The JSON header of glTF 2.0 in .gltf and .glb files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits

_PREFIX = 20  # magic, version and length of a .glb, then length and kind of its first chunk

Header = Mapping[str, Any]


def json_span(path: Path, prefix: bytes) -> tuple[int, int]:
    """Return the position of the JSON chunk of a .glb.

    Args:
        path: The file, for messages.
        prefix: At least its first 20 bytes.

    Returns:
        Declared start and end of the chunk.

    Raises:
        FileFormatError: If it is glTF 1.0, or does not begin with a JSON chunk.
    """
    if prefix[:4] != b"glTF" or len(prefix) < _PREFIX:
        raise FileFormatError(f"{path.name} does not start with a complete glTF header. Check its file extension, or export it again.")
    _check_version(path, str(int.from_bytes(prefix[4:8], "little")))
    if prefix[16:20] != b"JSON":
        raise FileFormatError(f"{path.name} does not begin with a JSON chunk. Export it again.")
    return _PREFIX, _PREFIX + int.from_bytes(prefix[12:16], "little")


def parse_header(path: Path, data: bytes) -> Header:
    """Parse a glTF header.

    Args:
        path: The file, for messages.
        data: The JSON.

    Returns:
        The header; its entries may be of any type.

    Raises:
        FileFormatError: If it is not a JSON object, holds more than `Limits.json_values`, or is glTF 1.0.
        ValueError: If it is not JSON.
    """
    check_count(path, len(data), limits().text_bytes, of="bytes of JSON")
    check_count(path, data.count(b",") + data.count(b"[") + data.count(b"{"), limits().json_values, of="values of JSON")
    header = json.loads(data)
    if not isinstance(header, dict):
        raise FileFormatError(f"{path.name} has no glTF header. Export it again.")
    asset = header.get("asset", {})
    _check_version(path, str(asset.get("version", "2.0") if isinstance(asset, dict) else "2.0"))
    return header


def _check_version(path: Path, version: str) -> None:
    major = version[:8].partition(".")[0]
    if major in ("0", "1"):
        raise FileFormatError(f"{path.name} is glTF {major}.0, which is not supported. Export it as glTF 2.0.")
