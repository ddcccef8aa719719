"""Files made to harm: each is refused with our own error, quickly and in little memory."""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import BasreliefError, FileFormatError, GeometryError
from basrelief.io.checks import parser_errors
from basrelief.io.graph import count_instances
from basrelief.io.resolver import FolderResolver
from basrelief.limits import Limits
from basrelief.types import Mesh

from .conftest import Put, gltf_text

PLY = "ply\nformat {0} 1.0\nelement vertex {1}\nproperty float x\nproperty float y\nproperty float z\nend_header\n"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """No test here may burn more than a few seconds of processor time."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 5


def zipped(name: str, text: str | bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize("kind", shapes.FORMATS)
def test_an_empty_file(kind: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=f"a.{kind} is empty"):
        shapes.load(put(f"a.{kind}", b""))


@pytest.mark.parametrize("kind", shapes.FORMATS)
@pytest.mark.parametrize("content", [b"\0", b" ", b"\n" * 100, b"\xff" * 1000, b"{}", b"[]", b"null", b"0"])
def test_files_of_nothing_much(kind: str, content: bytes, put: Put) -> None:
    with pytest.raises((FileFormatError, GeometryError)):
        shapes.load(put(f"a.{kind}", content))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_files(part: float, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    text_that_may_end_early = {"xyz", "txt", "pts", "obj", "off", "stl"}
    for kind, contents in valid_files.items():
        for content in contents:
            path = put(f"a.{kind}", content[: int(part * len(content))])
            if kind in text_that_may_end_early:
                try:
                    shapes.load(path)
                except BasreliefError:
                    continue
            else:
                with pytest.raises((FileFormatError, GeometryError)):
                    shapes.load(path)


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_that_declares_a_hundred_million_vertices(encoding: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.ply declares 100,000,000 vertices; at most 20,000,000 are read"):
        shapes.load(put("a.ply", PLY.format(encoding, 10**8) + "1 2 3\n" * 9))


def test_ply_that_declares_more_than_it_holds(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.ply"):
        shapes.load(put("a.ply", PLY.format("binary_little_endian", 10**7) + "1 2 3\n" * 9))


def test_off_that_declares_a_hundred_million_vertices(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.off declares 100,000,000 vertices; at most 20,000,000 are read"):
        shapes.load(put("a.off", "OFF\n100000000 100000000 0\n1 2 3\n"))
    with pytest.raises(FileFormatError, match="a.off declares 100,000,000 faces; at most 20,000,000 are read"):
        shapes.load(put("a.off", "OFF\n1 100000000 0\n1 2 3\n"))


def test_stl_that_declares_too_many_triangles(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.stl"):
        shapes.load(put("a.stl", b"\0" * 80 + b"\xff\xff\xff\xff" + b"\0" * 50))


def test_npy_that_declares_more_than_it_holds(put: Put) -> None:
    out = BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    with pytest.raises(FileFormatError, match="a.npy"):
        shapes.load(put("a.npy", out.getvalue() + b"\0" * 64))
    with pytest.raises(
        FileFormatError,
        match=r"a.npz is truncated: it holds 64 of 24,000,000,000,000 bytes for an array of shape \(1000000000000, 3\)",
    ):
        shapes.load(put("a.npz", zipped("points.npy", out.getvalue() + b"\0" * 64)))


@pytest.mark.parametrize("name", ["a.3mf", "a.npz"])
def test_a_zip_bomb(name: str, put: Put) -> None:
    inner = "3D/3dmodel.model" if name == "a.3mf" else "points.npy"
    with pytest.raises(FileFormatError, match=f"{name} looks like a ZIP bomb: '{inner}' is compressed more than 300 to 1"):
        shapes.load(put(name, zipped(inner, b"\0" * (20 << 20))))


def test_a_zip_that_declares_too_much(put: Put) -> None:
    data = bytearray(zipped("points.npy", b"\0" * 64))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (0xF0000000).to_bytes(4, "little")
    with pytest.raises(FileFormatError, match=r"declares 4,026,531,840 bytes when unpacked; at most 1,073,741,824 are read"):
        shapes.load(put("a.npz", bytes(data)))


def test_3mf_components_that_double(put: Put) -> None:
    doubled = "".join(
        f'<object id="{i}"><components><component objectid="{i - 1}"/><component objectid="{i - 1}"/></components></object>'
        for i in range(1, 100)
    )
    model = f'<model><resources><object id="0"/>{doubled}</resources><build><item objectid="99"/></build></model>'
    with pytest.raises(FileFormatError, match="declares 131,072 scene nodes; at most 100,000 are read"):
        shapes.load(put("a.3mf", zipped("3D/3dmodel.model", model)))


def test_3mf_components_in_a_circle(put: Put) -> None:
    model = '<model><resources><object id="1"><components><component objectid="1"/></components></object></resources>'
    with pytest.raises(FileFormatError, match="The scene of a.3mf has a cycle: a node contains itself"):
        shapes.load(put("a.3mf", zipped("3D/3dmodel.model", model + '<build><item objectid="1"/></build></model>')))


ENTITY = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><COLLADA>&b;</COLLADA>'
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><COLLADA>&x;</COLLADA>'


@pytest.mark.parametrize("text", [ENTITY, EXTERNAL])
def test_xml_entities_are_refused(text: str, put: Put) -> None:
    for path in (put("a.dae", text), put("b.dae", text.encode("utf-16")), put("a.3mf", zipped("3D/3dmodel.model", text))):
        with pytest.raises(FileFormatError, match=f"The XML of {path.name} has a DOCTYPE, which is not allowed"):
            shapes.load(path)


def test_xml_nested_without_end(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.dae declares 129 levels of XML; at most 128 are read"):
        shapes.load(put("a.dae", "<?xml version='1.0'?><COLLADA>" + "<a>" * 200_000))


def test_collada_nodes_that_double(put: Put) -> None:
    nodes = "".join(f'<node id="n{i}"><instance_node url="#n{i - 1}"/><instance_node url="#n{i - 1}"/></node>' for i in range(1, 80))
    with pytest.raises(FileFormatError, match=" scene nodes; at most 100,000 are read"):
        shapes.load(put("a.dae", f"<COLLADA><library_nodes>{nodes}</library_nodes><scene><instance_node url='#n79'/></scene></COLLADA>"))


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 1_000_000])
def test_json_nested_without_end(text: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=r"a.gltf cannot be read as gltf \(RecursionError"):
        shapes.load(put("a.gltf", text))


def test_gltf_with_a_huge_accessor(put: Put) -> None:
    accessor = {"count": 10**12, "type": "VEC3", "componentType": 5126}
    with pytest.raises(FileFormatError, match="declares 1,000,000,000,000 values in an accessor; at most 20,000,000 are read"):
        shapes.load(put("a.gltf", gltf_text(accessors=[accessor])))
    with pytest.raises(FileFormatError, match="declares 10,000,000 values without data; at most 4,096 are read"):
        shapes.load(put("a.gltf", gltf_text(accessors=[accessor | {"count": 10**7}])))


def test_gltf_nodes_in_a_circle(put: Put) -> None:
    with pytest.raises(FileFormatError, match="has a cycle"):
        shapes.load(put("a.gltf", gltf_text(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}])))


def test_gltf_nodes_nested_too_deeply(put: Put) -> None:
    nodes = [{"mesh": 0, "children": [i + 1]} for i in range(300)] + [{"mesh": 0}]
    with pytest.raises(FileFormatError, match="declares 300 levels of scene nodes; at most 128 are read"):
        shapes.load(put("a.gltf", gltf_text(nodes=nodes)))


@pytest.mark.parametrize(
    "uri", ["../secret.bin", "/etc/passwd", "file:///etc/passwd", "http://localhost/x", "C:\\x.bin", "..\\x", "%2e%2e/secret.bin"]
)
def test_gltf_never_reads_outside_its_folder(uri: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(np.eye(3, dtype="<f4").tobytes())
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.gltf"
    path.write_text(gltf_text(buffers=[{"byteLength": 36, "uri": uri}]))
    with pytest.raises(FileFormatError, match="outside its own folder"):
        shapes.load(path)


def test_gltf_with_a_buffer_that_is_not_there(put: Put) -> None:
    with pytest.raises(FileFormatError, match="The file refers to 'gone.bin', which is not beside it"):
        shapes.load(put("a.gltf", gltf_text(buffers=[{"byteLength": 36, "uri": "gone.bin"}])))


def test_obj_never_reads_materials_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "m.mtl").write_text("newmtl a\nKd 1 0 0\n")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.obj"
    path.write_text("mtllib ../m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n")
    shape = shapes.load(path)
    assert shape.colors is None
    assert shape.origin is not None
    assert shape.origin.notes == ("'../m.mtl' lies outside the folder of the file and was not read.",)


def test_side_files_have_a_budget(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345")
    resolver = FolderResolver(tmp_path)
    resolver.budget = 9
    assert resolver.get("a.bin") == b"12345"
    with pytest.raises(FileFormatError, match="The files it refers to have more than .* bytes together"):
        resolver.get("a.bin")


def test_hdf5_that_points_to_other_files(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 36)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.zeros((3, 3))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["data"] = h5py.ExternalLink("other.h5", "data")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("data", (3, 3), dtype="f4", external=[(str(tmp_path / "secret.bin"), 0, 36)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 3), dtype="f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", shape=(3, 3))
        file.create_virtual_dataset("data", layout)
    for name in ("link.h5", "raw.h5", "virtual.h5"):
        with pytest.raises(FileFormatError, match=f"'data' in {name} is not stored in the file itself"):
            shapes.load(tmp_path / name)


def test_hdf5_that_declares_without_storing(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (10**11, 3), dtype="f4", chunks=(1000, 3))
    with pytest.raises(FileFormatError, match="declares 100,000,000,000 points; at most 20,000,000 are read"):
        shapes.load(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", (10, 3), maxshape=(None, 3), dtype="f4", chunks=(10**8, 3))
    with pytest.raises(FileFormatError, match="declares 1,200,000,000 bytes in a chunk; at most 268,435,456 are read"):
        shapes.load(tmp_path / "b.h5")


def test_text_stl_of_very_many_solids(put: Put) -> None:
    solid = "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid a\n"
    shape = shapes.load(put("a.stl", solid * 20_000))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 20_000


def test_obj_of_very_many_materials(put: Put) -> None:
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "".join(f"usemtl m{i}\nf 1 2 3\n" for i in range(20_000))
    shape = shapes.load(put("a.obj", text))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 20_000


def test_zero_area_meshes_load_and_points_stay_points(put: Put) -> None:
    shape = shapes.load(put("a.off", "OFF\n3 1 0\n1 1 1\n1 1 1\n1 1 1\n3 0 1 2\n"))
    assert isinstance(shape, Mesh)
    assert len(shapes.load(put("a.xyz", "1 2 3\n")).points) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["1e39", "-1e300", "3e38"])
def test_coordinates_whose_distances_overflow(value: str, put: Put) -> None:
    with pytest.raises(GeometryError, match="1 of 1 points are more than 1e.18 from the origin. Scale the shape down"):
        shapes.load(put("a.xyz", f"{value} 0 0\n"))
    shape = shapes.load(put("a.xyz", f"{value} 0 0\n1 2 3\ninf 0 0\n4 5 6\n"))
    assert np.isfinite(np.ptp(shape.points, axis=0)).all()  # type: ignore[union-attr]
    assert shape.origin is not None
    assert shape.origin.notes == (
        "1 of 4 points are not finite and were dropped.",
        "1 of 4 points are more than 1e+18 from the origin and were dropped.",
    )
    with pytest.raises(GeometryError, match="1 of 3 vertices are more than 1e.18 from the origin"):
        shapes.load(put("a.off", f"OFF\n3 1 0\n0 0 0\n1 0 0\n0 {value} 0\n3 0 1 2\n"))


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
def test_a_cloud_without_one_usable_point(value: str, put: Put) -> None:
    with pytest.raises(GeometryError, match="1 of 1 rows of points are not finite in float32"):
        shapes.load(put("a.xyz", f"{value} 0 0\n"))


def test_instances_are_counted_without_unfolding_them() -> None:
    path = Path("a.3mf")
    assert count_instances(path, {"a": ["b", "b"], "b": ["c", "c", "c"]}, ["a"]) == 1 + 2 + 6
    assert count_instances(path, {"a": ["b"]}, []) == 0
    assert count_instances(path, {}, ["x", "x"]) == 2


def test_parser_errors_passes_our_errors_and_chains_others() -> None:
    with pytest.raises(GeometryError, match="ours"), parser_errors(Path("a.ply"), "ply"):
        raise GeometryError("ours")
    message = r"a.ply cannot be read as ply \(MemoryError"
    with pytest.raises(FileFormatError, match=message) as caught, parser_errors(Path("a.ply"), "ply"):
        raise MemoryError
    assert isinstance(caught.value.__cause__, MemoryError)
    with pytest.raises(KeyboardInterrupt), parser_errors(Path("a.ply"), "ply"):
        raise KeyboardInterrupt


def test_libraries_stay_silent(put: Put, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger("trimesh").level
    broken = gltf_text(
        extensionsUsed=["X"], meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "extensions": {"KHR_draco_mesh_compression": {}}}]}]
    )
    shapes.load(put("a.gltf", broken))
    with pytest.raises(FileFormatError):
        shapes.load(put("a.stl", "solid\nfacet normal a b c\nvertex 0 0\nendsolid\n"))
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.records) == ("", "", [])
    assert logging.getLogger("trimesh").level == level


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    with path.open("wb") as file:
        file.truncate(Limits.file_bytes + 1)
    with pytest.raises(FileFormatError, match=f"a.ply has {Limits.file_bytes + 1:,} bytes; at most {Limits.file_bytes:,} are read"):
        shapes.load(path)
    os.truncate(path, 600 << 20)
    with pytest.raises(FileFormatError, match="a.off has 629,145,600 bytes; at most 536,870,912 are read"):
        shapes.load(path.rename(tmp_path / "a.off"))


def test_gltf_that_is_no_header(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.gltf has no glTF header"):
        shapes.load(put("a.gltf", json.dumps([1, 2])))
