"""A confusion matrix as a picture: rows are labels, columns predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from PIL import Image

from basrelief.render.canvas import ACCENT, BACKGROUND, LINE, MUTED, SECONDARY, TEXT, Canvas

MAX_CLASSES = 40
"""Most classes to draw; beyond that, those of the most confused pairs are chosen."""

_CELL, _NAMES, _MARGIN, _HEAD = 18, 190, 24, 78


def confusion_picture(confusion: Int64[np.ndarray, "labels labels"], labels: Sequence[str], *, title: str) -> Image.Image:
    """Draw a confusion matrix; the darker a cell, the larger its share of the row.

    Args:
        confusion: Number of shapes of class r predicted as class c, in row r and column c.
        labels: The C names.
        title: Line above the matrix.

    Returns:
        An RGB picture. Of more than `MAX_CLASSES` classes it shows those of the most confused pairs; the last column counts the others.
    """
    chosen = _chosen(confusion)
    rows = confusion[chosen]
    inside = rows[:, chosen]
    other = rows.sum(axis=1) - inside.sum(axis=1)
    table = np.concatenate([inside, other[:, None]], axis=1)
    share = table / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    page = Canvas(2 * _MARGIN + _NAMES + (len(chosen) + 1) * _CELL + 60, _HEAD + len(chosen) * _CELL + 2 * _MARGIN)
    left = _MARGIN + _NAMES
    page.text((_MARGIN, 30), title, width=page.image.width - 2 * _MARGIN, size=17)
    shown = (
        f"{len(chosen)} of {int((confusion.sum(axis=1) > 0).sum())} classes; columns numbered like rows; the last column is any other class"
    )
    page.text((_MARGIN, 48), shown, width=page.image.width - 2 * _MARGIN, size=11, color=MUTED)
    page.image.paste(
        Image.fromarray(_colors(share)).resize((table.shape[1] * _CELL, len(chosen) * _CELL), Image.Resampling.NEAREST), (left, _HEAD)
    )
    for i, number in enumerate(chosen):
        base = _HEAD + i * _CELL + 13
        page.text((_MARGIN, base), f"{i + 1}  {labels[number]}", width=_NAMES - 8, size=12, color=TEXT, align="right")
        right = f"{100 * share[i, i]:.0f} %"
        page.text((left + table.shape[1] * _CELL + 6, base), right, width=50, size=11, color=MUTED)
        page.text((left + i * _CELL, _HEAD - 5), str(i + 1), width=_CELL, size=9, color=SECONDARY, align="right")
    page.text((left + len(chosen) * _CELL, _HEAD - 5), "…", width=_CELL, size=9, color=SECONDARY, align="right")
    return page.image


def _chosen(confusion: np.ndarray) -> np.ndarray:
    """Classes to draw in class order; of too many, those of the most confused pairs, so that both of a pair are shown."""
    present = np.flatnonzero(confusion.sum(axis=1))
    if len(present) <= MAX_CLASSES:
        return present
    pairs = (confusion + confusion.T) * (1 - np.eye(len(confusion), dtype=np.int64))
    wrong = confusion.sum(axis=1) - np.diag(confusion)
    order = np.lexsort((-wrong[present], -pairs[np.ix_(present, present)].max(axis=1)))
    return np.sort(present[order[:MAX_CLASSES]])


def _colors(share: np.ndarray) -> np.ndarray:
    """White to black for errors, white to blue on the diagonal; empty diagonal cells stay visible."""
    colors = np.empty((*share.shape, 3))
    depth = np.sqrt(share)[..., None]
    colors[:] = np.array(BACKGROUND) + (np.array(TEXT) - np.array(BACKGROUND)) * depth
    diagonal = np.arange(len(share))
    colors[diagonal, diagonal] = (np.array(LINE) + (np.array(ACCENT) - np.array(LINE)) * depth[diagonal, diagonal]).reshape(-1, 3)
    return colors.round().astype(np.uint8)
