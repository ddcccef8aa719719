"""USD: layers, packages, what a stage shows, references that leave the folder."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.types import Mesh, PointCloud

pytest.importorskip("pxr")

SQUARE = """
def Mesh "square" (prepend apiSchemas = ["MaterialBindingAPI"]) {
    int[] faceVertexCounts = [4]
    int[] faceVertexIndices = [0, 1, 2, 3]
    point3f[] points = [(0, 0, 0), (2, 0, 0), (2, 1, 0), (0, 1, 0)]
    texCoord2f[] primvars:st = [(0, 0), (1, 0), (1, 1), (0, 1)] (interpolation = "faceVarying")
    rel material:binding = </look>
}
"""
LOOK = """
def Material "look" {
    token outputs:surface.connect = </look/surface.outputs:surface>
    def Shader "surface" {
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor.connect = </look/picture.outputs:rgb>
        token outputs:surface
    }
    def Shader "picture" {
        uniform token info:id = "UsdUVTexture"
        asset inputs:file = @picture.png@
        float3 outputs:rgb
    }
}
"""


def stage(*parts: str, up: str = "Z") -> str:
    """A layer; values end with a line."""
    return f'#usda 1.0\n(upAxis = "{up}")\n' + "\n".join(parts).replace("{ ", "{\n").replace(" }", "\n}")


def load(path: Path, text: str) -> Mesh:
    path.write_text(text)
    shape = shapes.load(path)
    assert isinstance(shape, Mesh)
    return shape


def bounds(shape: Mesh) -> list[list[float]]:
    return np.round([shape.vertices.min(axis=0), shape.vertices.max(axis=0)], 4).tolist()


def test_a_textured_mesh_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (0, 255, 0)).save(tmp_path / "picture.png")
    mesh = load(tmp_path / "a.usda", stage(SQUARE, LOOK))
    assert mesh.origin is not None and (mesh.origin.up, mesh.origin.up_reason) == ("z", "the USD stage says so")
    assert bounds(mesh) == [[0, 0, 0], [2, 1, 0]]
    assert mesh.appearance is not None and mesh.appearance.has_textures and mesh.colors is not None
    np.testing.assert_allclose(mesh.colors, np.tile([0, 1, 0], (4, 1)), atol=1e-6)


def test_a_package_holds_its_texture(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (0, 0, 255)).save(tmp_path / "picture.png")
    with zipfile.ZipFile(tmp_path / "a.usdz", "w") as archive:
        archive.writestr("model.usda", stage(SQUARE, LOOK))
        archive.write(tmp_path / "picture.png", "picture.png")
    (tmp_path / "picture.png").unlink()
    mesh = shapes.load(tmp_path / "a.usdz")
    assert isinstance(mesh, Mesh) and mesh.colors is not None
    np.testing.assert_allclose(mesh.colors, np.tile([0, 0, 1], (4, 1)), atol=1e-6)


def test_transforms_solids_colours_and_visibility(tmp_path: Path) -> None:
    text = stage(
        'def Xform "moved" { double3 xformOp:translate = (0, 0, 5)\nuniform token[] xformOpOrder = ["xformOp:translate"]\n'
        'def Cube "cube" { double size = 2\ncolor3f[] primvars:displayColor = [(1, 0, 0)] }\n'
        'def Cylinder "hidden" { double radius = 50\ntoken visibility = "invisible" }\n'
        'def Sphere "guide" { double radius = 70\nuniform token purpose = "guide" } }'
    )
    mesh = load(tmp_path / "a.usda", text)
    assert bounds(mesh) == [[-1, -1, 4], [1, 1, 6]]
    assert mesh.colors is not None
    np.testing.assert_allclose(mesh.colors, np.tile([1, 0, 0], (len(mesh.vertices), 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("solid", "size"),
    [
        ('Cylinder "a" { double radius = 1\ndouble height = 4\nuniform token axis = "X" }', [4, 2, 2]),
        ('Cone "a" { double radius = 1\ndouble height = 4\nuniform token axis = "Y" }', [2, 4, 2]),
        ('Capsule "a" { double radius = 1\ndouble height = 2\nuniform token axis = "Z" }', [2, 2, 4]),
        ('Sphere "a" { double radius = 3 }', [6, 6, 6]),
        ('Plane "a" { double width = 3\ndouble length = 2\nuniform token axis = "Z" }', [3, 2, 0]),
    ],
)
def test_solids_have_their_size_and_axis_and_are_centred(tmp_path: Path, solid: str, size: list[float]) -> None:
    low, high = np.array(bounds(load(tmp_path / "a.usda", stage(f"def {solid}"))))
    np.testing.assert_allclose(high - low, size, atol=0.02)
    np.testing.assert_allclose(high + low, 0, atol=0.02)


def test_prototypes_are_shown_where_they_are_placed(tmp_path: Path) -> None:
    text = stage(
        'def PointInstancer "many" { int[] protoIndices = [0, 0]\npoint3f[] positions = [(10, 0, 0), (-10, 0, 0)]\n'
        'rel prototypes = </many/cube>\ndef Cube "cube" { double size = 2 } }'
    )
    assert bounds(load(tmp_path / "a.usda", text)) == [[-11, -1, -1], [11, 1, 1]]


def test_points_alone_are_a_cloud(tmp_path: Path) -> None:
    (tmp_path / "a.usda").write_text(
        stage('def Points "p" { point3f[] points = [(0, 0, 0), (1, 2, 3)]\ncolor3f[] primvars:displayColor = [(1, 0, 0)] }')
    )
    cloud = shapes.load(tmp_path / "a.usda")
    assert isinstance(cloud, PointCloud) and len(cloud.points) == 2 and cloud.colors is not None


def test_layers_in_the_folder_are_followed_and_others_are_not(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    (inside / "parts").mkdir(parents=True)
    (inside / "parts" / "cube.usda").write_text(stage('def Cube "root" { double size = 2 }'))
    outside = tmp_path / "outside.usda"
    outside.write_text(stage('def Cube "root" { double size = 90 }'))
    references = "@parts/cube.usda@</root>", f"@{outside}@</root>", "@../outside.usda@</root>"
    prims = [f'def "p{i}" (references = {reference}) {{}}' for i, reference in enumerate(references)]
    mesh = load(inside / "a.usda", stage(*prims))
    assert bounds(mesh) == [[-1, -1, -1], [1, 1, 1]]
    assert mesh.origin is not None and sum("outside" in note for note in mesh.origin.notes) == 2


def test_a_package_does_not_reach_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside.usda"
    outside.write_text(stage('def Cube "root" { double size = 90 }'))
    with zipfile.ZipFile(tmp_path / "a.usdz", "w") as archive:
        archive.writestr("model.usda", stage(f'def "p" (references = @{outside}@</root>) {{}}', 'def Cube "own" { double size = 2 }'))
    mesh = shapes.load(tmp_path / "a.usdz")
    assert isinstance(mesh, Mesh) and bounds(mesh) == [[-1, -1, -1], [1, 1, 1]]


def test_value_clips_are_not_opened(tmp_path: Path) -> None:
    from pxr import Sdf

    outside = tmp_path / "outside.usda"
    outside.write_text(stage('def Cube "c" { double size.timeSamples = { 0: 90 } }'))
    (tmp_path / "in").mkdir()
    clips = (
        f'clips = {{ dictionary default = {{ asset[] assetPaths = [@{outside}@]\nstring primPath = "/c"\n'
        "double2[] active = [(0, 0)]\ndouble2[] times = [(0, 0)] } }"
    )
    mesh = load(tmp_path / "in" / "a.usda", stage(f'def Cube "c" (\n{clips}\n) {{ double size = 2 }}'))
    assert bounds(mesh) == [[-1, -1, -1], [1, 1, 1]]
    assert Sdf.Layer.Find(str(outside)) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.usda", b"#usda 1.0\n(((", "cannot be read as USD"),
        ("a.usdc", b"PXR-USDC" + bytes(400), "cannot be read as USD"),
        ("a.usda", stage('def Xform "empty" {}').encode(), "shows no geometry"),
        ("a.usda", stage(SQUARE.replace("[4]", "[9]")).encode(), "do not fit"),
        ("a.usda", stage(SQUARE.replace("0, 1, 2, 3]", "0, 1, 2, 7]")).encode(), "there are only 4"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, name: str, content: bytes, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    from basrelief.errors import GeometryError

    (tmp_path / name).write_bytes(content)
    with pytest.raises((FileFormatError, GeometryError), match=message):
        shapes.load(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    (tmp_path / "a.usda").write_text(stage(SQUARE))
    with pytest.raises(MissingExtraError, match=r"basrelief\[usd\]"):
        shapes.load(tmp_path / "a.usda")
