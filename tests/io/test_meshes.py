"""Mesh formats: positions, transforms, up axes and colours."""

from __future__ import annotations

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError, MissingExtraError
from basrelief.types import Mesh, PointCloud

from .conftest import FACES, RGB, VERTICES, Put, gltf_text

trimesh = pytest.importorskip("trimesh")


def corners(shape: Mesh | PointCloud) -> np.ndarray:
    """The corners of each triangle: equal for equal surfaces however vertices are shared."""
    assert isinstance(shape, Mesh)
    return shape.vertices[shape.faces]


@pytest.mark.parametrize("kind", ["ply", "obj", "off", "stl", "3mf"])
def test_a_format_without_turning_gives_the_same_triangles(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    for content in valid_files[kind]:
        shape = shapes.load(put(f"a.{kind}", content), up="z")
        assert np.allclose(corners(shape), VERTICES[FACES], atol=1e-6)
        assert shape.origin is not None
        assert (shape.origin.format, shape.origin.up) == (kind, "z")


@pytest.mark.parametrize("kind", ["glb", "dae"])
def test_a_y_up_format_is_turned(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    shape = shapes.load(put(f"a.{kind}", valid_files[kind][0]))
    x, y, z = VERTICES.T
    assert np.allclose(corners(shape), np.stack([x, -z, y], axis=1)[FACES], atol=1e-6)
    assert shape.origin is not None
    assert shape.origin.up == "y"


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
def test_vertex_colors_are_kept(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    shape = shapes.load(put(f"a.{kind}", valid_files[kind][0]))
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    assert np.allclose(shape.colors[shape.faces], (RGB / 255)[FACES], atol=0.01)


@pytest.mark.parametrize(("stated", "axis"), [("X_UP", "x"), ("Y_UP", "y"), ("Z_UP", "z")])
def test_collada_obeys_its_up_axis(stated: str, axis: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    text = valid_files["dae"][0].replace(b"Y_UP", stated.encode())
    origin = shapes.load(put("a.dae", text)).origin
    assert origin is not None
    assert origin.up == axis
    assert origin.up_reason == f"<up_axis> of the file is {stated}"


def test_collada_without_up_axis_is_y_up(put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    text = valid_files["dae"][0].replace(b"<up_axis>Y_UP</up_axis>", b"")
    origin = shapes.load(put("a.dae", text)).origin
    assert origin is not None
    assert (origin.up, origin.up_source) == ("y", "evidence")


def test_gltf_applies_nested_transforms_and_every_primitive(put: Put) -> None:
    primitive = {"attributes": {"POSITION": 0}}
    nodes = [{"children": [1], "translation": [10, 0, 0]}, {"mesh": 0, "scale": [2, 2, 2]}, {"mesh": 0}]
    text = gltf_text(meshes=[{"primitives": [primitive, primitive]}], nodes=nodes, scenes=[{"nodes": [0, 2]}])
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 4
    found = {tuple(row) for row in shape.vertices.tolist()}
    assert found == {(10, 0, 0), (12, 0, 0), (10, 2, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0)}


def test_gltf_without_a_scene_shows_every_mesh(put: Put) -> None:
    header = json.loads(gltf_text())
    for key in ("scene", "scenes", "nodes"):
        del header[key]
    shape = shapes.load(put("a.gltf", json.dumps(header)), up="z")
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 1


def test_a_mirroring_transform_keeps_faces_turned_outward(put: Put) -> None:
    shape = shapes.load(put("a.gltf", gltf_text(nodes=[{"mesh": 0, "scale": [-1, 1, 1]}])), up="z")
    a, b, c = corners(shape)[0]
    assert np.cross(b - a, c - a)[2] > 0


def test_gltf_strips_are_unrolled(put: Put) -> None:
    quad = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype="<f4").tobytes()
    text = gltf_text(
        buffers=[{"byteLength": 48, "uri": "data:;base64," + base64.b64encode(quad).decode()}],
        bufferViews=[{"buffer": 0, "byteLength": 48}],
        accessors=[{"bufferView": 0, "count": 4, "type": "VEC3", "componentType": 5126}],
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": 5}]}],
    )
    shape = shapes.load(put("a.gltf", text))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 2


def test_gltf_points_are_a_cloud(put: Put) -> None:
    shape = shapes.load(put("a.gltf", gltf_text(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}])))
    assert isinstance(shape, PointCloud)
    assert len(shape.points) == 3


def test_gltf_material_color_is_turned_from_linear_to_srgb(put: Put) -> None:
    material = {"pbrMetallicRoughness": {"baseColorFactor": [0.2140411, 1.0, 0.0, 1.0]}}
    text = gltf_text(materials=[material], meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}])
    shape = shapes.load(put("a.gltf", text))
    assert shape.colors is not None
    assert np.allclose(shape.colors, [[0.5, 1, 0]] * 3, atol=0.01)


def test_gltf_reads_a_buffer_beside_it(put: Put) -> None:
    put("part one.bin", np.eye(3, dtype="<f4").tobytes())
    shape = shapes.load(put("a.gltf", gltf_text(buffers=[{"byteLength": 36, "uri": "part%20one.bin"}])), up="z")
    assert np.array_equal(corners(shape)[0], np.eye(3))


def test_draco_is_decoded(put: Put) -> None:
    pytest.importorskip("DracoPy")
    mesh = trimesh.Trimesh(VERTICES, FACES, process=False)
    data = trimesh.exchange.gltf.export_glb(trimesh.Scene(mesh), extension_draco=True)
    assert b"KHR_draco_mesh_compression" in data
    shape = shapes.load(put("a.glb", data), up="z")
    assert np.allclose(corners(shape), VERTICES[FACES], atol=1e-3)


def test_damaged_draco_is_not_taken_for_a_mesh_of_zeros(put: Put) -> None:
    pytest.importorskip("DracoPy")
    data = trimesh.exchange.gltf.export_glb(trimesh.Scene(trimesh.creation.icosphere(1)), extension_draco=True)
    at = data.index(b"DRACO") + 5
    with pytest.raises(FileFormatError, match="The Draco data of a.glb are damaged"):
        shapes.load(put("a.glb", data[:at] + b"\xff\xff" + data[at + 2 :]))


def test_draco_with_metadata(put: Put) -> None:
    """One attribute has an entry; the mesh has an entry and, inside, two named blocks, of which one has a block of its own."""
    pytest.importorskip("DracoPy")
    inner = (
        bytes([1]) + b"a" + bytes([0, 0]),
        bytes([1]) + b"b" + bytes([1, 1]) + b"k" + bytes([2]) + b"xy" + bytes([1]) + bytes([1]) + b"c" + bytes([0, 0]),
    )
    metadata = (
        bytes([1, 0, 1, 3])
        + b"key"
        + bytes([2])
        + b"ab"
        + bytes([0])
        + bytes([1, 1])
        + b"k"
        + bytes([1])
        + b"v"
        + bytes([2])
        + b"".join(inner)
    )
    data = trimesh.exchange.gltf.export_glb(trimesh.Scene(trimesh.Trimesh(VERTICES, FACES, process=False)), extension_draco=True)
    json_size = int.from_bytes(data[12:16], "little")
    header = json.loads(data[20 : 20 + json_size])
    view = header["bufferViews"][next(iter(header["meshes"][0]["primitives"][0]["extensions"].values()))["bufferView"]]
    start = 28 + json_size + view.get("byteOffset", 0)
    packed = data[start : start + view["byteLength"]]
    noted = packed[:10] + bytes([packed[10] | 0x80]) + metadata + packed[11:]
    view |= {"byteOffset": 0, "byteLength": len(noted)}
    header["buffers"] = [{"byteLength": len(noted), "uri": "data:;base64," + base64.b64encode(noted).decode()}]
    shape = shapes.load(put("a.gltf", json.dumps(header)), up="z")
    assert np.allclose(corners(shape), VERTICES[FACES], atol=1e-3)


def test_draco_without_its_decoder_names_the_extra(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = put("a.gltf", gltf_text(extensionsUsed=["KHR_draco_mesh_compression"]))
    with pytest.raises(MissingExtraError, match=r"a\.gltf is compressed with Draco, which needs DracoPy.*basrelief\[draco\]"):
        shapes.load(path)


def test_off_of_modelnet_with_glued_counts(put: Put) -> None:
    shape = shapes.load(put("a.off", "OFF4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n"))
    assert isinstance(shape, Mesh)
    assert shape.faces.tolist() == [[0, 1, 2], [0, 1, 3]]


def test_off_quads_become_triangles(put: Put) -> None:
    shape = shapes.load(put("a.off", "OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n"))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 2


def test_stl_text_with_several_solids(put: Put) -> None:
    solid = "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid a\n"
    shape = shapes.load(put("a.stl", solid + solid.replace("vertex 1 0 0", "vertex 5 0 0")))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 2
    assert shape.vertices[:, 0].max() == 5


def test_stl_binary_may_begin_with_any_text(put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    data = valid_files["stl"][0]
    shape = shapes.load(put("a.stl", b"ply\nwritten by a joker".ljust(80) + data[80:]))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 4


def test_ply_without_faces_is_a_cloud_without_its_bad_rows(put: Put) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\n"
    header += "property uchar green\nproperty uchar blue\nend_header\n"
    shape = shapes.load(put("a.ply", header + "0 0 0 255 0 0\nnan 1 1 0 255 0\n2 2 2 0 0 255\n"))
    assert isinstance(shape, PointCloud)
    assert shape.points.tolist() == [[0, 0, 0], [2, 2, 2]]
    assert shape.colors is not None
    assert shape.colors.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert shape.origin is not None
    assert shape.origin.notes == ("1 of 3 points are not finite and were dropped.",)


def test_ply_face_colors_reach_the_vertices(put: Put) -> None:
    text = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nelement face 2\n"
    text += "property list uchar int vertex_indices\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
    text += "0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2 255 0 0\n3 0 1 3 0 0 255\n"
    shape = shapes.load(put("a.ply", text))
    assert shape.colors is not None
    assert np.allclose(shape.colors, [[0.5, 0, 0.5], [0.5, 0, 0.5], [1, 0, 0], [0, 0, 1]], atol=0.01)


@pytest.mark.parametrize("drop", [1, 5])
def test_ply_text_that_ends_early_is_refused(drop: int, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    lines = valid_files["ply"][1].strip().splitlines()
    with pytest.raises(FileFormatError, match="a.ply"):
        shapes.load(put("a.ply", b"\n".join(lines[:-drop]) + b"\n"))


def test_obj_material_and_texture_give_colors(put: Put) -> None:
    put("m.mtl", "newmtl plain\nKd 0 1 0\nnewmtl picture\nmap_Kd t.png\n")
    image = BytesIO()
    Image.fromarray(np.array([[[255, 0, 0]] * 4] * 4, dtype=np.uint8)).save(image, "PNG")
    put("t.png", image.getvalue())
    text = (
        "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl plain\nf 1 2 3\nusemtl picture\nf 1/1 2/2 4/3\n"
    )
    shape = shapes.load(put("a.obj", text))
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    face_colors = {tuple(np.round(shape.colors[face].mean(axis=0), 2).tolist()) for face in shape.faces}
    assert face_colors == {(0.0, 1.0, 0.0), (1.0, 0.0, 0.0)}


@pytest.mark.parametrize("picture", [b"", b"\x89PNG\r\n\x1a\nnot a picture", b"GIF89a"])
def test_a_broken_texture_never_fails_a_load(picture: bytes, put: Put) -> None:
    put("m.mtl", "newmtl a\nmap_Kd t.png\n")
    put("t.png", picture)
    shape = shapes.load(put("a.obj", "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl a\nf 1/1 2/1 3/1\n"))
    assert isinstance(shape, Mesh)


def test_obj_without_its_material_file_has_no_color(put: Put) -> None:
    shape = shapes.load(put("a.obj", "mtllib gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl a\nf 1/1 2/1 3/1\n"))
    assert shape.colors is None


def test_obj_relative_indices_count_back_from_where_they_stand(put: Put) -> None:
    block = "v {0} 0 0\nv {0} 1 0\nv {0} 0 1\nf -3 -2 -1\n"
    shape = shapes.load(put("a.obj", block.format(1) + block.format(2)))
    assert sorted(corners(shape)[:, 0, 0].tolist()) == [1, 2]


def test_relative_indices_before_the_first_element_are_refused(put: Put) -> None:
    with pytest.raises(FileFormatError, match="counts back beyond the first vertex"):
        shapes.load(put("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -4 -2 -1\n"))


def test_obj_without_faces_is_a_cloud(put: Put) -> None:
    shape = shapes.load(put("a.obj", "v 0 0 0\nv 1 0 0\n"))
    assert isinstance(shape, PointCloud)


def test_a_mesh_with_nan_is_refused(put: Put) -> None:
    with pytest.raises(GeometryError, match="1 of 3 rows of vertices are not finite in float32"):
        shapes.load(put("a.off", "OFF\n3 1 0\n0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n"))


@pytest.mark.parametrize(
    ("rows", "faces", "note"),
    [
        ("nan 0 0", "3 0 1 2\n3 0 1 3", "1 of 4 vertices are not finite; 1 of 2 faces used them and were dropped."),
        ("0 inf 0", "3 0 1 3\n3 0 1 3", "1 of 4 vertices are not finite; no face used them."),
    ],
)
def test_faces_at_broken_vertices_are_dropped(rows: str, faces: str, note: str, put: Put) -> None:
    shape = shapes.load(put("a.off", f"OFF\n4 2 0\n0 0 0\n1 0 0\n{rows}\n0 1 0\n{faces}\n"), up="z")
    assert isinstance(shape, Mesh)
    assert {tuple(face) for face in shape.faces.tolist()} == {(0, 1, 3)}
    assert shape.vertices.max() == 1
    assert shape.origin is not None
    assert shape.origin.notes == (note,)


def test_a_face_beyond_the_vertices_is_refused(put: Put) -> None:
    with pytest.raises(GeometryError, match="Faces use vertices 0 to 9, but there are only 3"):
        shapes.load(
            put(
                "a.ply",
                "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
                "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n",
            )
        )


def test_a_file_without_geometry_is_refused(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.gltf contains no triangles or points"):
        shapes.load(put("a.gltf", json.dumps({"asset": {"version": "2.0"}})))


@pytest.mark.parametrize("kind", ["obj", "glb", "off", "stl", "3mf", "dae"])
def test_real_shapes_survive_conversion(kind: str, put: Put, shared_assets: object) -> None:
    for path in sorted(shared_assets.glob("shapes/*/*.ply"))[::120]:  # type: ignore[attr-defined]
        reference = shapes.load(path)
        assert isinstance(reference, Mesh)
        mesh = trimesh.Trimesh(reference.vertices, reference.faces, process=False)
        data = trimesh.exchange.dae.export_collada(mesh) if kind == "dae" else trimesh.exchange.export.export_mesh(mesh, None, kind)
        shape = shapes.load(put(f"a.{kind}", data), up="z")
        tolerance = 1e-6 * np.ptp(reference.vertices, axis=0).max()
        assert np.allclose(corners(shape), corners(reference), atol=tolerance)
