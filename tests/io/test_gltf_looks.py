"""Colours of glTF: materials, textures, and scenes that repeat them."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.geometry.appearance import srgb_from_linear
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import Put, gltf_text
from .test_textures import LEFT_OUT, RED, bomb, encoded

UV = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]], dtype="<f4")
POSITIONS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")
QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)


def inline(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def textured(
    images: list[dict[str, Any]], *, count: int = 1, texture: dict[str, Any] | None = None, factor: list[float] | None = None, **more: Any
) -> str:
    """A triangle for each material; their textures take turns among the images."""
    data = POSITIONS.tobytes() + UV.tobytes()
    base = [{"baseColorTexture": {"index": i % len(images)}, "baseColorFactor": factor or [1, 1, 1, 1]} for i in range(count)]
    header: dict[str, Any] = {
        "buffers": [{"byteLength": len(data), "uri": inline(data, "application/octet-stream")}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 24}],
        "accessors": [
            {"bufferView": 0, "count": 3, "type": "VEC3", "componentType": 5126},
            {"bufferView": 1, "count": 3, "type": "VEC2", "componentType": 5126},
        ],
        "images": images,
        "textures": [texture or {"source": i} for i in range(len(images))],
        "materials": [{"pbrMetallicRoughness": found} for found in base],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": i} for i in range(count)]}],
    }
    return gltf_text(**(header | more))


def loaded(put: Put, text: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    assert shape.origin is not None
    return shape.colors, shape.origin.notes


def test_the_top_of_a_picture_is_where_v_is_zero(put: Put) -> None:
    colors, _ = loaded(put, textured([{"uri": inline(encoded(Image.fromarray(QUARTERS)))}]))
    assert colors is not None
    assert colors.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("where", ["inline", "beside", "view"])
def test_textures_are_found_wherever_they_are_stored(where: str, put: Put) -> None:
    data = encoded(Image.new("RGB", (3, 3), RED))
    put("my t.png", data)
    image = {"inline": {"uri": inline(data)}, "beside": {"uri": "my%20t.png"}, "view": {"bufferView": 2}}[where]
    views = [
        {"buffer": 0, "byteLength": 36},
        {"buffer": 0, "byteOffset": 36, "byteLength": 24},
        {"buffer": 1, "byteLength": len(data)},
    ]
    buffers = [
        {"byteLength": 60, "uri": inline(POSITIONS.tobytes() + UV.tobytes(), "")},
        {"byteLength": len(data), "uri": inline(data, "")},
    ]
    colors, notes = loaded(put, textured([image], buffers=buffers, bufferViews=views))
    assert colors is not None
    assert np.allclose(colors, np.array(RED) / 255)
    assert notes == ()


def test_a_data_uri_without_base64(put: Put) -> None:
    data = "data:image/png," + "".join(f"%{byte:02x}" for byte in encoded(Image.new("RGB", (3, 3), RED)))
    colors, _ = loaded(put, textured([{"uri": data}]))
    assert colors is not None
    assert np.allclose(colors, np.array(RED) / 255)


def test_a_texture_in_another_letter_case(put: Put) -> None:
    put("Wood.PNG", encoded(Image.new("RGB", (3, 3), RED)))
    colors, notes = loaded(put, textured([{"uri": "textures/wood.png"}]))
    assert colors is not None
    assert np.allclose(colors, np.array(RED) / 255)
    assert notes == ()


@pytest.mark.parametrize("image", [{"uri": "gone.png"}, {"uri": "../t.png"}, {"bufferView": 9}, {}, {"uri": "data:image/png;base64,!"}, 3])
def test_a_picture_that_cannot_be_read_leaves_the_color_of_the_material(image: Any, put: Put) -> None:
    colors, notes = loaded(put, textured([image], factor=[0, 1, 0, 1]))
    assert colors is not None
    assert colors.tolist() == [[0, 1, 0]] * 3
    name = image.get("uri", "image 0") if isinstance(image, dict) and not image.get("uri", "").startswith("data:") else "image 0"
    missing = f"1 texture is missing or damaged: {name}."
    assert notes == (("'../t.png' lies outside the folder of the file and was not read.",) if image == {"uri": "../t.png"} else (missing,))


def test_webp_beside_png(put: Put) -> None:
    images = [
        {"uri": inline(encoded(Image.new("RGB", (2, 2), (0, 0, 255)), "WEBP"))},
        {"uri": inline(encoded(Image.new("RGB", (2, 2), RED)))},
    ]
    colors, _ = loaded(put, textured(images, texture={"source": 1, "extensions": {"EXT_texture_webp": {"source": 0}}}))
    assert colors is not None
    assert np.allclose(colors, [[0, 0, 1]] * 3, atol=0.03)


@pytest.mark.parametrize("given", [{"diffuseFactor": [0.2, 0.4, 0.6, 1]}, {"diffuseTexture": {"index": 0}}])
def test_diffuse_colors_of_glossy_materials(given: dict[str, Any], put: Put) -> None:
    material = {"extensions": {"KHR_materials_pbrSpecularGlossiness": given}}
    colors, _ = loaded(put, textured([{"uri": inline(encoded(Image.new("RGB", (2, 2), RED)))}], materials=[material]))
    expected = srgb_from_linear(np.array([0.2, 0.4, 0.6])) if "diffuseFactor" in given else np.array(RED) / 255
    assert colors is not None
    assert np.allclose(colors, expected, atol=0.005)


def test_one_picture_for_very_many_materials_is_decoded_once(put: Put) -> None:
    data, start = encoded(Image.new("RGB", (1500, 1500), RED)), time.process_time()
    with use_limits(replace(limits(), texture_pixels=1500 * 1500)):
        colors, notes = loaded(put, textured([{"uri": inline(data)}], count=1000))
    assert colors is not None
    assert np.allclose(colors, np.array(RED) / 255)
    assert notes == ()
    assert time.process_time() - start < 3


def test_textures_share_one_budget(put: Put) -> None:
    images = [{"uri": inline(encoded(Image.new("RGB", (10, 10), (i, 0, 0))))} for i in range(5)]
    with use_limits(replace(limits(), texture_pixels=250)):
        colors, notes = loaded(put, textured(images, count=10))
    assert colors is not None
    assert sorted(set(colors[:, 1].tolist())) == [0, 1]
    assert int((colors[:, 1] == 1).sum()) == 3 * 6
    assert notes == (LEFT_OUT.format("3 textures", 250),)


def test_pictures_of_materials_that_nothing_shows_are_not_decoded(put: Put) -> None:
    images = [{"uri": inline(encoded(Image.new("RGB", (2, 2), RED)))}, *[{"uri": inline(bomb(30_000, 30_000))}] * 5]
    assert loaded(put, textured(images, count=1))[1] == ()


@pytest.mark.parametrize("limit", ["instances", "points", "faces"])
def test_what_a_scene_repeats_is_counted_before_it_is_made(limit: str, put: Put) -> None:
    """A hundred nodes show fifty primitives each."""
    primitives = [{"attributes": {"POSITION": 0}}] * 50
    text = gltf_text(meshes=[{"primitives": primitives}], nodes=[{"mesh": 0}] * 100, scenes=[{"nodes": list(range(100))}])
    total, of = {"instances": (5000, "parts of a scene"), "points": (15_000, "vertices"), "faces": (5000, "faces")}[limit]
    with use_limits(replace(limits(), **{limit: total})):
        assert len(shapes.load(put("a.gltf", text)).faces) == 5000  # type: ignore[union-attr]
    with (
        use_limits(replace(limits(), **{limit: total - 1})),
        pytest.raises(FileFormatError, match=f"declares {total:,} {of}; at most {total - 1:,} are read"),
    ):
        shapes.load(put("a.gltf", text))


def test_nodes_that_double(put: Put) -> None:
    nodes: list[dict[str, Any]] = [{"mesh": 0}, *({"children": [i, i]} for i in range(60))]
    with pytest.raises(FileFormatError, match="declares 131,072 scene nodes; at most 100,000 are read"):
        shapes.load(put("a.gltf", gltf_text(nodes=nodes, scenes=[{"nodes": [60]}])))


def test_a_mesh_repeated_by_nodes_takes_its_colors_along(put: Put) -> None:
    material = {"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}
    primitives = [{"attributes": {"POSITION": 0}, "material": 0}, {"attributes": {"POSITION": 0}}]
    nodes = [{"mesh": 0, "translation": [9 * i, 0, 0]} for i in range(3)]
    text = gltf_text(materials=[material], meshes=[{"primitives": primitives}], nodes=nodes, scenes=[{"nodes": [0, 1, 2]}])
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    for i in range(3):
        here = (shape.vertices[:, 0] // 9).astype(int) == i
        assert sorted({tuple(row) for row in np.round(shape.colors[here].astype(float), 2).tolist()}) == [(0.8, 0.8, 0.8), (1.0, 0.0, 0.0)]
