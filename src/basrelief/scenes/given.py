"""Boxes that the user already has, from Python, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import ConfigError, FileFormatError, GeometryError
from basrelief.geometry.boxes import Boxes
from basrelief.limits import limits
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene

_COLUMNS = ("x", "y", "z", "width", "depth", "height")


def propose_boxes(scene: Scene, *, boxes: Boxes | str | os.PathLike[str], seed: int = 0) -> Proposals:
    """Use given boxes as proposals.

    Args:
        scene: From `prepare_scene`.
        boxes: In the coordinates and the unit of the file. Either `Boxes`, or a file: JSON with a list of records that have `center` and
            `size` (three numbers each), and `yaw` (radians) and `score` if wanted, or the records of `Detections.records`, whose `rotation`
            has the axes of each box; or CSV with columns x, y, z (of the centre), width, depth, height (along x, y, z) and, if wanted, yaw
            and score.
        seed: Unused.

    Raises:
        ConfigError: If no boxes are given.
        FileFormatError: If the file cannot be read.
        GeometryError: If a value is not finite, a size negative, or a box is turned while the scan's up axis is not z.
    """
    if isinstance(boxes, Boxes):
        given, scores, axes = boxes, np.ones(len(boxes), dtype=np.float32), None
    else:
        given, scores, axes = read_boxes(boxes)
    if not len(given):
        raise ConfigError("There are no boxes to use. Pass at least one, or leave out boxes to find some.")
    order = np.argsort(-scores, kind="stable")
    placed = to_scene(scene, given) if axes is None else _along_axes(scene, given, axes)
    return Proposals(placed[order], scores[order], "boxes")


def to_scene(scene: Scene, boxes: Boxes) -> Boxes:
    """Convert boxes from the coordinates of the file to those of the scene.

    The boxes keep their shape if the scene is a turn about z away from the file. Otherwise each becomes the aligned box around its corners.

    Raises:
        GeometryError: If a box has a yaw and the scene's z axis is not the file's.
    """
    inverse = np.linalg.inv(scene.to_file)
    rotation = inverse[:3, :3] * scene.scale
    centers = boxes.centers @ inverse[:3, :3].T + inverse[:3, 3]
    if np.allclose(rotation[2], (0, 0, 1), atol=1e-6):
        turn = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        quarters = round(turn / (np.pi / 2))
        if abs(turn - quarters * np.pi / 2) < 1e-9 and boxes.aligned:
            return Boxes(centers, (boxes.sizes / scene.scale)[:, [1, 0, 2] if quarters % 2 else [0, 1, 2]])
        return Boxes(centers, boxes.sizes / scene.scale, boxes.yaws + turn)
    if not boxes.aligned:
        raise GeometryError("The boxes have yaws, but up is not the z axis of this file. Pass aligned boxes, or turn the scan to z up.")
    corners = boxes.corners() @ inverse[:3, :3].T + inverse[:3, 3]
    return Boxes.from_bounds(corners.min(axis=1), corners.max(axis=1))


def _along_axes(scene: Scene, boxes: Boxes, axes: np.ndarray) -> Boxes:
    """Convert boxes with lengths along their own axes; those that are not upright become aligned boxes around them."""
    inverse = np.linalg.inv(scene.to_file)
    centers = boxes.centers @ inverse[:3, :3].T + inverse[:3, 3]
    turned, sizes = inverse[:3, :3] * scene.scale @ axes, boxes.sizes / scene.scale
    if np.allclose(turned[:, 2, 2], 1, atol=1e-5):
        return Boxes(centers, sizes, np.arctan2(turned[:, 1, 0], turned[:, 0, 0]).round(6))
    return Boxes(centers, np.einsum("nij,nj->ni", np.abs(turned), sizes))


def read_boxes(path: str | os.PathLike[str]) -> tuple[Boxes, np.ndarray, np.ndarray | None]:
    """Read boxes and their scores from a JSON or CSV file.

    Returns:
        Boxes in the coordinates of the file; (N,) float32 scores in [0, 1], 1 where none are given; and (N, 3, 3) axes of the boxes as
        columns where every record has a `rotation`, else None.

    Raises:
        FileFormatError: If the file is missing, too large, or not of the format.
    """
    file = Path(path)
    if not file.is_file():
        raise FileFormatError(f"File {str(path)!r} with boxes not found. Check its name.")
    if file.stat().st_size > limits().list_bytes:
        raise FileFormatError(f"{path} has {file.stat().st_size} bytes; boxes may have {limits().list_bytes}. Raise the limit list_bytes.")
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text))) if file.suffix.lower() == ".csv" else _records(json.loads(text))
        values = [_numbers(row) for row in rows]
        axes = np.array([_rotation(row) for row in rows]) if rows and all("rotation" in row for row in rows) else None
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise FileFormatError(
            f"{path} cannot be read as boxes: {_reason(error)}. Expected JSON records with center and size, or CSV columns "
            f"{', '.join(_COLUMNS)}."
        ) from error
    table = np.array(values, dtype=np.float64).reshape(-1, 8)
    scores = table[:, 7].astype(np.float32)
    if not (np.isfinite(scores) & (scores >= 0) & (scores <= 1)).all():
        raise FileFormatError(f"{path} has scores outside [0, 1]. Leave them out or scale them.")
    return Boxes(table[:, :3], table[:, 3:6], table[:, 6]), scores, axes


def _records(data: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parsed JSON
    """The list of records, also where it is one field of an object."""
    if isinstance(data, dict):
        data = next((data[name] for name in ("detections", "boxes", "objects") if name in data), data)
    if not isinstance(data, list):
        raise ValueError("no list of boxes")
    return data


def _numbers(row: dict[str, Any]) -> list[float]:
    if "center" in row:
        center, size = (list(map(float, row[name])) for name in ("center", "size"))
        if len(center) != 3 or len(size) != 3:
            raise ValueError("center and size need three numbers")
        return [*center, *size, float(row.get("yaw", 0.0)), float(row.get("score", 1.0))]
    return [*(float(row[name]) for name in _COLUMNS), float(row.get("yaw") or 0.0), float(row.get("score") or 1.0)]


def _rotation(row: dict[str, Any]) -> np.ndarray:
    rotation = np.array(row["rotation"], dtype=np.float64)
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
        raise ValueError("a rotation is not a 3 x 3 rotation matrix")
    return rotation


def _reason(error: Exception) -> str:
    return f"a box has no {error}" if isinstance(error, KeyError) else str(error)
