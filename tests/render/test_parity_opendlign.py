"""OpenDlign's projection against what the authors' compiled program was recorded to draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.geometry import rotation_to_z_up
from basrelief.render.base import PointBatch
from basrelief.render.opendlign import OpenDlignProjection, paste
from basrelief.render.plane_filter import PlaneFilter, PlaneGrid
from basrelief.render.reference import opendlign as reference
from render.maps import thinned_like
from support import parity_arrays

PROJECTION = OpenDlignProjection()
EXEMPT_VOXELS = 20
EXEMPT_PIXELS = 4e-4
TURN = rotation_to_z_up("y").astype(np.float32)
"""From the program's frame (+Y up) to ours."""


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return parity_arrays("opendlign_projection.npz")


def with_prefix(arrays: dict[str, np.ndarray], prefix: str) -> list[str]:
    names = [name.removeprefix(prefix) for name in arrays if name.startswith(prefix)]
    assert names, f"the recording holds no {prefix}*"
    return names


def batch(*clouds: np.ndarray, device: torch.device | str = "cpu") -> PointBatch:
    return PointBatch.pack(list(clouds), device=device)


def wrong_pixels(ours: torch.Tensor, theirs: np.ndarray) -> str:
    """Empty when all pixels agree to 2e-6; on other devices, where points on a border may be rounded differently, all but 0.04 %."""
    thinned = thinned_like(ours, theirs)
    assert thinned.shape == theirs.shape
    wrong = int((~(np.abs(thinned - theirs) <= 2e-6)).sum())
    allowed = 0 if ours.device.type == "cpu" else EXEMPT_PIXELS * theirs.size
    return "" if wrong <= allowed else f"{wrong} of {theirs.size} pixels differ"


def whole_grid(grid: PlaneGrid, planes: int, size: int) -> np.ndarray:
    """The voxels of a grid as (images, planes, size, size)."""
    inner = grid.values[grid.pad : -grid.pad].view(grid.planes, grid.images, grid.rows, grid.columns).cpu()
    whole = torch.zeros(planes, grid.images, size, size)
    paste(whole[grid.origin[0] :][: grid.planes], inner, grid.origin[1:])
    assert whole.sum() == pytest.approx(float(inner.sum()))
    return whole.transpose(0, 1).numpy()


def stored_grid(grid: np.ndarray) -> PlaneGrid:
    """A recorded grid (images, planes, size, size) as ours."""
    image, *voxel = (torch.from_numpy(place).int() for place in np.nonzero(grid))
    places = torch.stack(voxel)
    found = PlaneGrid.empty(places.amin(1).tolist(), places.amax(1).tolist(), len(grid), torch.device("cpu"))
    found.put(image, places, torch.from_numpy(grid[grid > 0]))
    return found


def test_cameras_are_the_programs(recorded: dict[str, np.ndarray]) -> None:
    axes = (recorded["rot_mat"] @ recorded["rot_mat2"]).transpose(0, 2, 1) @ TURN.T  # down, right, near
    expected = np.stack([axes[:, 1], axes[:, 0], -axes[:, 2]], axis=1)
    np.testing.assert_allclose(PROJECTION.cameras.rotation, expected, atol=1e-6)
    for ours, name in zip(PROJECTION.turns, ("rot_mat", "rot_mat2"), strict=True):
        assert np.array_equal(ours.transpose(0, 2, 1), recorded[name])
    assert np.array_equal(-recorded["translation"], np.broadcast_to(np.float32([0.5, 0.5, 1.5]), (10, 1, 3)))


def test_reference_makes_the_same_grid_bit_for_bit(recorded: dict[str, np.ndarray]) -> None:
    for name in with_prefix(recorded, "grid_"):
        for view, expected in enumerate(recorded[f"grid_{name}"]):
            camera = reference.camera_coordinates(recorded[f"in_{name}"], [turn[view] for turn in PROJECTION.turns])
            grid = reference.quantise(camera, PROJECTION)
            assert np.array_equal(grid[:, 5:-5, 5:-5], expected), (name, view)


def test_grids(recorded: dict[str, np.ndarray], device: torch.device) -> None:
    for name in with_prefix(recorded, "grid_"):
        ours = whole_grid(PROJECTION.grid(batch(recorded[f"in_{name}"], device=device)), 8, 224)
        wrong = (ours != recorded[f"grid_{name}"]) if device.type == "cpu" else np.abs(ours - recorded[f"grid_{name}"]) > 1e-5
        assert wrong.sum() <= (0 if device.type == "cpu" else EXEMPT_VOXELS), name


def test_images(recorded: dict[str, np.ndarray], device: torch.device) -> None:
    wrong = {}
    for name in with_prefix(recorded, "img_"):
        depth = PROJECTION.depth(batch(recorded[f"in_{name}"], device=device))
        wrong[name] = wrong_pixels(PROJECTION.image(depth)[0], recorded[f"img_{name}"])
    assert not any(wrong.values()), wrong


def test_batch_is_cloud_major(recorded: dict[str, np.ndarray], device: torch.device) -> None:
    images = PROJECTION.image(PROJECTION.depth(batch(*recorded["batch2_in"], device=device)))
    assert not wrong_pixels(images.flatten(0, 1), recorded["batch2_out"])


def test_steps_after_the_grid(recorded: dict[str, np.ndarray]) -> None:
    for name in with_prefix(recorded, "maxpool_"):
        for place, view in enumerate((0, 4, 9)):
            grid = np.pad(recorded[f"grid_{name}"][view], ((0, 0), (5, 5), (5, 5)))
            dense = reference.densify(grid)
            smoothed = reference.smooth(dense, PROJECTION)
            expected = recorded[f"maxpool_{name}"][place]
            assert np.array_equal(thinned_like(dense[:, 5:-5, 5:-5], expected), expected)
            expected = recorded[f"bilateral_{name}"][place]
            np.testing.assert_allclose(thinned_like(smoothed[:, 5:-5, 5:-5], expected), expected, atol=5e-6, rtol=0)


def test_images_from_the_grid(recorded: dict[str, np.ndarray]) -> None:
    for name in with_prefix(recorded, "grid_"):
        expected = recorded[f"img_{name}"]
        grid = stored_grid(recorded[f"grid_{name}"])
        near = torch.zeros(10, 224, 224)
        paste(near, PlaneFilter(6, PROJECTION.sigma).squeeze(grid), grid.origin[1:])
        ours = 1 - near / near.amax((1, 2), keepdim=True)
        np.testing.assert_allclose(thinned_like(ours, expected), expected, atol=2e-6, rtol=0)
        for view in (0, 9):
            padded = np.pad(recorded[f"grid_{name}"][view], ((0, 0), (5, 5), (5, 5)))
            slow = reference.squeeze(reference.smooth(reference.densify(padded), PROJECTION)).clip(max=1)
            np.testing.assert_allclose(thinned_like(slow, expected[view]), expected[view], atol=2e-6, rtol=0)


def test_median(recorded: dict[str, np.ndarray]) -> None:
    projection = OpenDlignProjection(median=True)
    image = projection.image(projection.depth(batch(recorded["in_chair_2048"])))
    assert not wrong_pixels(image[0], recorded["median_chair_2048"])
