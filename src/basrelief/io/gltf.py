"""glTF 2.0, binary (.glb) and text (.gltf): guarded, then parsed by trimesh."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.checks import check_count
from basrelief.io.graph import count_instances
from basrelief.io.mesh import parse
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_NUMBERS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_DRACO = "KHR_draco_mesh_compression"
_UNREADABLE = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_READABLE_MODES = (0, 1, 2, 3, 4, 5)  # all but triangle fans; points and lines are passed over beside triangles
_OVERLAP = 4  # how often accessors may read the same byte before it is taken for an attack


def read_gltf(source: Source) -> Raw:
    """Read .glb or .gltf: all triangle primitives, node transforms applied.

    Args:
        source: The file; buffers and textures are sought in its folder only.

    Returns:
        Vertices and faces, +Y up as the specification says.

    Raises:
        FileFormatError: If an accessor is larger than its data, nodes form a cycle, or a feature is not supported.
        MissingExtraError: If the mesh is compressed with Draco and its decoder is not installed.
    """
    data = source.read()
    header = json.loads(_json_chunk(data) if source.format == "glb" else data)
    if not isinstance(header, dict):
        raise FileFormatError(f"path must hold a glTF header, but got {source.path.name} without one. Export it again.")
    _check_extensions(source, header)
    _check_accessors(source, header)
    _check_primitives(source, header)
    _check_nodes(source, header.get("nodes", []))
    raw = parse(source, data, linear=True)
    if _DRACO in header.get("extensionsUsed", []) and raw.faces is not None and (raw.faces == raw.faces[:, :1]).all(axis=1).any():
        # trimesh leaves faces 0, 0, 0 where its decoder fails
        raise FileFormatError(f"path must hold whole Draco data, but got {source.path.name} with some damaged. Fetch or export it again.")
    return dataclasses.replace(raw, up="y", up_reason="glTF is +Y up by its specification")


def _json_chunk(data: bytes) -> bytes:
    return data[20 : 20 + int.from_bytes(data[12:16], "little")]


def _check_extensions(source: Source, header: Mapping[str, Any]) -> None:
    used = {*header.get("extensionsUsed", []), *header.get("extensionsRequired", [])}
    if _DRACO in used and importlib.util.find_spec("DracoPy") is None:
        raise MissingExtraError(
            f"{source.path.name} must be decoded with Draco, but got no DracoPy installed. Run `pip install 'basrelief[draco]'`."
        )
    unreadable = [name for name in _UNREADABLE if name in header.get("extensionsRequired", [])]
    if unreadable:
        raise FileFormatError(f"path must hold plain or Draco buffers, but got {source.path.name} with {unreadable[0]}. Export it without.")


def _check_accessors(source: Source, header: Mapping[str, Any]) -> None:
    """Check declared sizes against the data, so that a small file cannot ask for a large array."""
    stored = sum(int(buffer["byteLength"]) for buffer in header.get("buffers", []))
    read = 0
    for accessor in header.get("accessors", []):
        check_count(source.path, accessor["count"], limits().points, of="values in an accessor")
        size = accessor["count"] * _NUMBERS[accessor["type"]] * _BYTES[accessor["componentType"]]
        read += size if "bufferView" in accessor else 0
    draco = _DRACO in header.get("extensionsUsed", [])
    loose = sum(accessor["count"] for accessor in header.get("accessors", []) if "bufferView" not in accessor)
    check_count(source.path, loose, 4 * limits().points if draco else 4096, of="values without data")
    if read > _OVERLAP * stored + 4096:
        raise FileFormatError(
            f"path must hold the data it declares, but got {read:,} bytes declared of {stored:,} in {source.path.name}. Export it again."
        )


def _check_primitives(source: Source, header: Mapping[str, Any]) -> None:
    accessors: Sequence[Mapping[str, Any]] = header.get("accessors", [])
    for primitive in (primitive for mesh in header.get("meshes", []) for primitive in mesh["primitives"]):
        position = accessors[primitive["attributes"]["POSITION"]]
        if "sparse" in position or position.get("normalized") or primitive.get("mode", 4) not in _READABLE_MODES:
            raise FileFormatError(
                f"path must hold triangles with plain positions, but got {source.path.name} with sparse or normalised ones "
                "or a triangle fan. Export it again from a modelling program."
            )


def _check_nodes(source: Source, nodes: Sequence[Mapping[str, Any]]) -> None:
    children = {str(i): [str(child) for child in node.get("children", [])] for i, node in enumerate(nodes)}
    below = {child for of in children.values() for child in of}
    count_instances(source.path, children, [name for name in children if name not in below])
