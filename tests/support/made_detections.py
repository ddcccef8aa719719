"""Detections of a small made scan, without a model: boxes of points on a floor between two walls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from basrelief.geometry.boxes import Boxes
from basrelief.scenes import Detections, Proposals, Scene
from basrelief.types import Finding, PointCloud

THINGS = (  # label, centre, size, yaw, colour
    ("table", (1.0, 0.5, 0.375), (1.4, 0.8, 0.75), 0.0, (0.6, 0.4, 0.2)),
    ("office chair", (-0.8, 0.9, 0.45), (0.5, 0.55, 0.9), 0.5, (0.2, 0.3, 0.7)),
    ("office chair", (-0.2, -1.2, 0.45), (0.5, 0.55, 0.9), -1.2, (0.2, 0.3, 0.7)),
    ("monitor", (1.0, 0.6, 0.95), (0.5, 0.1, 0.4), 0.0, (0.1, 0.1, 0.1)),
)


def surface(center: Sequence[float], size: Sequence[float], yaw: float, count: int, seed: int) -> np.ndarray:
    """Points on the faces of a box."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (count, 3))
    axis = rng.integers(0, 3, count)
    points[np.arange(count), axis] = np.sign(points[np.arange(count), axis]) / 2
    local = points * np.array(size)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    moved: np.ndarray = local @ turn.T + np.array(center)
    return moved


def made_detections(
    *,
    to_file: np.ndarray | None = None,
    labels: tuple[str, ...] = ("table", "office chair", "monitor", "lamp"),
    colors: bool = True,
    points: int = 400,
    boxes: int | None = None,
) -> Detections:
    """Four labelled boxes; the last label has none.

    Args:
        to_file: Scene frame to the coordinates of the file; the same when None.
        labels: Four words that take the place of table, office chair, monitor and lamp.
        colors: Whether the points have colours.
        points: Of each thing.
        boxes: How many of the four.
    """
    things = THINGS[:boxes]
    rng = np.random.default_rng(0)
    clouds = [surface(center, size, yaw, points, number) for number, (_, center, size, yaw, _) in enumerate(things)]
    floor = np.concatenate([rng.uniform(-2.5, 2.5, (2 * points, 2)), np.zeros((2 * points, 1))], axis=1)
    wall = np.stack([rng.uniform(-2.5, 2.5, points), np.full(points, 2.5), rng.uniform(0, 2.4, points)], axis=1)
    ceiling = floor + [0, 0, 2.4]
    rgb = [np.full((points, 3), color) for *_, color in things]
    rgb += [np.full((2 * points, 3), 0.7), np.full((points, 3), 0.85), np.full((2 * points, 3), 0.9)]
    sizes = np.array([points] * len(things) + [2 * points, points, 2 * points])
    structure = np.repeat(np.array([0] * len(things) + [1, 2, 3], dtype=np.int8), sizes)
    scene = Scene(
        PointCloud(np.concatenate([*clouds, floor, wall, ceiling]), np.concatenate(rgb) if colors else None),
        to_file=np.eye(4) if to_file is None else to_file,
        structure=structure,
        floor=0.0,
        findings=(Finding("unit", "ok", "metres: it is 5.0 wide"), Finding("up axis", "warning", "z is a guess.", "Pass --up.")),
        source="scans/office.ply",
    )
    names = ("table", "office chair", "monitor", "lamp")
    ids = np.array([names.index(label) for label, *_ in things], dtype=np.int64)
    probabilities = np.full((len(things), 4), 0.05, dtype=np.float32)
    probabilities[np.arange(len(things)), ids] = 0.8
    views = rng.standard_normal((len(things), 3, 8)).astype(np.float32)
    members = tuple(np.arange(points) + number * points for number in range(len(things)))
    proposals = Proposals(
        Boxes(
            np.array([thing[1] for thing in things]).reshape(-1, 3),
            np.array([thing[2] for thing in things]).reshape(-1, 3),
            np.array([thing[3] for thing in things]),
        ),
        np.linspace(0.95, 0.5, len(things)).astype(np.float32),
        "segments",
        points=members,
    )
    return Detections(
        scene,
        proposals,
        labels,
        probabilities,
        ids,
        scores=np.linspace(0.9, 0.3, len(things)).astype(np.float32),
        view_embeddings=views / np.linalg.norm(views, axis=2, keepdims=True),
        model="tiny",
        settings={"temperature": 1.0},
        seconds={"embed": 1.5},
    )
