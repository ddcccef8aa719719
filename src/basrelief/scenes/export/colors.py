"""Colours of labels and points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections
    from basrelief.scenes.scene import Scene

PALETTE = (
    *((61, 142, 240), (240, 133, 48), (46, 178, 107), (232, 80, 96), (156, 106, 240), (20, 176, 184)),
    *((224, 172, 20), (232, 98, 176), (128, 176, 44), (184, 120, 72), (104, 118, 236), (40, 160, 216)),
)
"""Colours of labels (sRGB), legible on white and on black; a label beyond the last starts again."""

NO_LABEL = (140, 146, 156)
"""Colour of boxes that fit none of the labels."""

PLAIN = 178  # grey of points without colours


def label_colors(detections: Detections) -> UInt8[np.ndarray, "boxes 3"]:
    """Return the colour of each box: one for each label, in the order in which labels first occur."""
    order = {label: number for number, label in enumerate(dict.fromkeys(int(i) for i in detections.label_ids if i >= 0))}
    rows = [PALETTE[order[int(i)] % len(PALETTE)] if i >= 0 else NO_LABEL for i in detections.label_ids]
    return np.array(rows, dtype=np.uint8).reshape(-1, 3)


def point_colors(scene: Scene) -> UInt8[np.ndarray, "points 3"]:
    """Return the colours of a scan's points with 8 bits; grey where it has none."""
    colors = scene.cloud.colors
    if colors is None:
        return np.full((len(scene.cloud.points), 3), PLAIN, dtype=np.uint8)
    return np.round(colors * 255).astype(np.uint8)


def point_boxes(detections: Detections) -> Int[np.ndarray, " points"]:
    """Return the box of each point, int32, or -1; the best where boxes share a point."""
    owners = np.full(len(detections.scene.cloud.points), -1, dtype=np.int32)
    for number in reversed(range(len(detections))):
        owners[detections.points[number]] = number
    return owners
