"""Write detections as one HTML page with a 3D view that needs no other file and no network."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int

from basrelief.checks import check_at_least, check_positive
from basrelief.markup import data_block, standalone_page, visible
from basrelief.output import to_json, write_text
from basrelief.scenes.export.colors import label_colors, point_boxes, point_colors
from basrelief.scenes.scene import CEILING, OBJECT, WALL
from basrelief.scenes.viewer.pictures import gather_pictures
from basrelief.version import __version__

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections
    from basrelief.scenes.scene import Scene

_SCRIPTS = ("camera.js", "drawing.js", "labels.js", "viewer.js")
_QUANTA = 65535  # 16 bits for each coordinate
_NO_BOX = 65535
_OUTSIDE = 0.02  # of the points at either end of an axis
_SHARE_OF_OBJECTS = 0.75  # of the points kept, where floor and walls would crowd things out


def save_viewer(
    detections: Detections,
    path: Path,
    *,
    max_points: int = 150_000,
    views: int = 3,
    evidence_bytes: int = 3_000_000,
) -> None:
    """Write the page; with the defaults it has at most about 6 MB.

    Args:
        detections: From `detect`; the views of a box can only be drawn while its model is at hand, so not after `load_detections`.
        path: The file to write.
        max_points: Points of the scan on the page; larger scans are thinned, floor and walls more than things.
        views: Pictures of what the model saw of each box, those that fit a label best; 0 for none.
        evidence_bytes: Bound on all these pictures together; the best boxes come first.

    Raises:
        ConfigError: If an option is out of range.
        OutputError: If the file cannot be written.
    """
    check_at_least("max_points", max_points, 1, "The page shows the points of the scan.")
    check_at_least("views", views, 0, "0 leaves the pictures out.")
    check_positive("evidence_bytes", evidence_bytes, "views=0 leaves the pictures out.", zero=True)
    write_text(path, viewer_page(detections, max_points=max_points, views=views, evidence_bytes=evidence_bytes))


def viewer_page(detections: Detections, *, max_points: int, views: int, evidence_bytes: int) -> str:
    """Return the page of `save_viewer`; every text of a file or a label is escaped."""
    folder = files(__package__)
    read = {name: (folder / name).read_text(encoding="utf-8") for name in ("viewer.html", "viewer.css", *_SCRIPTS)}
    script = '"use strict";\n' + "\n".join(read[name] for name in _SCRIPTS)
    data = data_block("data", to_json(_data(detections, max_points=max_points, views=views, evidence_bytes=evidence_bytes)))
    return standalone_page(_title(detections.scene), read["viewer.css"], f"{read['viewer.html']}{data}", script=script)


def _data(detections: Detections, *, max_points: int, views: int, evidence_bytes: int) -> dict[str, Any]:
    scene = detections.scene
    evidence = gather_pictures(detections, views=views, total_bytes=evidence_bytes)
    colors = label_colors(detections)
    boxes = [
        {
            "id": record["id"],
            "label": visible(record["label"]),
            "score": record["score"],
            "objectness": record["objectness"],
            "probabilities": [[visible(label), share] for label, share in record["probabilities"].items()],
            "center": _numbers(detections.boxes.centers[number]),
            "size": _numbers(detections.boxes.sizes[number]),
            "yaw": float(detections.boxes.yaws[number]),
            "turned": record["yaw"],
            "height": record["height"],
            "points": record["points"],
            "file": record["center"],
            "rgb": colors[number].tolist(),
            "evidence": evidence.get(number, []),
        }
        for number, record in enumerate(detections.records())
    ]
    return {
        "title": _title(scene),
        "points": len(scene.cloud.points),
        "floor": scene.floor,
        "facts": [[name, visible(value)] for name, value in _facts(detections)],
        "findings": [{"level": one.level, "text": visible(f"{one.check}: {one.fact} {one.remedy}".strip())} for one in scene.findings],
        "without_evidence": "No pictures of this box were kept." if evidence else "Pictures of what the model saw were not kept.",
        "cloud": _cloud(detections, max_points),
        "boxes": boxes,
    }


def _title(scene: Scene) -> str:
    return visible(PurePath(scene.source).name) or "Scan"


def _facts(detections: Detections) -> list[tuple[str, str]]:
    scene = detections.scene
    return [
        ("File", scene.source or "none"),
        ("Kind", scene.kind),
        ("Model", detections.model or "not known"),
        ("Proposals", detections.proposals.method),
        ("Labels", ", ".join(detections.labels)),
        ("Unit of the file", f"{1 / scene.scale:.4g} m"),
        ("Made by", f"basrelief {__version__}"),
    ]


def _cloud(detections: Detections, max_points: int) -> dict[str, Any]:
    """Return the points as base64: x, y, z and box with 16 bits, then red, green, blue and structure with 8 bits."""
    scene = detections.scene
    rows = _thinned(scene, max_points)
    points = scene.cloud.points[rows].astype(np.float64)
    low = points.min(axis=0)
    size = np.maximum(points.max(axis=0) - low, 1e-3)
    extent = float(size.max())
    owners = point_boxes(detections)[rows]
    places = np.empty((len(rows), 4), dtype="<u2")
    places[:, :3] = np.round((points - low) / extent * _QUANTA)
    places[:, 3] = np.where((owners >= 0) & (owners < _NO_BOX), owners, _NO_BOX)
    kinds = scene.structure[rows].astype(np.uint8)
    colors = np.concatenate([point_colors(scene)[rows], kinds[:, None]], axis=1)
    present = sorted({int(kind) for kind in kinds})
    return {
        "count": len(rows),
        "low": _numbers(low),
        "size": _numbers(size),
        "extent": extent,
        "focus": [_numbers(corner) for corner in _focus(points, detections)],
        "spacing": _spacing(points),
        "colored": scene.cloud.colors is not None,
        "kinds": present,
        "hasWalls": scene.kind == "room" and WALL in present,
        "ceiling_hidden": CEILING in present,
        "places": base64.b64encode(places.tobytes()).decode("ascii"),
        "colors": base64.b64encode(np.ascontiguousarray(colors).tobytes()).decode("ascii"),
    }


def _thinned(scene: Scene, count: int) -> Int[np.ndarray, " kept"]:
    """Return rows of points in random order: all, or `count` of them with more of the things than of floor and walls."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(scene.cloud.points))
    if len(order) <= count:
        return order
    things = scene.structure[order] == OBJECT
    most = max(round(count * _SHARE_OF_OBJECTS), count - int(np.count_nonzero(~things)))
    first = order[things][:most]
    kept: np.ndarray = rng.permutation(np.concatenate([first, order[~things][: count - len(first)]]))
    return kept


def _focus(points: Float64[np.ndarray, "points 3"], detections: Detections) -> Float64[np.ndarray, "2 3"]:
    """Return the lowest and highest corner of what the first view shows: the boxes with their surroundings."""
    boxes = detections.boxes.bounds()
    if detections.scene.kind == "room" or not len(boxes):  # all boxes, and most points: scanners see far through windows
        around = np.quantile(points, (_OUTSIDE, 1 - _OUTSIDE), axis=0)
    else:
        low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
        around = np.stack([low, high]) + np.array([[-0.4], [0.4]]) * (high - low).max()
    shown = np.concatenate([around, *boxes])
    return np.stack([np.maximum(shown.min(axis=0), points.min(axis=0)), np.minimum(shown.max(axis=0), points.max(axis=0))])


def _spacing(points: np.ndarray) -> float:
    """Return the usual distance between neighbours on a surface, metres: on a square grid the four nearest are that far."""
    from scipy.spatial import KDTree

    if len(points) < 5:
        return 0.02
    distances = KDTree(points).query(points[: 1 << 11], k=5)[0][:, 4]
    return max(float(np.median(distances)), 1e-4)


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
