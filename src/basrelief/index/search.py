"""Rank the files of a library and the boxes in scans: by vectors, by their best view, and by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float32

from basrelief.errors import ConfigError
from basrelief.index.filters import sql_condition
from basrelief.index.places import PLACE_COLUMNS, without_overlaps
from basrelief.index.rows import vectors_of
from basrelief.index.table import Tables

if TYPE_CHECKING:
    import pyarrow as pa

POOLINGS = ("mean", "max")
"""How the views of a shape become one score: cosine with their mean, or with the best of them. For `tiny`, the mean is better for every
kind of query (docs/use/library.md)."""

METADATA_COLUMNS = ("path", "relative_path", "format", "kind", "faces", "points", "bytes", "width", "depth", "height", "tags")
"""What a hit says about its file, or about its box."""

_CANDIDATES = 200
"""Nearest files by mean vector that are scored again by their best view."""

_NAME_CANDIDATES = 50
_BOX_CANDIDATES = 8
"""Times as many rows are ranked if a library has boxes, because boxes that overlap a better one are left out."""

_RANK_OFFSET = 60
"""Reciprocal rank fusion: a file at rank r of a list gets 1 / (60 + r) (Cormack et al. 2009)."""


@dataclass(frozen=True)
class SearchOptions:
    """How files are ranked.

    Attributes:
        where: Filters; all must hold.
        pooling: One of `POOLINGS`.
        text: Words that move files up whose names contain them; empty to rank by vectors alone.
    """

    where: tuple[str, ...] = ()
    pooling: str = "mean"
    text: str = ""


@dataclass(frozen=True)
class Hit:
    """A file that was found, or a box in a scan.

    Attributes:
        path: Absolute path of the file; for a box, `#box-` and its number follow.
        score: Cosine of the query with the mean of the shape's views, or with the best of them.
        view: Index of the view that fits best.
        name_match: Whether the file's name contains the words.
        metadata: Values of `METADATA_COLUMNS`. For a box also `scan`, the path of its file, and `center` (3) and `rotation` (3 x 3, columns
            are the box's own axes) in the coordinates of the file; `width`, `depth` and `height` are its lengths along these axes.
    """

    path: str
    score: float
    view: int
    name_match: bool
    metadata: Mapping[str, Any]


def search(
    tables: Tables,
    vector: Float32[np.ndarray, " dim"],
    options: SearchOptions,
    *,
    top_k: int = 10,
    exclude: str = "",
    columns: Sequence[str] = (),
) -> list[Hit]:
    """Find the files and boxes nearest to a query, best first; of boxes that overlap in a scan only the best.

    Args:
        tables: Tables of the library.
        vector: From `Query.embed`, or the vector of a shape.
        options: How to rank.
        top_k: Maximum number of hits.
        exclude: Path of a row to leave out, with the boxes that overlap it.
        columns: Columns to return in `Hit.metadata` in addition to `METADATA_COLUMNS`.

    Raises:
        ConfigError: If a filter is wrong or `top_k` is below 1.
    """
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k}; it must be at least 1.")
    where, best_view, has_boxes = sql_condition(options.where), options.pooling == "max", tables.has_boxes()
    all_columns = [*dict.fromkeys((*METADATA_COLUMNS, *PLACE_COLUMNS, *columns)), "vector", "views"]
    top_k = top_k if top_k <= _CANDIDATES else max(1, min(top_k, tables.count_rows()))
    limit = max(_CANDIDATES if best_view else _NAME_CANDIDATES if options.text else 0, (top_k + 1) * (_BOX_CANDIDATES if has_boxes else 1))
    ranks_only = (bool(options.text) or has_boxes) and not best_view  # most candidates are dropped again, and need no metadata
    found = tables.nearest(vector, ["path", *PLACE_COLUMNS] if ranks_only else all_columns, where=where, limit=limit)
    named = tables.match_names(options.text, where=where, limit=limit) if options.text else []
    hits = {} if ranks_only else _score(found, vector, dim=tables.info.dim, best_view=best_view)
    nearest = found["path"].to_pylist() if ranks_only else sorted(hits, key=lambda path: (-hits[path].score, path))
    order = reciprocal_rank_fusion(nearest, named)
    if has_boxes:
        order = without_overlaps(order, {row["path"]: row for row in found.select(["path", *PLACE_COLUMNS]).to_pylist()})
    order = [path for path in order if path != exclude][:top_k]
    missing = [path for path in order if path not in hits]
    if missing:
        rows = tables.fetch("path", missing, columns=all_columns)
        hits |= _score(rows, vector, dim=tables.info.dim, best_view=best_view)
    name_matches = set(named)
    return [replace(hits[path], name_match=path in name_matches) for path in order if path in hits]  # a file may be gone by now


def reciprocal_rank_fusion(*rankings: Sequence[str]) -> list[str]:
    """Merge rankings by the sum of reciprocal ranks (Cormack et al. 2009); ties keep the order of the first ranking."""
    scores: dict[str, float] = {}
    for paths in rankings:
        for rank, path in enumerate(paths, 1):
            scores[path] = scores.get(path, 0.0) + 1 / (_RANK_OFFSET + rank)
    return sorted(scores, key=lambda path: -scores[path])


def _score(rows: pa.Table, vector: np.ndarray, *, dim: int, best_view: bool) -> dict[str, Hit]:
    """Return rows as hits with their scores, by path."""
    if not rows.num_rows:
        return {}
    views = torch.from_numpy(vectors_of(rows, "views", dim))
    query = torch.from_numpy(np.asarray(vector, dtype=np.float32))
    view_scores = torch.nn.functional.normalize(views, dim=-1) @ query
    mean_scores = torch.from_numpy(vectors_of(rows, "vector", dim))[:, 0] @ query
    scores = (view_scores.amax(dim=1) if best_view else mean_scores).tolist()
    best_views = view_scores.argmax(dim=1).tolist()
    metadata = [_metadata(row) for row in rows.drop_columns(["vector", "views"]).to_pylist()]
    found = zip(metadata, scores, best_views, strict=True)
    return {row["path"]: Hit(row["path"], score, view, name_match=False, metadata=row) for row, score, view in found}


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a hit says of its row; only boxes have a place."""
    if row["scan"] is None:
        return {name: value for name, value in row.items() if name not in ("scan", "center", "rotation")}
    return row | {"rotation": [row["rotation"][start : start + 3] for start in (0, 3, 6)]}
