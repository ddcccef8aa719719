"""JSON: the scan, the settings and one record for each box."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from basrelief.output import to_json, write_text
from basrelief.scenes.export.coordinates import up_axis
from basrelief.version import __version__

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

FORMAT = "basrelief-detections"
VERSION = 1
"""Version of the schema in docs/use/scenes.md; raised when a reader of the old one would go wrong."""


def save_json(detections: Detections, path: Path) -> None:
    """Write the document of `json_document`; each record of a box is on a line of its own.

    Raises:
        OutputError: If the file cannot be written.
    """
    document = json_document(detections)
    records = ",\n".join(f"    {to_json(record)}" for record in document.pop("detections"))
    head = "".join(f"  {to_json(name)}: {to_json(value)},\n" for name, value in document.items())
    write_text(path, f'{{\n{head}  "detections": [\n{records}\n  ]\n}}\n')


def json_document(detections: Detections) -> dict[str, Any]:
    """Return everything about detections except embeddings and points, JSON-ready; docs/use/scenes.md describes the fields."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "basrelief": __version__,
        "scene": scene_record(detections),
        "model": detections.model,
        "labels": list(detections.labels),
        "settings": dict(detections.settings),
        "seconds": {name: round(float(value), 3) for name, value in detections.seconds.items()},
        "detections": detections.records(),
    }


def scene_record(detections: Detections) -> dict[str, Any]:
    """Return what is known of the scan: source, kind, frame, and what the guard found."""
    scene = detections.scene
    return {
        "source": scene.source,
        "kind": scene.kind,
        "points": len(scene.cloud.points),
        "up": up_axis(scene),
        "metres_per_unit": 1 / scene.scale,
        "scene_to_file": scene.to_file.tolist(),
        "floor": scene.floor,
        "findings": [{"check": one.check, "level": one.level, "fact": one.fact, "remedy": one.remedy} for one in scene.findings],
    }
