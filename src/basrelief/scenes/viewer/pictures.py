"""Small pictures for the page: the points of each box and what the model saw of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from basrelief.markup import visible
from basrelief.scenes.crops import upright_crop
from basrelief.scenes.evidence import SeenView, as_image, seen_views

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

SIDE = 112
"""Side of a picture, pixels."""

_MOST_BOXES = 200
_QUALITY = 82


def gather_pictures(detections: Detections, *, views: int, total_bytes: int) -> dict[int, list[dict[str, Any]]]:
    """Return pictures by the number of the box, best boxes first, until `total_bytes` are used.

    The first picture shows the points of the box; the others are the views that fit a label best, each with its own best label.

    Args:
        detections: From `detect`.
        views: Views of each box; 0 for no pictures.
        total_bytes: Bound on the pictures as they are stored.

    Returns:
        `source` (a data URL), `caption` and `note` of each picture; empty where the model is not at hand.
    """
    from basrelief.render import render_thumbnail

    if not views or detections.embedded is None:
        return {}
    found: dict[int, list[dict[str, Any]]] = {}
    numbers = range(min(len(detections), _MOST_BOXES))
    for number, seen in zip(numbers, seen_views(detections, detections.embedded, numbers), strict=True):
        crop = upright_crop(detections.scene, detections.proposals, number)
        points = as_image(render_thumbnail(crop, size=SIDE, supersample=1))
        pictures = [_picture(points, "points", ""), *(_picture(one.picture, one.label, one.caption) for one in _best(seen, views))]
        total_bytes -= sum(len(picture["source"]) for picture in pictures)
        if total_bytes < 0:
            break
        found[number] = pictures
    return found


def _best(seen: Sequence[SeenView], count: int) -> list[SeenView]:
    """Return the views that fit a label best, in their order."""
    rows = sorted(range(len(seen)), key=lambda row: -seen[row].similarity)[:count]
    return [seen[row] for row in sorted(rows)]


def _picture(picture: Image.Image, caption: str, note: str) -> dict[str, Any]:
    stored = io.BytesIO()
    picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(stored, "WEBP", quality=_QUALITY, method=4)
    source = f"data:image/webp;base64,{base64.b64encode(stored.getvalue()).decode('ascii')}"
    return {"source": source, "caption": visible(caption), "note": visible(note)}
