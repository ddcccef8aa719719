"""Depth maps with intrinsics, organised clouds and transposed arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import ConfigError, FileFormatError
from basrelief.io.intrinsics import Intrinsics, parse_intrinsics
from basrelief.types import Mesh, PointCloud

from .conftest import Put

CAMERA = (50.0, 60.0, 15.5, 11.5)
K = np.array([[50.0, 0, 15.5], [0, 60.0, 11.5], [0, 0, 1]])
DEPTH = np.zeros((24, 32))
DEPTH[4:20, 6:30] = 2.0  # a wall two metres away
DEPTH[10, 10] = 1.5


def cloud(path: Path, **options: Any) -> PointCloud:
    shape = shapes.load(path, **options)
    assert not isinstance(shape, Mesh)
    return shape


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def png(depth: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(depth).save(out, "PNG")
    return out.getvalue()


def expected() -> np.ndarray:
    """World points: x to the right, y away from the camera, z up."""
    row, column = np.nonzero(DEPTH)
    away = DEPTH[row, column]
    return np.stack([(column - 15.5) * away / 50, away, -(row - 11.5) * away / 60], axis=1)


@pytest.mark.parametrize(
    ("name", "content", "unit"),
    [
        ("d.npy", saved(DEPTH), "metres"),
        ("d.npy", saved(np.where(DEPTH > 0, DEPTH, np.nan)), "metres"),
        ("d.npy", saved(np.asfortranarray(DEPTH)), "metres"),
        ("d.npy", saved(DEPTH[None]), "metres"),
        ("d.npy", saved(DEPTH[..., None]), "metres"),
        ("d.npy", saved((DEPTH * 1000).astype(np.uint16)), "millimetres"),
        ("d.png", png((DEPTH * 1000).astype(np.uint16)), "millimetres"),
    ],
)
def test_a_depth_map_is_a_cloud_in_front_of_a_level_camera(name: str, content: bytes, unit: str, put: Put) -> None:
    shape = cloud(put(name, content), intrinsics=CAMERA)
    assert np.allclose(shape.points, expected(), atol=1e-5)
    assert shape.origin is not None
    assert shape.origin.up == "-y"
    assert shape.origin.up_reason == "the camera of a depth map is taken to look horizontally"
    assert shape.origin.notes == (f"A depth map of 32 x 24 pixels: 384 have a depth, taken as {unit}.",)


def test_a_depth_map_of_an_archive_brings_its_camera(put: Put) -> None:
    out = io.BytesIO()
    np.savez(out, depth=DEPTH, K=K, other=np.zeros(3))
    path = put("d.npz", out.getvalue())
    assert np.allclose(cloud(path).points, expected(), atol=1e-5)
    assert np.allclose(cloud(path, intrinsics=(100, 120, 15.5, 11.5)).points[:, 1], expected()[:, 1])


def test_one_of_many_depth_maps(put: Put) -> None:
    path = put("d.npy", saved(np.stack([DEPTH + 1, DEPTH])))
    assert np.allclose(cloud(f"{path}#1", intrinsics=CAMERA).points, expected(), atol=1e-5)  # type: ignore[arg-type]
    with pytest.raises(FileFormatError, match=r"d.npy holds 2 shapes. Choose one with d.npy#0 to d.npy#1"):
        shapes.load(path, intrinsics=CAMERA)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.npy", saved(np.ones((300, 400))), r"has shape \(300, 400\). If it is a depth map: Give the intrinsics of the camera"),
        ("d.png", png(np.ones((5, 5), np.uint16)), "d.png is an image. If it is a depth image: Give the intrinsics"),
    ],
)
def test_without_intrinsics_the_message_asks_for_them(name: str, content: bytes, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put(name, content))


def test_a_depth_map_among_other_arrays_needs_intrinsics(put: Put) -> None:
    out = io.BytesIO()
    np.savez(out, depth=DEPTH, mask=DEPTH)
    with pytest.raises(FileFormatError, match="d.npz holds a depth map, 'depth'. Give the intrinsics of the camera"):
        shapes.load(put("d.npz", out.getvalue()))


@pytest.mark.parametrize(
    ("content", "camera", "message"),
    [
        (png(np.zeros((5, 5), np.uint8)), CAMERA, "d.png is an image of mode L; a depth image has one channel of 16 bits"),
        (png(np.zeros((24, 32), np.uint16)), CAMERA, "No pixel of d.png has a depth above zero"),
        (
            png(np.ones((24, 32), np.uint16)),
            Intrinsics(*CAMERA, 640, 480),
            "d.png has 32 x 24 pixels, but the intrinsics are for 640 x 480",
        ),
    ],
)
def test_depth_images_that_cannot_be_used(content: bytes, camera: Any, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("d.png", content), intrinsics=camera)


def test_other_files_do_not_mind_intrinsics(put: Put) -> None:
    points = np.random.default_rng(0).random((40, 6))
    assert len(cloud(put("a.npy", saved(points)), intrinsics=CAMERA).points) == 40


OPEN3D = {"width": 32, "height": 24, "intrinsic_matrix": K.T.reshape(-1).tolist()}
FILES = {
    "names.json": json.dumps({"fx": 50, "fy": 60, "cx": 15.5, "cy": 11.5}),
    "realsense.json": json.dumps(
        {"depth": {"fx": 50, "fy": 60, "ppx": 15.5, "ppy": 11.5, "width": 32, "height": 24}, "depth_scale": 0.001}
    ),
    "open3d.json": json.dumps(OPEN3D),
    "nested.json": json.dumps({"intrinsic": OPEN3D, "extrinsic": np.eye(4).reshape(-1).tolist()}),
    "rows.json": json.dumps({"K": K.tolist()}),
    "ros.json": json.dumps({"camera_matrix": {"rows": 3, "cols": 3, "data": K.reshape(-1).tolist()}}),
    "bop.json": json.dumps({"0": {"cam_K": K.reshape(-1).tolist(), "depth_scale": 1.0}}),
    "nerf.json": json.dumps({"fl_x": 50, "fl_y": 60, "cx": 15.5, "cy": 11.5, "w": 32, "h": 24, "frames": []}),
    "scannet.txt": "\n".join(" ".join(map(str, row)) for row in np.block([[K, np.zeros((3, 1))], [np.zeros((1, 3)), np.eye(1)]])),
    "matrix.txt": "50,0,15.5\n0,60,11.5\n0,0,1\n",
    "scene.txt": "depthWidth = 32\nfx_depth = 50.0\nfy_depth = 60.0\nmx_depth = 15.5\nmy_depth = 11.5\n",
    "numpy.txt": str(K),
    "four.txt": "50 60 15.5 11.5\n",
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_intrinsics(name: str, put: Put) -> None:
    found = parse_intrinsics(put(name, FILES[name]))
    assert (found.fx, found.fy, found.cx, found.cy) == CAMERA
    assert (found.width, found.height) in ((None, None), (32, 24), (32, None))
    assert found.scale == (0.001 if name in ("realsense.json", "bop.json") else None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1,2,3", "The intrinsics hold 3 numbers; expected fx,fy,cx,cy or a 3 x 3 matrix"),
        ("0,2,3,4", "Intrinsics are fx, fy, cx, cy in pixels, fx and fy above zero; got 0, 2, 3, 4"),
        ("1,2,3,nan", "fx and fy above zero; got 1, 2, 3, nan"),
        ("nothing.json", "Intrinsics are four numbers fx,fy,cx,cy or a file; got 'nothing.json'"),
    ],
)
def test_wrong_intrinsics(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_intrinsics(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"fx": 1, "fy": 2, "K": [1, 2]}', "k.json holds no intrinsics. Write fx, fy, cx and cy in it"),
        ("[" * 100_000, "k.json holds 1 numbers|k.json holds 0 numbers"),
        ("no numbers here", "k.json holds 3 numbers"),
        ('{"K": [1, 0, 0, 0, 1, 0, 5, 5, 5]}', "k.json holds no intrinsics"),
        (" " * 200_000, "k.json has 200,000 bytes; intrinsics are a small JSON or text file"),
    ],
)
def test_files_without_intrinsics(text: str, message: str, put: Put) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_intrinsics(put("k.json", text))


def grid(height: int = 20, width: int = 30) -> np.ndarray:
    v, u = np.meshgrid(np.linspace(0, 3, height), np.linspace(0, 6, width), indexing="ij")
    return np.stack([np.cos(u), np.sin(u), v], axis=2)


@pytest.mark.parametrize("empty", [np.nan, 0.0])
def test_an_image_of_positions_is_one_cloud(empty: float, put: Put) -> None:
    image = grid()
    image[:4, :7] = empty
    shape = cloud(put("a.npy", saved(image.astype(np.float32))))
    assert len(shape.points) == 600 - 28
    assert shape.origin is not None
    assert shape.origin.notes == ("An organised cloud of 30 x 20 points: 572 of them were measured.",)


def test_an_image_of_positions_keeps_its_colors(put: Put) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    out = io.BytesIO()
    np.savez(out, points=grid(), colors=colors)
    shape = cloud(put("a.npz", out.getvalue()))
    assert shape.colors is not None
    assert np.array_equal(np.rint(shape.colors * 255), colors.reshape(-1, 3))
    joined = cloud(put("a.npy", saved(np.concatenate([grid(), colors / 255], axis=2))))
    assert joined.colors is not None
    assert np.allclose(joined.colors, shape.colors, atol=1e-6)


def test_a_batch_of_clouds_is_no_image(put: Put) -> None:
    batch = np.random.default_rng(0).normal(size=(20, 30, 3))
    with pytest.raises(FileFormatError, match="a.npy holds 20 shapes. Choose one"):
        shapes.load(put("a.npy", saved(batch)))
    assert np.allclose(cloud(f"{put('b.npy', saved(grid()))}#3").points, grid()[3])  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [False, True])
def test_columns_of_an_array_with_three_rows_are_points(batch: bool, put: Put) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    array = np.stack([points.T] * 2) if batch else points.T
    path = put("a.npy", saved(array))
    shape = cloud(f"{path}#1" if batch else path)  # type: ignore[arg-type]
    assert np.array_equal(shape.points, points)
    assert shape.origin is not None
    assert shape.origin.notes == (f"The array has shape {array.shape}; its columns were read as points.",)


def test_three_rows_of_few_columns_are_three_points(put: Put) -> None:
    array = np.random.default_rng(0).normal(size=(3, 6))
    assert np.allclose(cloud(put("a.npy", saved(array))).points, array[:, :3])
