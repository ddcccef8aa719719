"""Files that hold the same form, whatever their format, place, turn or scale."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

SAME_FORM = 0.006
"""Greatest difference of any of the form numbers of two copies. Written in another format, turned and scaled, 297 shapes differed by
0.0052 at most; of 1,485 different ones two pairs came within 0.005, a third within 0.01."""


def group_forms(forms: Float32[np.ndarray, "files numbers"], *, tolerance: float = SAME_FORM) -> list[list[int]]:
    """Groups of rows that are one form, each of two rows or more, in order.

    Args:
        forms: From `form_numbers`.
        tolerance: Greatest difference of any number; what is linked by steps of it is one group.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    if len(forms) < 2:
        return []
    pairs = cKDTree(forms).query_pairs(tolerance, p=np.inf, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(forms), len(forms)))
    _, group = connected_components(links, directed=False)
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return sorted(part.tolist() for part in parts if len(part) > 1)
