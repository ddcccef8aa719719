"""Fit the logistic model that ranks segments to generated rooms; write `src/basrelief/scenes/segmentation/objectness.json`.

    python tools/fit_objectness.py --rooms 18 --tabletops 6

Seeds start at 0; those from 500,000 on are for validation and from 1,000,000 on for reports. Each room is measured twice: with and without
colours, and once with exact floor and walls, once with those that `prepare_scene` finds. The target is the largest IoU with the
box of a thing, from 0 at 0.25 to 1 at 0.75.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.guard import prepare_scene
from basrelief.scenes.scene import Scene, SceneKind
from basrelief.scenes.segments import measure_candidates, voxel_size
from basrelief.shapes.rooms import Room, make_room
from basrelief.shapes.virtual_scan import RoomScan, scan_room

OUTPUT = Path(__file__).parents[1] / "src/basrelief/scenes/segmentation/objectness.json"
LEFT_OUT = ("cells",)  # depends on size
RIDGE, CHANCE = 3.0, 0.4


def scenes(room: Room, scan: RoomScan, *, odd: bool) -> list[Scene]:
    """The two variants of a scan."""
    bare = dataclasses.replace(scan.cloud, colors=None)
    kind: SceneKind = "tabletop" if room.kind == "tabletop" else "room"
    exact = Scene(bare if odd else scan.cloud, np.eye(4), scan.surfaces.astype(np.int8), kind=kind, floor=0.0)
    return [prepare_scene(scan.cloud if odd else bare, up="z", unit="m"), exact]


def measure(scene: Scene, room: Room, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Measurements of the candidates near things and of some others, their targets and weights."""
    rows = np.flatnonzero(scene.objects)
    _, found = measure_candidates(scene, rows, voxel_size(scene, rows))
    to_scene = np.linalg.inv(scene.to_file)
    corners = room.boxes.corners() @ to_scene[:3, :3].T + to_scene[:3, 3]
    truth = Boxes.from_bounds(corners.min(axis=1), corners.max(axis=1))
    best = box_iou(Boxes.from_bounds(found.low, found.high), truth).max(axis=1, initial=0)
    near = best > 0.2
    kept = near | (rng.random(len(best)) < CHANCE)
    weight = np.where(near, 1, 1 / CHANCE) * 1500 / len(best)
    return {name: values[kept] for name, values in found.features.items()}, ((best[kept] - 0.25) / 0.5).clip(0, 1), weight[kept]


def fit(values: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients and constant by Newton's method, with a ridge on all but the constant."""
    values = np.column_stack([values, np.ones(len(values))])
    ridge = np.append(np.full(values.shape[1] - 1, RIDGE), 1e-6)
    found = np.zeros(values.shape[1])
    for _ in range(20):
        chance = 1 / (1 + np.exp(-(values @ found).clip(-30, 30)))
        gradient = values.T @ (weights * (chance - targets)) + ridge * found
        curvature = (values * (weights * chance * (1 - chance) + 1e-6)[:, None]).T @ values + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        found -= step * min(1, 5 / np.abs(step).max())
        if np.abs(step).max() < 1e-4:
            break
    return found


def main() -> None:
    """Measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=18)
    parser.add_argument("--tabletops", type=int, default=6)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    parts = []
    for kind, count in ((None, options.rooms), ("tabletop", options.tabletops)):
        for seed in range(count):
            room = make_room(seed=seed, kind=kind)
            parts += [measure(scene, room, rng) for scene in scenes(room, scan_room(room, seed=seed), odd=bool(seed % 2))]
            print(room, len(parts[-1][1]), flush=True)
    names = [name for name in parts[0][0] if name not in LEFT_OUT]
    values = np.concatenate([np.stack([part[0][name] for name in names], axis=1) for part in parts])
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    standard = ((values - mean) / scale).clip(-3, 3)
    found = fit(np.hstack([standard, standard**2]), *(np.concatenate([part[number] for part in parts]) for number in (1, 2)))
    columns = zip(mean, scale, found[: len(names)], found[len(names) : -1], strict=True)
    data = {
        "origin": f"python tools/fit_objectness.py --rooms {options.rooms} --tabletops {options.tabletops}: generated rooms and tabletops "
        f"of seeds 0 to {options.rooms - 1} and 0 to {options.tabletops - 1}, {len(values)} candidates",
        "bias": round(float(found[-1]), 5),
        "measurements": {
            name: dict(zip(("mean", "scale", "weight", "square"), (round(float(value), 5) for value in row), strict=True))
            for name, row in zip(names, columns, strict=True)
        },
    }
    OUTPUT.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
