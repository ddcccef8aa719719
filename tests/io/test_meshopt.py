"""Buffers compressed with meshoptimizer, against recorded output of the original."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.meshopt import decode_indices, decode_triangles, decode_vertices
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh
from support import parity_arrays

from .conftest import Put
from .gltfs import inline

RECORDED = parity_arrays("meshopt.npz")
NAMES = sorted(name.removesuffix(".data") for name in RECORDED if name.endswith(".data"))


def recording(name: str) -> tuple[bytes, np.ndarray]:
    return RECORDED[f"{name}.data"].tobytes(), RECORDED[f"{name}.expected"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vertices")])
@pytest.mark.parametrize("rows", [1 << 18, 300, 1])
def test_vertices_are_exact(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.io.meshopt._ROWS", rows)
    data, expected = recording(name)
    assert np.array_equal(decode_vertices(data, count=len(expected), stride=expected.shape[1]), expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("triangles", "indices"))])
def test_indices_are_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.io.meshopt._PIECE", 100)
    data, expected = recording(name)
    decode = decode_triangles if name.startswith("triangles") else decode_indices
    assert np.array_equal(decode(data, count=len(expected)), expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("filter")])
def test_filters_are_exact_to_one_step(name: str) -> None:
    data, expected = recording(name)
    kind = {"EXPONENTIAL": "<f4", "COLOR": "u", "OCTAHEDRAL": "i", "QUATERNION": "i"}[name.split("-")[1]]
    kind = kind if kind == "<f4" else f"<{kind}{expected.shape[1] // 4}"
    found = decode_vertices(data, count=len(expected), stride=expected.shape[1], kind=name.split("-")[1])
    assert np.abs(found.view(kind).astype(float) - expected.view(kind).astype(float)).max() <= (0 if kind == "<f4" else 1)


def compressed(**changes: Any) -> str:
    """A .gltf of the recorded grid of 361 squares, 20 by 20 points."""
    triangles, _ = recording("triangles-grid")
    points, _ = recording("vertices-waves-1-3-16")
    data = points + triangles
    extension = "EXT_meshopt_compression"
    views: list[dict[str, Any]] = [
        {"buffer": 1, "byteLength": 8480, "byteStride": 16},
        {"buffer": 1, "byteOffset": 8480, "byteLength": 2166 * 2},
    ]
    packed = [
        {"buffer": 0, "byteLength": len(points), "byteStride": 16, "count": 530, "mode": "ATTRIBUTES"},
        {"buffer": 0, "byteOffset": len(points), "byteLength": len(triangles), "byteStride": 2, "count": 2166, "mode": "TRIANGLES"},
    ]
    packed[1] |= changes
    header = {
        "asset": {"version": "2.0"},
        "extensionsRequired": [extension],
        "buffers": [
            {"byteLength": len(data), "uri": inline(data)},
            {"byteLength": 8480 + 2166 * 2, "extensions": {extension: {"fallback": True}}},
        ],
        "bufferViews": [view | {"extensions": {extension: more}} for view, more in zip(views, packed, strict=True)],
        "accessors": [
            {"bufferView": 0, "count": 530, "type": "VEC3", "componentType": 5126},
            {"bufferView": 1, "count": 2166, "type": "SCALAR", "componentType": 5123},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
    }
    return json.dumps(header)


def test_compressed_gltf(put: Put) -> None:
    _, points = recording("vertices-waves-1-3-16")
    _, corners = recording("triangles-grid")
    shape = shapes.load(put("a.gltf", compressed()), up="z")
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.vertices, points.view("<f4")[:, :3])
    assert np.array_equal(shape.faces, corners.reshape(-1, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "ATTRIBUTES"}, "The compressed data of a.gltf are damaged"),
        ({"mode": "OTHER"}, "The compressed data of a.gltf are damaged"),
        ({"count": 6000}, "The compressed data of a.gltf are damaged"),
        ({"count": -3}, "declares -3 elements"),
        ({"byteLength": 30}, "The compressed data of a.gltf are damaged"),
        ({"byteLength": 10**6}, "a buffer view reads"),
        ({"byteStride": 3}, "The compressed data of a.gltf are damaged"),
    ],
)
def test_damaged_compressed_gltf(changes: dict[str, Any], message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.gltf", compressed(**changes)))


def test_what_unpacks_to_too_much_is_refused(put: Put) -> None:
    with (
        use_limits(replace(limits(), unpacked_bytes=2166 * 2)),
        pytest.raises(FileFormatError, match="a.gltf unpacks to more than 4,332 bytes"),
    ):
        shapes.load(put("a.gltf", compressed()))
    with pytest.raises(FileFormatError, match="declares 60,000,003 elements of compressed data; at most 60,000,000"):
        shapes.load(put("a.gltf", compressed(count=60_000_003)))


@pytest.mark.parametrize("name", ["vertices-steps-0-0-12", "vertices-waves-1-3-16", "triangles-ordered", "indices-noise"])
def test_mutated_data_never_raise_anything_else(name: str) -> None:
    data, expected = recording(name)
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(data[: rng.integers(1, len(data) + 1)])
        for at in rng.integers(0, len(changed), 3):
            changed[at] = rng.integers(0, 256)
        try:
            if name.startswith("vertices"):
                decode_vertices(bytes(changed), count=len(expected), stride=expected.shape[1])
            else:
                (decode_triangles if name.startswith("triangles") else decode_indices)(bytes(changed), count=len(expected))
        except (ValueError, IndexError):
            continue
