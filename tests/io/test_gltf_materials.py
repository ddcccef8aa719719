"""Materials of glTF: what a viewer shows is texture times factor times vertex colour, in linear light."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.appearance import Appearance
from basrelief.geometry.appearance import linear_from_srgb, srgb_from_linear
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import Put
from .gltfs import document, inline
from .test_textures import encoded

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")
UV = np.array([[0.1, 0.2], [0.8, 0.3], [0.4, 0.9]], dtype="<f4")
OTHER_UV = np.array([[0.6, 0.7], [0.2, 0.1], [0.9, 0.4]], dtype="<f4")
RED, GREY, LEAF = (200, 10, 30), (128, 128, 128), (30, 200, 30, 0)


def picture(color: tuple[int, ...], size: tuple[int, int] = (4, 4)) -> dict[str, str]:
    return {"uri": inline(encoded(Image.new("RGBA" if len(color) == 4 else "RGB", size, color)), "image/png")}


def loaded(
    put: Put,
    material: dict[str, Any] | list[dict[str, Any]],
    *,
    images: list[dict[str, Any]] | None = None,
    colors: np.ndarray | None = None,
    **header: Any,
) -> Mesh:
    """One triangle for each material, with two sets of texture coordinates and, perhaps, vertex colours."""
    materials = material if isinstance(material, list) else [material]
    attributes = {"POSITION": 0, "TEXCOORD_0": 1, "TEXCOORD_1": 2} | ({} if colors is None else {"COLOR_0": 3})
    primitives = [{"attributes": attributes, "material": i} for i in range(len(materials))]
    images = images or [picture(RED)]
    found: dict[str, Any] = {"textures": [{"source": i} for i in range(len(images))], "meshes": [{"primitives": primitives}]}
    arrays = [CORNERS, UV, OTHER_UV, *([] if colors is None else [colors])]
    normalized = (3,) if colors is not None and colors.dtype.kind == "u" else ()
    shape = shapes.load(
        put("a.gltf", document(arrays, normalized=normalized, materials=materials, images=images, **(found | header))), up="z"
    )
    assert isinstance(shape, Mesh)
    return shape


def look(shape: Mesh) -> Appearance:
    assert shape.appearance is not None
    return shape.appearance


def base(**entries: Any) -> dict[str, Any]:
    return {"pbrMetallicRoughness": entries}


def textured(**use: Any) -> dict[str, Any]:
    return base(baseColorTexture={"index": 0, **use})


def test_texture_factor_and_vertex_colors_multiply_as_light(put: Put) -> None:
    tints = np.array([[255, 0, 128, 255], [255, 255, 255, 64], [10, 20, 30, 0]], dtype="u1")
    factor = [0.5, 0.25, 1.0, 0.75]
    shape = loaded(put, base(baseColorTexture={"index": 0}, baseColorFactor=factor), images=[picture(GREY)], colors=tints)
    found = look(shape)
    assert np.allclose(found.materials[0].color, (*srgb_from_linear(np.array(factor[:3])), 0.75))
    assert found.materials[0].texture is not None
    assert found.materials[0].texture.tolist() == [[[*GREY, 255]] * 4] * 4
    assert found.tints is not None
    assert np.allclose(found.tints, np.concatenate([srgb_from_linear(tints[:, :3] / 255), tints[:, 3:] / 255], axis=1), atol=1e-6)
    light = linear_from_srgb(np.array(GREY) / 255) * factor[:3] * tints[:, :3] / 255
    assert shape.colors is not None
    assert np.allclose(shape.colors, srgb_from_linear(light), atol=1e-5)


@pytest.mark.parametrize(("kind", "width"), [("u1", 4), ("<u2", 4), ("<f4", 4), ("<f4", 3)])
def test_vertex_colors_of_each_type(kind: str, width: int, put: Put) -> None:
    light = np.array([[1, 0, 0.2, 1], [0, 1, 0.4, 1], [0.6, 0.6, 1, 1]])[:, :width]
    top = {"u1": 255, "<u2": 65535, "<f4": 1}[kind]
    colors = np.asarray(light * top).round(9).astype(kind)
    shape = loaded(put, {}, colors=colors)
    assert shape.appearance is None
    assert shape.colors is not None
    assert np.allclose(shape.colors, srgb_from_linear(light[:, :3]), atol=0.005)


def test_floating_colors_a_little_above_one_are_white(put: Put) -> None:
    shape = loaded(put, {}, colors=np.full((3, 3), 1.2, "<f4"))
    assert shape.colors is not None
    assert shape.colors.tolist() == [[1, 1, 1]] * 3


def test_materials_that_look_the_same_are_one(put: Put) -> None:
    found = look(loaded(put, [textured(), textured(), base(baseColorFactor=[1, 0, 0, 1]), textured() | {"name": "other"}]))
    assert found.material_ids.tolist() == [0, 0, 1, 0]
    assert found.materials[1].color == (1, 0, 0, 1)
    assert found.materials[1].texture is None
    assert found.has_textures


def test_plain_materials_need_no_appearance(put: Put) -> None:
    shape = loaded(put, [base(baseColorFactor=[1, 0, 0, 1]), {}, {"extensions": {"KHR_materials_unlit": {}}}])
    assert shape.appearance is None
    assert shape.colors is not None
    assert shape.colors.tolist() == [[1, 0, 0]] * 3 + [[1, 1, 1]] * 6


def transformed(uv: np.ndarray, *, offset: Any = (0, 0), rotation: float = 0, scale: Any = (1, 1)) -> np.ndarray:
    """The slow reference: scaled, turned and moved, each by itself, then upside down."""
    rows = []
    for u, v in (uv * scale).tolist():
        turned = (np.cos(rotation) * u + np.sin(rotation) * v, -np.sin(rotation) * u + np.cos(rotation) * v)
        rows.append([turned[0] + offset[0], 1 - turned[1] - offset[1]])
    return np.array(rows)


@pytest.mark.parametrize(
    "move",
    [{}, {"offset": [0.5, 0.25]}, {"rotation": 0.3}, {"scale": [2, -3]}, {"offset": [0.1, 0.2], "rotation": -1.2, "scale": [0.5, 2]}],
)
def test_texture_coordinates_are_transformed(move: dict[str, Any], put: Put) -> None:
    found = look(loaded(put, textured(extensions={"KHR_texture_transform": move})))
    assert found.uv is not None
    assert np.allclose(found.uv, transformed(UV, **move), atol=1e-6)


@pytest.mark.parametrize(
    ("use", "uv"),
    [
        ({}, UV),
        ({"texCoord": 1}, OTHER_UV),
        ({"extensions": {"KHR_texture_transform": {"texCoord": 1}}}, OTHER_UV),
        ({"texCoord": 1, "extensions": {"KHR_texture_transform": {"texCoord": 0}}}, UV),
    ],
)
def test_the_set_of_texture_coordinates_is_chosen(use: dict[str, Any], uv: np.ndarray, put: Put) -> None:
    found = look(loaded(put, textured(**use)))
    assert found.uv is not None
    assert np.allclose(found.uv, transformed(uv))


def test_a_texture_without_its_coordinates_is_not_drawn(put: Put) -> None:
    assert loaded(put, textured(texCoord=5)).appearance is None


def test_coordinates_far_out_or_not_finite_are_made_harmless(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "UV", np.array([[np.nan, 0], [np.inf, 0], [1e30, -1e30]], dtype="<f4"))
    found = look(loaded(put, textured()))
    assert found.uv is not None
    assert np.isfinite(found.uv).all()


@pytest.mark.parametrize(("number", "name"), [(10497, "repeat"), (33071, "clamp"), (33648, "mirror"), (7, "repeat")])
def test_wrap_modes_of_samplers(number: int, name: str, put: Put) -> None:
    found = look(loaded(put, textured(), textures=[{"source": 0, "sampler": 0}], samplers=[{"wrapS": number, "wrapT": 33071}]))
    assert found.materials[0].wrap == (name, "clamp")


@pytest.mark.parametrize(
    ("mode", "cutoff"),
    [
        ({}, 0),
        ({"alphaMode": "OPAQUE"}, 0),
        ({"alphaMode": "MASK"}, 0.5),
        ({"alphaMode": "MASK", "alphaCutoff": 0.2}, 0.2),
        ({"alphaMode": "BLEND"}, 0.25),
    ],
)
def test_leaf_cards_are_cut_out_unless_opaque(mode: dict[str, Any], cutoff: float, put: Put) -> None:
    card = np.full((4, 4, 4), 255, dtype=np.uint8)
    card[:2, :, 3] = 0
    image = {"uri": inline(encoded(Image.fromarray(card)), "image/png")}
    found = look(loaded(put, textured() | mode, images=[image])).materials[0]
    assert found.cutoff == cutoff
    assert found.texture is not None
    assert found.texture[:, :, 3].tolist() == (card[:, :, 3].tolist() if cutoff else [[255] * 4] * 4)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.6, 1.0])
def test_glass_stays_visible(alpha: float, put: Put) -> None:
    shape = loaded(put, [base(baseColorFactor=[0, 0, 1, alpha]) | {"alphaMode": "BLEND"}, {}])
    assert len(shape.faces) == 2
    assert shape.appearance is None
    glass = {"uri": inline(encoded(Image.new("RGBA", (4, 4), (9, 9, 9, int(alpha * 255)))), "image/png")}
    assert look(loaded(put, [textured() | {"alphaMode": "BLEND"}, {}], images=[glass])).materials[0].cutoff == 0


@pytest.mark.parametrize("mode", [{"alphaMode": "BLEND"}, {"alphaMode": "MASK"}])
def test_what_is_fully_transparent_is_left_out_unless_it_is_all(mode: dict[str, Any], put: Put) -> None:
    invisible = base(baseColorFactor=[0, 0, 1, 0]) | mode
    shape = loaded(put, [invisible, {}])
    assert len(shape.faces) == 1
    assert shape.origin is not None
    assert shape.origin.notes == ("1 hidden part was left out.",)
    alone = loaded(put, invisible)
    assert len(alone.faces) == 1
    assert alone.appearance is None


def test_glossy_materials_show_their_diffuse_color_and_metal_its_specular_one(put: Put) -> None:
    glossy = [
        {"extensions": {"KHR_materials_pbrSpecularGlossiness": entries}}
        for entries in ({"diffuseFactor": [0, 1, 0, 1]}, {"diffuseFactor": [0, 0, 0, 1], "specularFactor": [1, 0, 0]}, {})
    ]
    shape = loaded(put, glossy)
    assert shape.colors is not None
    assert shape.colors[::3].tolist() == [[0, 1, 0], [1, 0, 0], [1, 1, 1]]


def test_lamps_with_a_black_base_show_the_light_they_emit(put: Put) -> None:
    black = {"baseColorFactor": [0, 0, 0, 1]}
    strong = {"extensions": {"KHR_materials_emissive_strength": {"emissiveStrength": 4}}}
    lamps = [
        base(**black) | {"emissiveFactor": [1, 0, 0]},
        base(**black) | {"emissiveFactor": [0.5, 0.25, 0]} | strong,
        base(baseColorFactor=[0, 1, 0, 1]) | {"emissiveFactor": [1, 0, 0]},
        base(**black) | {"emissiveFactor": [0, 0, 0]},
    ]
    shape = loaded(put, lamps)
    assert shape.colors is not None
    assert np.allclose(shape.colors[::3], srgb_from_linear(np.array([[1, 0, 0], [1, 0.5, 0], [0, 1, 0], [0, 0, 0]])), atol=0.002)
    glowing = loaded(put, base(**black) | {"emissiveFactor": [1, 1, 1], "emissiveTexture": {"index": 0}})
    assert glowing.colors is not None
    assert np.allclose(glowing.colors, np.array(RED) / 255)


def test_large_textures_are_reduced_and_all_together_stay_within_the_limit(put: Put) -> None:
    images = [picture((i * 40, 0, 0), (64, 32)) for i in range(4)]
    materials = [base(baseColorTexture={"index": i}) for i in range(4)]
    with use_limits(replace(limits(), texture_side=16)):
        assert [found.texture.shape for found in look(loaded(put, materials, images=images)).materials if found.texture is not None] == [
            (8, 16, 4)
        ] * 4
    with use_limits(replace(limits(), kept_texture_pixels=600)):
        found = look(loaded(put, materials, images=images)).materials
    assert [one.texture.shape for one in found if one.texture is not None] == [(8, 16, 4)] * 4
    assert [int(one.texture[0, 0, 0]) for one in found if one.texture is not None] == [0, 40, 80, 120]


@pytest.mark.parametrize(
    "broken",
    [
        3,
        {},
        {"pbrMetallicRoughness": 3},
        {"pbrMetallicRoughness": {"baseColorFactor": "red"}},
        base(baseColorTexture={"index": 99}),
        base(baseColorTexture=[]),
    ],
)
def test_broken_materials_are_no_errors(broken: Any, put: Put) -> None:
    shape = loaded(put, [broken, base(baseColorFactor=[1, 0, 0, 1])])
    assert shape.colors is not None
    assert shape.colors[3:].tolist() == [[1, 0, 0]] * 3


def test_a_texture_file_with_a_percent_encoded_name_and_one_that_is_missing(put: Put) -> None:
    put("my wood.png", encoded(Image.new("RGB", (2, 2), RED)))
    shape = loaded(put, [textured(), base(baseColorTexture={"index": 1})], images=[{"uri": "my%20wood.png"}, {"uri": "gone.png"}])
    assert shape.colors is not None
    assert np.allclose(shape.colors[:3], np.array(RED) / 255)
    assert shape.origin is not None
    assert shape.origin.notes == ("1 texture is missing or damaged: gone.png.",)


def test_real_models_look_as_their_makers_say(shared_assets: Any) -> None:
    """Khronos' test of texture transforms shows a tick in every cell that should work."""
    path = shared_assets / "real_files" / "khronos"
    files = sorted(path.rglob("TextureTransformMultiTest.glb"))
    if not files:
        pytest.skip("The models of Khronos are not here.")
    found = look(shapes.load(files[0]))  # type: ignore[arg-type]
    assert found.has_textures
    assert len(found.materials) > 3
