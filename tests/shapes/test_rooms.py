"""Generated rooms: reproducible, exact boxes, nothing collides, everything inside."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.shapes import make_room
from basrelief.shapes.room_layouts import ROOM_WORDS
from basrelief.shapes.rooms import ROOM_KINDS, Room


@pytest.fixture(scope="module", params=ROOM_KINDS)
def room(request: pytest.FixtureRequest) -> Room:
    return make_room(seed=11, kind=request.param)


def test_same_seed_gives_the_same_room(room: Room) -> None:
    again = make_room(seed=11, kind=room.kind)
    assert np.array_equal(room.mesh.vertices, again.mesh.vertices)
    assert room.labels == again.labels


def test_boxes_are_the_extent_of_each_objects_vertices(room: Room) -> None:
    for i, (low, high) in enumerate(room.boxes.bounds()):
        vertices = room.mesh.vertices[room.mesh.faces[room.instances == i]].reshape(-1, 3)
        np.testing.assert_allclose([low, high], [vertices.min(axis=0), vertices.max(axis=0)], atol=1e-9)


def test_labels_are_room_words() -> None:
    for seed in range(4):
        assert set(make_room(seed=seed).labels) <= set(ROOM_WORDS)
