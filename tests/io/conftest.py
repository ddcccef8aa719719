"""Valid files of every format, made from one irregular coloured tetrahedron, and a fixture that writes files."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from basrelief.io import load
from basrelief.types import Mesh, PointCloud
from support import shared_path
from support.fbx_files import as_binary, as_text, square_scene

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
RGB = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], dtype=np.uint8)

POINTS = np.random.default_rng(1).normal(size=(30, 3)).astype(np.float32)
POINT_RGB = np.random.default_rng(2).integers(0, 256, size=(30, 3))

Put = Callable[[str, bytes | str], Path]


def loaded(path: Path | str) -> PointCloud:
    """Read a file that must hold points."""
    shape = load(path, up="z")
    assert isinstance(shape, PointCloud)
    return shape


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file of this name and give its path."""

    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def tetrahedron() -> Mesh:
    return Mesh(vertices=VERTICES, faces=FACES, colors=RGB)


@pytest.fixture
def cloud() -> PointCloud:
    rng = np.random.default_rng(3)
    return PointCloud(points=rng.normal(size=(40, 3)), colors=rng.random((40, 3)))


@pytest.fixture(scope="session")
def shared_assets() -> Path:
    """The folder of real shapes and scans beside the repository, where there is one."""
    return shared_path("assets")


def gltf_text(**changes: object) -> str:
    """A .gltf of one triangle with its buffer inside; top-level entries can be replaced."""
    header: dict[str, object] = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 36, "uri": "data:application/octet-stream;base64,AAAAAAAAAAAAAAAAAACAPwAAAAAAAAAAAAAAAAAAgD8AAAAA"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "count": 3, "type": "VEC3", "componentType": 5126}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    return json.dumps(header | changes)


def pcd_bytes(encoding: str, points: np.ndarray, rgb: np.ndarray | None = None) -> bytes:
    """A PCD file; the compressed kind holds plain runs only."""
    count = len(points)
    columns = [points[:, i].astype("<f4") for i in range(3)]
    names = ["x", "y", "z"]
    if rgb is not None:
        packed = (rgb.astype(np.uint32) << np.array([16, 8, 0], dtype=np.uint32)).sum(axis=1).astype("<u4")
        columns.append(packed.view("<f4"))
        names.append("rgb")
    table = np.stack(columns, axis=1)
    ones = " ".join("1" for _ in names)
    header = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS {' '.join(names)}\nSIZE {ones.replace('1', '4')}\nTYPE {ones.replace('1', 'F')}\nCOUNT {ones}\n"
    )
    header += f"WIDTH {count}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA {encoding}\n"
    if encoding == "ascii":
        text = BytesIO()
        np.savetxt(text, table, fmt="%.9g")
        body = text.getvalue()
    elif encoding == "binary":
        body = table.tobytes()
    else:
        plain = table.T.tobytes()
        runs = [plain[i : i + 32] for i in range(0, len(plain), 32)]
        packed_runs = b"".join(bytes([len(run) - 1]) + run for run in runs)
        body = np.array([len(packed_runs), len(plain)], dtype="<u4").tobytes() + packed_runs
    return header.encode() + body


def las_bytes(suffix: str, points: np.ndarray, folder: Path) -> bytes:
    laspy = pytest.importorskip("laspy")
    las = laspy.LasData(laspy.LasHeader(point_format=2, version="1.2"))
    las.header.scales = np.full(3, 1e-4)
    las.x, las.y, las.z = np.asarray(points, dtype=np.float64).T
    las.red = np.linspace(0, 65535, len(points)).astype(np.uint16)
    path = folder / f"made.{suffix}"
    las.write(str(path))
    return path.read_bytes()


@pytest.fixture(scope="session")
def valid_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, ...]]:
    """Small valid files of each format: a mesh where the format can, points elsewhere."""
    trimesh = pytest.importorskip("trimesh")
    h5py = pytest.importorskip("h5py")
    folder = tmp_path_factory.mktemp("valid")
    mesh = trimesh.Trimesh(VERTICES, FACES, vertex_colors=RGB, process=False)
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    files: dict[str, tuple[bytes, ...]] = {
        "ply": (mesh.export(file_type="ply"), mesh.export(file_type="ply", encoding="ascii")),
        "stl": (mesh.export(file_type="stl"), mesh.export(file_type="stl_ascii").encode()),
        "pcd": tuple(pcd_bytes(kind, points, np.zeros((20, 3), dtype=np.uint8)) for kind in ("ascii", "binary", "binary_compressed")),
        "gltf": (gltf_text().encode(),),
        "dae": (trimesh.exchange.dae.export_collada(mesh),),
        "las": (las_bytes("las", points, folder),),
        "laz": (las_bytes("laz", points, folder),),
    }
    for kind in ("obj", "glb", "off", "3mf"):
        data = trimesh.exchange.export.export_mesh(mesh, None, kind)
        files[kind] = (data.encode() if isinstance(data, str) else data,)
    text, npy, npz, h5 = BytesIO(), BytesIO(), BytesIO(), BytesIO()
    np.savetxt(text, points)
    np.save(npy, points)
    np.savez_compressed(npz, points=points)
    with h5py.File(h5, "w") as file:
        file["data"] = points
    files |= {kind: (text.getvalue(),) for kind in ("xyz", "txt", "pts")}
    files["fbx"] = (as_binary(square_scene()), as_binary(square_scene(), version=7500), as_text(square_scene()).encode())
    return files | {"npy": (npy.getvalue(),), "npz": (npz.getvalue(),), "h5": (h5.getvalue(),)}
