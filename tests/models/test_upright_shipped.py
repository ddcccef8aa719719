"""The shipped upright network on generated shapes with unseen seeds."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.geometry import UP_AXES, normalise_unit_sphere, rotation_to_z_up, sample_surface
from basrelief.models import resolve_pose
from basrelief.models.upright import upright_scores
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud

STANDING = (
    "chair sofa armchair bed toilet table desk laptop lamp mug bowl teapot bucket wine_glass car truck bus airplane boat bicycle motorcycle "
    "helicopter rocket potted_plant tree pine_tree palm_tree house staircase street_light traffic_sign ladder stool bench coat_rack"
).split()
POSE_SEARCHES = np.stack([rotation_to_z_up(axis) for axis in UP_AXES])


def cloud(name: str, seed: int, points: int = 2048) -> np.ndarray:
    shape = make_shape(name.replace("_", " "), seed=seed)
    assert isinstance(shape, Mesh)
    return sample_surface(shape, points, seed=seed).points


def test_most_standing_shapes_are_recognised() -> None:
    clouds = [normalise_unit_sphere(cloud(name, 910_000)) for name in STANDING if name != "ladder"]
    best = upright_scores(clouds, POSE_SEARCHES).argmax(axis=1)
    assert (best == UP_AXES.index("z")).mean() >= 0.9


@pytest.mark.parametrize("axis", ["x", "-y", "-z"])
def test_the_resolver_turns_most_of_them_back(axis: str) -> None:
    names = STANDING[::4]
    turned = [PointCloud((cloud(name, 910_001) @ rotation_to_z_up(axis)).astype(np.float32)) for name in names]
    found = [pose.up for pose in resolve_pose(turned)]
    assert np.mean([up == axis for up in found]) >= 0.85, dict(zip(names, found, strict=True))


@pytest.mark.parametrize("spoil", ["few points", "noise", "half of the points on one side are gone"])
def test_spoilt_clouds_are_still_turned(spoil: str) -> None:
    random = np.random.default_rng(0)
    hits = []
    for name in STANDING[1::5]:
        points = cloud(name, 910_002) @ rotation_to_z_up("x")
        if spoil == "few points":
            points = points[:300]
        elif spoil == "noise":
            points = points + random.normal(0, 0.01 * np.ptp(points, axis=0).max(), points.shape)
        else:
            side = points[:, 1] - np.median(points[:, 1])
            points = points[(side < 0) | (random.random(len(points)) < 0.3)]
        hits.append(resolve_pose([PointCloud(points.astype(np.float32))])[0].up == "x")
    assert np.mean(hits) >= 0.7


def test_an_upright_answer_is_surer_of_a_chair_than_of_a_ball() -> None:
    random = np.random.default_rng(0).normal(size=(2000, 3))
    ball = PointCloud((random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32))
    chair = PointCloud(cloud("chair", 910_003))
    sure = [pose.confidence for pose in resolve_pose([chair, ball])]
    assert sure[0] > 0.9
    assert sure[0] > sure[1]
