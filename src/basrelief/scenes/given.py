"""Boxes that the user already has, from Python, JSON or CSV."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from basrelief.errors import ConfigError, FileFormatError
from basrelief.geometry.boxes import Boxes
from basrelief.io.checks import check_count
from basrelief.limits import limits
from basrelief.markup import visible
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene

_COLUMNS = ("x", "y", "z", "width", "depth", "height")
_SHOWN = 100  # characters of a value in an error
_PARALLEL = 1e-7  # how far the cosine of parallel axes may be from 1; rounded rotations have six digits


def propose_boxes(scene: Scene, *, boxes: Boxes | str | os.PathLike[str], seed: int = 0) -> Proposals:
    """Use given boxes as proposals.

    Args:
        scene: From `prepare_scene`.
        boxes: In the coordinates and the unit of the file. Either `Boxes`, or a file: JSON with a list of records that have `center` and
            `size` (three numbers each), and if wanted `yaw` (radians about z) or `rotation` (3 x 3), and `score`, as
            `Detections.records` gives them; or CSV with columns x, y, z (of the centre), width, depth, height (along x, y, z) and, if
            wanted, yaw and score.
        seed: Unused.

    Raises:
        ConfigError: If no boxes are given.
        FileFormatError: If the file cannot be read.
        GeometryError: If a value is not finite or a size negative.
    """
    if isinstance(boxes, Boxes):
        centers, sizes, rotations, scores = boxes.centers, boxes.sizes, boxes.rotations(), np.ones(len(boxes), dtype=np.float32)
    else:
        centers, sizes, rotations, scores = read_boxes(boxes)
    if not len(centers):
        raise ConfigError("There are no boxes to use. Pass at least one, or leave out boxes to find some.")
    order = np.argsort(-scores, kind="stable")
    return Proposals(to_scene(scene, centers, sizes, rotations)[order], scores[order], "boxes")


def to_scene(
    scene: Scene, centers: Float[np.ndarray, "boxes 3"], sizes: Float[np.ndarray, "boxes 3"], rotations: Float[np.ndarray, "boxes 3 3"]
) -> Boxes:
    """Convert boxes from the coordinates of the file to those of the scene.

    Args:
        scene: The scene.
        centers: (N, 3).
        sizes: (N, 3) along each box's own axes.
        rotations: (N, 3, 3), columns are those axes.

    Returns:
        The same boxes; one that does not stand upright in the scene becomes the aligned box around it.
    """
    inverse = np.linalg.inv(scene.to_file)
    axes = inverse[:3, :3] * scene.scale @ rotations
    moved, lengths = centers @ inverse[:3, :3].T + inverse[:3, 3], sizes / scene.scale
    around = np.einsum("nij,nj->ni", np.abs(axes), lengths)
    parallel = (np.abs(axes).max(axis=2) > 1 - _PARALLEL).all(axis=1)
    upright = ~parallel & (np.abs(axes[:, 2, 2]) > 1 - _PARALLEL)
    yaws = np.where(upright, np.arctan2(axes[:, 1, 0], axes[:, 0, 0]), 0.0)
    return Boxes(moved, np.where(upright[:, None], lengths, around), yaws)


def read_boxes(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read boxes and their scores from a JSON or CSV file.

    Returns:
        Centres (N, 3), sizes (N, 3) and rotations (N, 3, 3) in the coordinates of the file, and (N,) float32 scores in [0, 1]; 1 where none
        are given.

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
        rows = _rows(file, text)
        check_count(file, len(rows), limits().boxes, of="boxes")
        table = np.array([_numbers(row) for row in rows], dtype=np.float64).reshape(-1, 16)
    except FileFormatError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise FileFormatError(
            f"{path} cannot be read as boxes: {_reason(error)}. Expected JSON records with center and size, or CSV columns "
            f"{', '.join(_COLUMNS)}."
        ) from error
    if not np.isfinite(table).all() or (table[:, 3:6] < 0).any():
        raise FileFormatError(f"{path} has boxes with negative sizes or values that are not finite. Correct or remove them.")
    scores, rotations = table[:, 6].astype(np.float32), table[:, 7:].reshape(-1, 3, 3)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise FileFormatError(f"{path} has scores outside [0, 1]. Leave them out or scale them.")
    if not np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-3):
        raise FileFormatError(f"{path} has a rotation whose columns are not perpendicular unit vectors. Correct it, or give a yaw.")
    return table[:, :3], table[:, 3:6], rotations, scores


def _rows(file: Path, text: str) -> list[dict[str, Any]]:
    """Parse a file, or as much of a table as shows that it has too many rows."""
    if file.suffix.lower() == ".csv":
        return list(itertools.islice(csv.DictReader(io.StringIO(text)), limits().boxes + 1))
    check_count(file, text.count(",") + text.count("[") + text.count("{"), limits().json_values, of="values of JSON")
    return _records(json.loads(text))


def _records(data: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parsed JSON
    """The list of records, also where it is one field of an object."""
    if isinstance(data, dict):
        data = next((data[name] for name in ("detections", "boxes", "objects") if name in data), data)
    if not isinstance(data, list):
        raise ValueError("no list of boxes")
    return data


def _numbers(row: dict[str, Any]) -> list[float]:
    """Centre, size, score and rotation of a record or a row."""
    if "center" in row:
        place = [float(value) for name in ("center", "size") for value in row[name]]
        if len(place) != 6:
            raise ValueError("center and size need three numbers")
    else:
        place = [float(row[name]) for name in _COLUMNS]
    score = row.get("score")
    turn = np.array(row["rotation"], dtype=np.float64) if "rotation" in row else _turned(float(row.get("yaw") or 0.0))
    if turn.shape != (3, 3):
        raise ValueError("rotation needs three rows of three numbers")
    return [*place, 1.0 if score in (None, "") else float(score), *turn.ravel()]


def _turned(yaw: float) -> np.ndarray:
    turned: np.ndarray = Boxes(np.zeros((1, 3)), np.zeros((1, 3)), np.array([yaw])).rotations()[0]
    return turned


def _reason(error: Exception) -> str:
    return f"a box has no {error}" if isinstance(error, KeyError) else visible(str(error)[:_SHOWN])
