"""What is done to files of scans: one function per kind of file; any error that is not basrelief's own is a failure."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from basrelief.scenes import Proposals, Scene

METHODS = ("segments", "clusters")
_MOST = 200


def find_boxes(path: Path) -> None:
    """Make a scene of a file or of its array, with options that follow from the name, and propose boxes."""
    from basrelief.errors import BasreliefError
    from basrelief.io import load
    from basrelief.scenes import prepare_scene, propose, recognise_scene

    dice = random.Random(path.stem)
    shape = load(path)
    recognise_scene(shape)
    plain = {"trim": dice.random() < 0.8, "align": dice.random() < 0.8}
    units, kinds = ("auto", "auto", "auto", "m", "mm", "ft"), ("auto", "auto", "auto", "room", "tabletop", "object")
    up = dice.choice([None, None, None, "y", "-x"])
    given = np.load(path)[:, :3] if dice.random() < 0.3 and path.suffix == ".npy" else shape
    scene = prepare_scene(given, up=up, unit=dice.choice(units), kind=dice.choice(kinds), **plain)  # type: ignore[arg-type]
    _require(np.isfinite(scene.cloud.points).all(), "points of the scene are not finite")
    _require(np.isfinite(scene.to_file).all(), "to_file is not finite")
    refusal: BasreliefError | None = None
    for method in METHODS:
        try:
            _check(propose(scene, method, limit=_MOST), scene)
        except BasreliefError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def _require(fact: object, failure: str) -> None:
    if not fact:
        raise AssertionError(failure)


def _check(found: Proposals, scene: Scene) -> None:
    count = len(scene.cloud.points)
    _require(len(found) <= _MOST, f"{len(found)} boxes")
    _require(np.isfinite(found.scores).all(), "scores are not finite")
    _require(((found.scores >= 0) & (found.scores <= 1)).all(), "scores outside 0 to 1")
    for inside in found.points or ():
        _require(len(inside), "a box without points")
        _require(0 <= inside.min() <= inside.max() < count, "rows that are not points")
    _require(all(np.isfinite(values).all() for values in scene.boxes_in_file(found.boxes)), "boxes are not finite in the file")


def open_saved(path: Path) -> None:
    """Load saved detections, list them and write them in every format."""
    from basrelief.scenes.export.archive import holds_detections, load_detections
    from basrelief.scenes.export.save import FORMATS

    holds_detections(path)
    found = load_detections(path)
    json.dumps(found.records(), allow_nan=False)
    for suffix in FORMATS:
        found.save(path.with_name(f"written.{suffix}"), **({"evidence_bytes": 0} if suffix == "html" else {}))


def use_boxes(path: Path) -> None:
    """Use a file of boxes in a small room."""
    from clouds import room

    from basrelief.scenes import prepare_scene, propose

    scene = prepare_scene(room(np.random.default_rng(0), 3000))
    found = propose(scene, "boxes", boxes=path, limit=_MOST)
    _require(np.isfinite(found.boxes.corners()).all(), "corners are not finite")
    found.select(np.arange(min(20, len(found))))


def open_set(path: Path) -> None:
    """Open a folder of annotated scans and read each."""
    from basrelief.datasets import open_scans

    found = open_scans(path)
    for item in found.scans:
        scan = item.load()
        _require(np.isfinite(scan.boxes.corners()).all(), "corners are not finite")


def load_weights(path: Path) -> None:
    """Load weights of 3DETR."""
    from basrelief.scenes.threedetr.weights import load_threedetr

    load_threedetr(path)


READERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {"scan": find_boxes, "saved": open_saved, "boxes": use_boxes, "set": open_set, "weights": load_weights}
)
"""By name, as a `Job` names them."""
