"""Scans of several things are recognised; single objects are not taken for one."""

import dataclasses

import numpy as np
import pytest

from basrelief.geometry import rotation_to_z_up
from basrelief.scenes import recognise_scene
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud
from support.small_room import small_room


@pytest.mark.parametrize(("up", "unit"), [("z", 1), ("y", 1000), ("z", 100)])
def test_a_room_is_recognised_in_any_frame(up: str, unit: float) -> None:
    points, _, _ = small_room(things=9)
    guess = recognise_scene(PointCloud((points @ rotation_to_z_up(up) * unit).astype(np.float32)))
    assert guess is not None
    assert guess.things >= 4
    assert guess.sentence == f"This looks like a scan of a room with {guess.things} or more things, not like one object."
    assert guess.finding("a.ply").remedy == "Run: basrelief detect a.ply"


@pytest.mark.parametrize("word", ["chair", "table", "bookshelf", "car", "bed", "desk", "lamp", "airplane"])
def test_objects_are_not_taken_for_scenes(word: str) -> None:
    mesh = make_shape(word, seed=3)
    assert recognise_scene(_dense(mesh)) is None
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), 20_000).astype(np.float32)
    corners = mesh.vertices[mesh.faces[rng.integers(len(mesh.faces), size=20_000)]]
    assert recognise_scene(PointCloud(np.einsum("nk,nkd->nd", weights, corners))) is None


def _dense(mesh: Mesh) -> Mesh:
    """Repeat the faces, because files with few of them are not looked at."""
    return dataclasses.replace(mesh, faces=np.tile(mesh.faces, (1 + 2000 // len(mesh.faces), 1)))
