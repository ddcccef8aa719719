"""Cues of the upright estimate: closed forms and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from basrelief.geometry import UP_AXES, rotation_to_z_up, sample_surface
from basrelief.geometry.upright import CUES, cue_scores, up_candidates, upright_cues
from basrelief.shapes import make_shape
from basrelief.types import Mesh


def cone(points: int = 3000) -> np.ndarray:
    """A solid cone that stands on its base."""
    random = np.random.default_rng(0)
    height = 1 - random.random(points) ** (1 / 3)
    angle, radius = random.uniform(0, 2 * np.pi, points), (1 - height) * np.sqrt(random.random(points))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 2 * height], axis=1)


def table(seed: int = 3) -> np.ndarray:
    shape = make_shape("table", seed=seed)
    cloud = sample_surface(shape, 3000) if isinstance(shape, Mesh) else shape
    return np.asarray(cloud.points, dtype=np.float64)


def cue(points: np.ndarray, name: str) -> float:
    return float(upright_cues(points)[CUES.index(name)])


def test_a_cone_stands_on_its_base_and_not_on_its_tip() -> None:
    flipped = cone() * [1, 1, -1]
    assert cue(cone(), "support") > 0.8
    assert cue(flipped, "support") < 0.1
    assert cue(cone(), "top") == pytest.approx(cue(flipped, "support"), abs=0.02)
    assert cue(cone(), "height of mass") == pytest.approx(0.25, abs=0.02)
    assert cue(cone(), "balance") > 0.3


def test_a_cone_is_its_own_mirror_image_but_not_upside_down() -> None:
    assert cue(cone(), "mirror") > 0.8 > cue(cone(), "upside down")


def test_a_leaning_rod_falls_over() -> None:
    rod = np.random.default_rng(0).random((2000, 1)) * [[1.0, 0.0, 1.0]] + np.random.default_rng(1).normal(0, 0.01, (2000, 3))
    assert cue(rod, "balance") < 0


def test_tallness_is_a_share_of_the_longest_side() -> None:
    box = np.random.default_rng(0).random((500, 3)) * [4, 1, 2]
    assert cue(box, "tallness") == pytest.approx(0.5, abs=0.02)


@given(st.floats(1e-3, 1e3), st.tuples(*[st.floats(-50, 50)] * 3))
@settings(max_examples=15)
def test_place_and_scale_do_not_matter(scale: float, shift: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(upright_cues(table() * scale + np.array(shift)), upright_cues(table()), atol=0.03)


@pytest.mark.parametrize("axis", UP_AXES)
def test_scores_turn_with_the_shape(axis: str) -> None:
    turns = np.stack([rotation_to_z_up(name) for name in UP_AXES])
    lying = table() @ rotation_to_z_up(axis)
    upright = cue_scores(table(), np.eye(3)[None])[0]
    assert cue_scores(lying, turns)[UP_AXES.index(axis)] == pytest.approx(upright, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_the_true_up_is_among_the_candidates_of_any_pose(seed: int) -> None:
    turn = Rotation.random(random_state=seed).as_matrix()
    found = up_candidates(table(seed) @ turn.T)
    assert np.degrees(np.arccos((found @ turn[:, 2]).max())) < 8
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_candidates_are_few_and_apart() -> None:
    ball = np.random.default_rng(0).normal(size=(2000, 3))
    found = up_candidates(ball / np.linalg.norm(ball, axis=1, keepdims=True), limit=12)
    assert len(found) <= 12
    between = found @ found.T - 2 * np.eye(len(found))
    assert np.degrees(np.arccos(between.max())) > 7.9


@pytest.mark.parametrize("points", [np.zeros((10, 3)), np.random.default_rng(0).random((50, 1)) * [[1.0, 2, 3]], np.eye(3)])
def test_flat_thin_and_empty_forms_have_answers_too(points: np.ndarray) -> None:
    assert np.isfinite(upright_cues(points)).all()
    assert up_candidates(points).shape[1] == 3
