"""The pose resolver: properties, accuracy on generated shapes, and messages."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import basrelief as br
from basrelief.errors import ConfigError
from basrelief.geometry import UP_AXES, rotate, rotation_to_z_up, sample_surface
from basrelief.geometry.transforms import axis_rotation
from basrelief.io import save
from basrelief.models import Model, Pose, ReadOptions, classify_files, resolve_pose
from basrelief.models.upright import POINTS, SIDE, UprightNet, face_images, load_upright, upright_scores
from basrelief.shapes import make_shape
from basrelief.types import Mesh, Origin, PointCloud
from support.small_models import ball, small_encoder

STANDING = ("airplane", "armchair", "bench", "car", "chair", "desk", "lamp", "mug", "sofa", "stool", "table", "toilet", "tree", "truck")


@lru_cache
def cloud(name: str, seed: int = 31) -> PointCloud:
    shape = make_shape(name, seed=seed)
    return sample_surface(shape, POINTS, seed=1) if isinstance(shape, Mesh) else shape


def angle(pose: Pose, up: np.ndarray) -> float:
    """Degrees between the direction that was turned up and the true one."""
    return float(np.degrees(np.arccos(np.clip(pose.rotation[2] @ up, -1, 1))))


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


def test_shapes_turned_by_an_axis_stand_up_again() -> None:
    moved = [(rotate(cloud(name), rotation_to_z_up(axis).T), axis) for name in STANDING for axis in ("y", "-x", "-z")]
    poses = resolve_pose([shape for shape, _ in moved])
    right = [pose.up == axis for pose, (_, axis) in zip(poses, moved, strict=True)]
    assert np.mean(right) >= 0.95


def test_shapes_in_any_pose_stand_up_again() -> None:
    turns = [Rotation.random(random_state=i).as_matrix() for i in range(len(STANDING))]
    poses = resolve_pose([rotate(cloud(name), turn) for name, turn in zip(STANDING, turns, strict=True)], search="any")
    assert np.mean([angle(pose, turn[:, 2]) < 15 for pose, turn in zip(poses, turns, strict=True)]) >= 0.85


@pytest.mark.parametrize("search", ["axes", "any"])
def test_poses_are_proper_rotations_with_a_probability(search: str) -> None:
    for pose in resolve_pose([cloud("chair"), cloud("mug")], search=search):  # type: ignore[arg-type]
        np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(pose.rotation) == pytest.approx(1)
        assert 0 < pose.confidence <= 1


def test_the_answer_turns_with_the_shape() -> None:
    upright, lying = resolve_pose([cloud("chair"), rotate(cloud("chair"), axis_rotation("x", np.pi / 2))])
    assert (upright.up, lying.up) == ("z", "-y")
    assert lying.confidence == pytest.approx(upright.confidence, abs=0.1)


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (0.001, 0.0), (1.0, 500.0)])
def test_scale_and_place_do_not_matter(scale: float, shift: float) -> None:
    points = cloud("table").points
    moved = PointCloud((points.astype(np.float64) * scale + shift).astype(np.float32))
    one, other = resolve_pose([cloud("table"), moved])
    assert one.up == other.up == "z"
    assert one.confidence == pytest.approx(other.confidence, abs=0.05)


def test_the_same_shape_gives_the_same_pose() -> None:
    one, other = resolve_pose([make_shape("chair", seed=1)], seed=3)[0], resolve_pose([make_shape("chair", seed=1)], seed=3)[0]
    np.testing.assert_array_equal(one.rotation, other.rotation)
    assert one.confidence == other.confidence


def test_a_ball_has_no_up_and_says_so() -> None:
    assert resolve_pose([ball(2048)])[0].confidence < 0.7


def test_too_few_points_stay_as_they_are() -> None:
    pose = resolve_pose([PointCloud(np.eye(3, dtype=np.float32))])[0]
    np.testing.assert_array_equal(pose.rotation, np.eye(3))
    assert pose.reason == "too few points to tell"


def test_a_turned_shape_says_so_in_its_origin() -> None:
    shape = PointCloud(cloud("chair").points, origin=Origin("a.ply", "ply"))
    turned = Pose(rotation_to_z_up("y"), "y", 0.9, "because").apply(shape)
    assert turned.origin is not None
    assert turned.origin.notes == ("Turned so that y is up: because.",)
    assert isinstance(turned, PointCloud)
    np.testing.assert_allclose(turned.points, shape.points @ rotation_to_z_up("y").T, atol=1e-6)
    kept = Pose(np.eye(3), "z", 0.9, "because").apply(shape)
    assert kept.origin is not None
    assert kept.origin.notes == ()


def test_a_direction_between_the_axes_has_no_name() -> None:
    turn = Rotation.from_euler("xyz", [30, 20, 0], degrees=True).as_matrix()
    pose = resolve_pose([rotate(cloud("table"), turn)], search="any")[0]
    assert pose.up == ""
    shape = PointCloud(cloud("table").points, origin=Origin("a.ply", "ply"))
    applied = pose.apply(shape)
    assert applied.origin is not None
    assert "a direction between its axes is up" in applied.origin.notes[0]


def test_the_model_decides_where_the_geometry_is_unsure(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    embed = Model.embed_views
    monkeypatch.setattr(Model, "embed_views", lambda self, shapes, **how: asked.append(len(shapes)) or embed(self, shapes, **how))
    sure, unsure = resolve_pose([cloud("chair"), ball(2048)], model=tiny, labels=["chair", "ball"])
    assert "recognises" not in sure.reason
    assert "what the model recognises" in unsure.reason
    assert len(asked) == 1
    assert 1 <= asked[0] <= 4


def test_any_recipe_can_vote() -> None:
    model = Model(br.models.get_recipe("opendlign-untuned"), small_encoder())
    pose = resolve_pose([ball(2048)], model=model, labels=["a", "b"])[0]
    assert pose.up in UP_AXES


def test_wrong_options_are_explained(tiny: Model) -> None:
    with pytest.raises(ConfigError, match="Unknown search 'axis'; expected one of axes, any. Did you mean 'axes'?"):
        resolve_pose([ball()], search="axis")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="The model's vote needs at least two labels, got 0"):
        resolve_pose([ball()], model=tiny)


def test_files_are_turned_before_they_are_named(tiny: Model, tmp_path: Path) -> None:
    path = tmp_path / "lying.ply"
    save(rotate(cloud("chair"), axis_rotation("x", np.pi / 2)), path)
    labels = ["airplane", "chair", "mug", "table"]
    as_it_lies = next(classify_files(tiny, [path], labels=labels))
    turned = next(classify_files(tiny, [path], labels=labels, options=ReadOptions(pose="axes")))
    assert as_it_lies.pose is None
    assert turned.pose is not None
    assert turned.pose.up == "-y"
    assert turned.prediction is not None
    assert as_it_lies.prediction is not None
    chance = dict(zip(turned.prediction.labels, turned.prediction.scores, strict=True))["chair"]
    assert chance > dict(zip(as_it_lies.prediction.labels, as_it_lies.prediction.scores, strict=True))["chair"]
    assert turned.shape is not None
    assert turned.shape.origin is not None
    assert any("-y is up" in note for note in turned.shape.origin.notes)


# The network


def test_faces_show_four_sides_top_and_bottom() -> None:
    points = torch.rand(1, 4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.4, 0.2]) - torch.tensor(
        [0.5, 0.2, 0.1]
    )
    images = face_images(points)
    assert images.shape == (1, 6, SIDE, SIDE)
    assert images.min() == 0
    assert images.max() <= 1
    seen = (images[0] > 0).float().mean(dim=(1, 2))
    assert seen[4] == seen[5].clamp(seen[4] - 0.01, seen[4] + 0.01)
    assert seen[4] > seen[1] > seen[0]  # 1 x 0.4 from above, 1 x 0.2 and 0.4 x 0.2 from the sides
    assert torch.isclose(seen[0], seen[2], atol=0.01)


def test_near_is_brighter_than_far() -> None:
    points = torch.cat([torch.full((1, 50, 3), 0.0), torch.full((1, 50, 3), 0.0)], dim=1)
    points[0, :50, 2], points[0, 50:, 2] = 0.9, -0.9
    images = face_images(points)
    assert images[0, 4].max() > 0.9
    assert images[0, 5].max() > 0.9
    assert images[0, 0].max() == pytest.approx(0.6, abs=0.01)


def test_the_network_that_ships_is_whole_and_small() -> None:
    net = load_upright()
    assert sum(p.numel() for p in net.parameters()) < 600_000
    assert not any(p.requires_grad for p in net.parameters())
    assert load_upright() is net


def test_scores_do_not_depend_on_the_batch() -> None:
    turns = np.stack([rotation_to_z_up(axis) for axis in UP_AXES])
    clouds = [cloud(name).points for name in ("chair", "mug", "car")]
    clouds = [(p - p.mean(axis=0)) / np.linalg.norm(p - p.mean(axis=0), axis=1).max() for p in clouds]
    together = upright_scores(clouds, turns)
    alone = np.concatenate([upright_scores([one], turns) for one in clouds])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    other = upright_scores(clouds, turns, net=UprightNet().eval())
    assert not np.allclose(other, together)
