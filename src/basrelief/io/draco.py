"""Meshes compressed with Draco; their size is read from the header before decoding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count

_HEADER = 11  # bytes: DRACO, version, kind, method, flags
_MESH = 1
_SEQUENTIAL = 0
_METADATA = 0x80  # in the upper byte of the flags
FACES = -1
"""Key of the faces among the attributes."""


def decode_draco(path: Path, data: bytes, *, vertices: int, faces: int) -> Mapping[int, np.ndarray]:
    """Decode a mesh.

    Args:
        path: The file, for messages.
        data: The compressed mesh.
        vertices: Largest number of vertices to accept.
        faces: Largest number of faces to accept.

    Returns:
        (vertices, width) arrays by attribute id; (faces, 3) indices under the key `FACES`.

    Raises:
        FileFormatError: If the data are damaged, or larger than accepted.
    """
    import DracoPy

    try:
        declared_vertices, declared_faces = _declared(data)
    except IndexError:
        declared_vertices = declared_faces = -1
    if declared_faces < 0:
        raise _damaged(path)
    check_count(path, declared_vertices, vertices, of="vertices in compressed data")
    check_count(path, declared_faces, faces, of="faces in compressed data")
    try:
        mesh = DracoPy.decode(data)
    except Exception as error:
        raise _damaged(path) from error
    found = {int(attribute["unique_id"]): np.asarray(attribute["data"]) for attribute in mesh.attributes}
    return found | {FACES: np.asarray(mesh.faces).reshape(-1, 3)}


def _declared(data: bytes) -> tuple[int, int]:
    """Return the declared numbers of vertices and faces; -1 for anything but a mesh."""
    if data[:5] != b"DRACO" or data[7] != _MESH:
        return -1, -1
    version, sequential = (data[5], data[6]), data[8] == _SEQUENTIAL
    skipped = 0 if sequential or version >= (2, 2) else 1  # vertices that old versions add
    at, numbers = _after_metadata(data, _HEADER) if data[10] & _METADATA else _HEADER, []
    at += not sequential
    for _ in range(skipped + 2):
        fixed = version < (2, 2) if sequential else version < (2, 0)
        number, at = (int.from_bytes(data[at : at + 4], "little"), at + 4) if fixed else _varint(data, at)
        numbers.append(number)
    first, second = numbers[skipped:]
    return (second, first) if sequential else (first, second)


def _after_metadata(data: bytes, at: int) -> int:
    """Return where the metadata end: names with values, first of each attribute, then of the mesh, each with named metadata inside."""
    attributes, at = _varint(data, at)
    for number in range(attributes + 1):
        if number < attributes:
            _, at = _varint(data, at)  # which attribute
        waiting, named = 1, False
        while waiting:
            at += 1 + data[at] if named else 0
            entries, at = _varint(data, at)
            for _ in range(entries):
                size, at = _varint(data, at + 1 + data[at])
                at += size
            inside, at = _varint(data, at)
            waiting, named = waiting - 1 + inside, True
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 64:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            break
    return number, at


def _damaged(path: Path) -> FileFormatError:
    return FileFormatError(f"The Draco data of {path.name} are damaged. Download or export the file again.")
