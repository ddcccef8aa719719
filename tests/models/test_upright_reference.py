"""Images of the upright network, compared with a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.geometry import normalise_unit_sphere
from basrelief.models.upright import SIDE, face_images, upright_scores

RADIUS = 0.05


def slow_face(cloud: np.ndarray, right: tuple[int, int, int], down: tuple[int, int, int], forward: tuple[int, int, int]) -> np.ndarray:
    """Depth from one side: nearest point whose disc covers the pixel's centre; 1 at the near end of the sphere, 0.2 at the far one."""
    x, y, z = (cloud @ np.array(axis, dtype=float) for axis in (right, down, forward))
    image = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        for column in range(SIDE):
            cx, cy = (2 * column + 1) / SIDE - 1, (2 * row + 1) / SIDE - 1
            inside = (x - cx) ** 2 + (y - cy) ** 2 < RADIUS**2
            if inside.any():
                image[row, column] = 1 - 0.4 * (z[inside].min() + 1)
    return image


FACES = {
    0: ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
    1: ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
    2: ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    3: ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    4: ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    5: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


@pytest.fixture(scope="module")
def cloud() -> np.ndarray:
    rows = np.random.default_rng(3).normal(size=(60, 3)) * [1, 0.6, 0.8]
    return normalise_unit_sphere(rows.astype(np.float32))


@pytest.mark.parametrize("face", sorted(FACES))
def test_faces_agree_with_the_reference(face: int, cloud: np.ndarray) -> None:
    fast = face_images(torch.from_numpy(cloud)[None])[0, face].numpy()
    slow = slow_face(cloud.astype(np.float64), *FACES[face])  # type: ignore[arg-type]
    differs = np.abs(fast - slow) > 1e-5
    assert differs.mean() < 1e-3, f"{differs.sum()} of {differs.size} pixels"


def test_cameras_are_right_handed() -> None:
    for right, down, forward in FACES.values():
        np.testing.assert_array_equal(np.cross(right, down), forward)


def test_several_clouds_are_drawn_as_one_by_one(cloud: np.ndarray) -> None:
    pair = torch.from_numpy(np.stack([cloud, cloud[:, [1, 0, 2]] * np.float32([1, -1, 1])]))
    together = face_images(pair)
    for i in range(2):
        torch.testing.assert_close(together[i], face_images(pair[i : i + 1])[0])


def test_a_quarter_turn_moves_the_sides_on(cloud: np.ndarray) -> None:
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    before, after = face_images(torch.from_numpy(cloud)[None])[0], face_images(torch.from_numpy(cloud @ turn.T)[None])[0]
    for side in range(4):
        differs = (after[(side + 1) % 4] - before[side]).abs() > 1e-4
        assert differs.float().mean() < 2e-3


def test_scores_are_those_of_the_network_candidate_by_candidate(cloud: np.ndarray) -> None:
    turns = np.stack([np.eye(3), np.diag([1.0, -1, -1]), np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])])
    together = upright_scores([cloud], turns)[0]
    alone = [upright_scores([(cloud @ turn.T).astype(np.float32)], np.eye(3)[None])[0][0] for turn in turns]
    np.testing.assert_allclose(together, alone, atol=1e-3)
