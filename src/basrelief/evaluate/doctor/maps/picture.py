"""A picture of the worst shape: stored maps, drawn maps and their difference, all views."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from PIL import Image

from basrelief.evaluate.doctor.maps.compare import WorstShape
from basrelief.render.canvas import MUTED, TEXT, Canvas

_COLUMNS, _SIDE, _GAP, _MARGIN, _HEAD, _LINE = 5, 208, 12, 36, 84, 22
_FULL = 0.1
"""Difference that gets the full colour."""


def comparison_sheet(worst: WorstShape) -> Image.Image:
    """Draw stored maps, drawn maps and differences in rows of five views.

    In the difference, red pixels are nearer in the stored maps, blue ones in the drawn maps; the colour is full from 0.1.

    Args:
        worst: The maps of a shape.

    Returns:
        RGB, 1168 pixels wide.
    """
    stored, views = worst.stored, len(worst.drawn)
    shown = stored.image if stored.colors is None else stored.colors
    rows = (("stored", shown), ("drawn", worst.drawn), ("difference", _difference(stored.image, worst.drawn)))
    blocks = -(-views // _COLUMNS)
    block = len(rows) * (_SIDE + _LINE) + _GAP
    width = _COLUMNS * (_SIDE + _GAP) - _GAP + 2 * _MARGIN
    canvas = Canvas(width, _HEAD + blocks * block + _MARGIN)
    _head(canvas, worst, width - 2 * _MARGIN)
    for view in range(views):
        across, down = view % _COLUMNS, view // _COLUMNS
        for row, (name, images) in enumerate(rows):
            x, y = _MARGIN + across * (_SIDE + _GAP), _HEAD + down * block + row * (_SIDE + _LINE)
            canvas.picture((x, y), images[view], side=_SIDE)
            canvas.text((x, y + _SIDE + 15), _caption(name, view, worst), width=_SIDE, size=12, color=MUTED)
    return canvas.image


def _head(canvas: Canvas, worst: WorstShape, width: int) -> None:
    canvas.text(
        (_MARGIN, _MARGIN + 12), f"{worst.name}: stored maps and {worst.score.variant.projection}", width=width, size=20, color=TEXT
    )
    words = (
        f"{worst.score.variant}. Difference: red where the stored map is nearer, blue where the drawn one is, full colour from {_FULL:g}."
    )
    canvas.text((_MARGIN, _MARGIN + 34), words, width=width, size=12, color=MUTED)


def _caption(name: str, view: int, worst: WorstShape) -> str:
    if name == "difference":
        return f"difference, mean {np.abs(worst.stored.image[view] - worst.drawn[view]).mean():.2g}"
    return f"{name} {view if name == 'stored' else worst.score.order[view]}"


def _difference(
    stored: Float32[np.ndarray, "views size size"], drawn: Float32[np.ndarray, "views size size"]
) -> Float32[np.ndarray, "views size size 3"]:
    """Return white where both agree, red where the stored map is nearer, blue where the drawn one is."""
    signed = ((stored - drawn) / _FULL).clip(-1, 1)
    red, blue = np.maximum(-signed, 0), np.maximum(signed, 0)
    return np.stack([1 - blue, 1 - np.maximum(red, blue), 1 - red], axis=-1).astype(np.float32)
