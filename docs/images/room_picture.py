"""Draw `room.png` beside this file: a generated office, its virtual scan, and the points of each object with its exact box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from basrelief.geometry.boxes import Boxes
from basrelief.render import render_thumbnail
from basrelief.shapes import make_room, scan_room
from basrelief.shapes.room_structure import CEILING, WALL
from basrelief.types import PointCloud

SEED = 8
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


def edge_points(boxes: Boxes) -> np.ndarray:
    """Return points along the edges of boxes, 4 mm apart."""
    corners = boxes.corners()
    ends = [(corner[a], corner[b]) for corner in corners for a, b in EDGES]
    return np.concatenate([np.linspace(a, b, int(np.linalg.norm(b - a) / 0.004) + 2) for a, b in ends])


room = make_room(seed=SEED)
scan = scan_room(room, seed=SEED)
points = scan.cloud.points
near = (points[:, 0] > room.outline[:, 0].max() - 0.15) | (points[:, 1] < 0.15)
shown = (scan.surfaces != CEILING) & ~((scan.surfaces == WALL) & near)

centers = room.mesh.vertices[room.mesh.faces].mean(axis=1)
hidden = (room.surfaces == WALL) & ((centers[:, 0] > room.outline[:, 0].max() - 0.1) | (centers[:, 1] < 0.1))
mesh = replace(room.mesh, faces=room.mesh.faces[(room.surfaces != CEILING) & ~hidden])

palette = np.random.default_rng(3).uniform(0.15, 0.9, (len(room.labels), 3))
colors = np.where((scan.instances >= 0)[:, None], palette[scan.instances], 0.85)
edges = edge_points(room.boxes)
owners = PointCloud(
    np.concatenate([points[shown], edges]).astype(np.float32),
    np.concatenate([colors[shown], np.tile([0.8, 0.1, 0.1], (len(edges), 1))]).astype(np.float32),
)
cloud = PointCloud(points[shown], None if scan.cloud.colors is None else scan.cloud.colors[shown])

panels = [render_thumbnail(shape, azimuth=-58, elevation=42, size=400, supersample=2)[30:-10] for shape in (mesh, cloud, owners)]
picture = Image.fromarray((np.concatenate(panels, axis=1) * 255).round().astype(np.uint8))
picture.quantize(128).save(Path(__file__).with_name("room.png"), optimize=True)
