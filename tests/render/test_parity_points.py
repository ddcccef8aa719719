"""PointCLIP and PointCLIP V2, compared with recorded output of the original code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.render import get_projection
from basrelief.render.base import PointBatch
from basrelief.render.pointclip import PointClipProjection
from basrelief.render.pointclip_v2 import PointClipV2Projection, view_rotations
from basrelief.render.rigs import euler
from render.maps import off, thinned_like
from support import parity_arrays

RECORDINGS = {
    "pointclip": "pointclip_zs_projection.npz",
    "pointclip-fewshot": "pointclip_fs_projection.npz",
    "pointclip-v2": "pointclipv2_projection.npz",
}


@pytest.fixture(params=list(RECORDINGS))
def recorded(request: pytest.FixtureRequest) -> tuple[PointClipProjection | PointClipV2Projection, dict[str, np.ndarray]]:
    projection = get_projection(request.param)
    assert isinstance(projection, PointClipProjection | PointClipV2Projection)
    return projection, parity_arrays(RECORDINGS[request.param])


def clouds(arrays: dict[str, np.ndarray]) -> list[str]:
    names = [name.removeprefix("in_") for name in arrays if name.startswith("in_")]
    assert names, "the recording holds no cloud"
    return names


def drawn(projection: PointClipProjection | PointClipV2Projection, depth: torch.Tensor) -> torch.Tensor:
    return depth.masked_fill(depth.isinf(), projection.background)


def test_maps(recorded: tuple, device: torch.device) -> None:
    projection, arrays = recorded
    wrong = {}
    for name in clouds(arrays):
        depth = projection.depth(PointBatch.pack([arrays[f"in_{name}"]], device=device))
        if f"out_{name}" in arrays:
            wrong[name] = off(drawn(projection, depth)[0], arrays[f"out_{name}"])
        else:
            wrong[name] = "NaN" if depth.isnan().any() else ""
    assert wrong, "nothing was compared"
    assert not any(wrong.values()), wrong


def test_enlarged_images(recorded: tuple, device: torch.device) -> None:
    projection, arrays = recorded
    wrong = {}
    for name in clouds(arrays):
        if f"upsample224_{name}" in arrays:
            image = projection.image(projection.depth(PointBatch.pack([arrays[f"in_{name}"]], device=device)))
            expected = arrays[f"upsample224_{name}"]
            wrong[name] = off(thinned_like(image[0], expected), expected)
    assert not any(wrong.values()), wrong
    assert wrong or projection.size == projection.image_size


def test_images_need_no_enlarging_at_their_own_size() -> None:
    projection = get_projection("pointclip-fewshot")
    depth = projection.depth(PointBatch.pack([np.eye(3, dtype=np.float32) / 2]))
    assert torch.equal(projection.image(depth), depth.masked_fill(depth.isinf(), 0))


@pytest.mark.parametrize("recorded", ["pointclip", "pointclip-v2"], indirect=True)
def test_batch_is_cloud_major(recorded: tuple, device: torch.device) -> None:
    projection, arrays = recorded
    depth = projection.depth(PointBatch.pack(list(arrays["batch2_in"]), device=device))
    assert not off(thinned_like(drawn(projection, depth).flatten(0, 1), arrays["batch2_out"]), arrays["batch2_out"])


@pytest.mark.parametrize("name", ["pointclip", "pointclip-fewshot"])
def test_pointclip_cameras(name: str) -> None:
    arrays, projection = parity_arrays(RECORDINGS[name]), get_projection(name)
    drawn_axes = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # right is y, down is x
    expected = drawn_axes @ arrays["rot_mat"].transpose(0, 2, 1) @ projection.frame
    np.testing.assert_allclose(projection.cameras.rotation, expected, atol=1e-6)
    assert projection.cameras.distance == pytest.approx(-float(arrays["translation"][0, 0, 2]))
    assert np.ptp(arrays["translation"], axis=0).max() == 0


def test_pointclip_v2_cameras_and_filter() -> None:
    arrays = parity_arrays(RECORDINGS["pointclip-v2"])
    np.testing.assert_allclose(view_rotations(), (arrays["rot_mat"] @ arrays["rot_mat2"]).transpose(0, 2, 1), atol=1e-6)
    weight = arrays["conv_weight"][0, 0, 0]
    side = np.exp(-0.5 / PointClipV2Projection().sigma ** 2) * np.array([1, 0, 1]) + np.array([0, 1, 0])
    np.testing.assert_allclose(weight / weight[1, 1], np.outer(side, side), atol=1e-6)


def test_pointclip_v2_voxels(device: torch.device) -> None:
    projection = PointClipV2Projection()
    arrays = parity_arrays(RECORDINGS["pointclip-v2"])
    grids = {name.removeprefix("grid_"): arrays[name] for name in arrays if name.startswith("grid_")}
    inputs = {name: arrays[f"in_{name}"] for name in grids}
    assert grids
    for name, expected in grids.items():
        part, (plane, row, column) = projection.grid(PointBatch.pack([inputs[name]], device=device))
        ours = np.zeros((len(expected), 64, 256, 256), dtype=np.float32)
        near = part[:, 0].cpu().numpy()
        ours[:, plane : plane + near.shape[1], 64 + row : 64 + row + near.shape[2], 64 + column : 64 + column + near.shape[3]] = near
        planes, side = expected.shape[1:3]
        assert not off(ours[:, :planes, 64 : 64 + side, 64 : 64 + side], expected), name
        assert ours.sum() == pytest.approx(ours[:, :planes, 64 : 64 + side, 64 : 64 + side].sum())


def test_euler_turns_about_x_after_y_after_z() -> None:
    quarter = np.array(((0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)))
    x, y, z = euler([tuple(row) for row in quarter.tolist()])
    np.testing.assert_allclose(x @ [0, 1, 0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(y @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(z @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(euler([(0.5, 0.5, 0.5)])[0], x @ y @ z, atol=1e-6)
