"""Faces at vertices that are not finite, which no viewer draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from basrelief.io.source import RawShape

_CHUNK = 1 << 20  # vertices and faces examined at a time


def drop_broken_faces(raw: RawShape) -> RawShape:
    """Drop the faces of a mesh that use a vertex with NaN or infinity, with a note.

    Args:
        raw: Any shape as read.

    Returns:
        A mesh whose vertices are all finite: broken ones, which no face uses any more, lie at the first good one. The same shape if it is
        a cloud, has no broken vertex, or no face would be left.
    """
    if raw.faces is None:
        return raw
    finite = np.concatenate([np.isfinite(raw.points[i : i + _CHUNK]).all(axis=1) for i in range(0, len(raw.points), _CHUNK)])
    if finite.all() or not len(raw.faces) or raw.faces.min() < 0 or raw.faces.max() >= len(finite):
        return raw
    kept = np.concatenate([finite[raw.faces[i : i + _CHUNK]].all(axis=1) for i in range(0, len(raw.faces), _CHUNK)])
    if not kept.any():
        return raw
    points, broken = np.array(raw.points), int(np.count_nonzero(~finite))
    points[~finite] = points[int(finite.argmax())]
    appearance = raw.appearance and replace(raw.appearance, material_ids=raw.appearance.material_ids[kept])
    dropped = f"{int(np.count_nonzero(~kept)):,} of {len(kept):,} faces" if not kept.all() else "no face"
    note = f"{broken:,} of {len(finite):,} vertices are not finite; {dropped} used them" + (" and were dropped." if not kept.all() else ".")
    return replace(raw, points=points, faces=raw.faces[kept], appearance=appearance, notes=(*raw.notes, note))
