"""Detections as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

COLUMNS = ("label", "score", "size (m)", "position", "height (m)", "points")
"""Columns of `table_rows`; the position is that of the centre in the coordinates of the file."""


def table_rows(detections: Detections, *, top: int | None = None) -> list[list[str]]:
    """Return one row for each box, best first, with the cells of `COLUMNS`.

    Args:
        detections: From `detect`.
        top: How many boxes; all when None.
    """
    digits = 2 if detections.scene.scale < 10 else 0  # of a unit between a metre and a decimetre, or of millimetres
    sizes = detections.boxes.sizes
    return [
        [
            record["label"],
            f"{record['score']:.2f}",
            " x ".join(f"{length:.2f}" for length in sizes[number]),
            ", ".join(f"{value:.{digits}f}" for value in record["center"]),
            "" if record["height"] is None else f"{abs(record['height']) if abs(record['height']) < 0.005 else record['height']:.2f}",
            f"{record['points']:,}",
        ]
        for number, record in enumerate(detections.records()[:top])
    ]
