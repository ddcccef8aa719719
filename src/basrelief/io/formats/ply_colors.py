"""Colours of PLY vertices under the names that programs give them, and Gaussian splats as points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from basrelief.io.formats.ply_rows import ALPHA_COLUMNS, COLOR_COLUMNS, GREY_COLUMNS, SPLAT_COLUMNS, Table

_SH0 = 0.28209479177387814  # spherical harmonic of degree zero
_OPAQUE = 0.1  # splats of less opacity are haze


def vertex_colors(vertex: Table) -> np.ndarray | None:
    """Return the colours of vertices, (N, 3) or (N, 4) as stored, from red, green and blue or from intensity; None if there are none.

    Intensities of floating-point type are divided by their maximum if it is above 255; constant ones are not taken for a colour.
    """
    for names in COLOR_COLUMNS:
        colors = vertex.stack(*names)
        if colors is not None:
            alpha = next((vertex.columns[name] for name in ALPHA_COLUMNS if name in vertex.columns), None)
            return colors if alpha is None or alpha.dtype != colors.dtype else np.column_stack([colors, alpha])
    grey = next((vertex.columns[name] for name in GREY_COLUMNS if name in vertex.columns), None)
    if grey is None or not len(grey) or not np.isfinite(grey).all() or grey.min() == grey.max() or grey.min() < 0:
        return None
    if grey.dtype.kind == "f" and grey.max() > 255:
        grey = grey / grey.max()
    return np.repeat(grey[:, None], 3, axis=1)


def is_splats(vertex: Table) -> bool:
    """Return whether the vertices are Gaussian splats."""
    return set(SPLAT_COLUMNS) <= set(vertex.columns)


def splat_points(part: Mapping[str, Any], vertex: Table, notes: list[str]) -> dict[str, Any]:
    """Return splats as points in the colour they have from all sides, without those that are nearly transparent.

    Args:
        part: The part with its `vertices`.
        vertex: The rows of the file.
        notes: A sentence about the splats is added.

    Returns:
        The part with `vertices` and `vertex_colors` of the splats whose opacity is at least 0.1, or of all if none is.
    """
    *light, opacity = (vertex.columns[name] for name in SPLAT_COLUMNS)
    shown = np.flatnonzero(opacity >= np.log(_OPAQUE / (1 - _OPAQUE)))
    shown = shown if len(shown) else np.arange(len(opacity))
    dropped = len(opacity) - len(shown)
    notes.append(f"The points are Gaussian splats; {dropped:,} of {len(opacity):,} with an opacity below {_OPAQUE} were dropped.")
    colors = np.clip(0.5 + _SH0 * np.column_stack([channel[shown] for channel in light]).astype(np.float32), 0, 1)
    return {**part, "vertices": part["vertices"][shown], "vertex_colors": colors}
