"""What is looked for in a library, and how files are ranked: vectors, the best of their views, and their names."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float32

from basrelief.errors import ConfigError, FileFormatError, unknown_choice
from basrelief.index.filters import condition
from basrelief.index.table import Tables, vectors_of
from basrelief.limits import limits
from basrelief.models import Model
from basrelief.tasks import mix_embeddings
from basrelief.types import Shape

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

RULES = ("mean", "best")
"""How the views of a shape count: their mean, or the one that fits best. The mean is better with `tiny` (docs/use/library.md)."""

_WITHOUT = -0.5
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_DAMAGED = (OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, struct.error)
"""What Pillow raises for damaged files."""

_CANDIDATES = 200
_NAMED = 50
_FUSED = 60
"""Reciprocal rank fusion: a file at rank r of a list gets 1 / (60 + r) (Cormack et al. 2009)."""

COLUMNS = ("path", "place", "format", "kind", "faces", "points", "bytes", "width", "depth", "height", "tags")
"""What a hit tells of its file."""


@dataclass(frozen=True)
class Query:
    """A mixture of words, pictures and shapes.

    Attributes:
        words: Phrases.
        pictures: Pillow images or arrays (H, W, 3).
        shapes: World frame.
        without: Phrases to keep away from.
        where: Filters, see `basrelief.index.filters.condition`.
        views: One of `RULES`.
        names: Whether files whose names hold the words move up.
        vectors: Embeddings of pictures or shapes that were read before.
    """

    words: tuple[str, ...] = ()
    pictures: tuple[Image.Image | np.ndarray, ...] = ()
    shapes: tuple[Shape, ...] = ()
    without: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    views: str = "mean"
    names: bool = True
    vectors: tuple[Float32[np.ndarray, " dim"], ...] = ()

    def __post_init__(self) -> None:
        """Check that there is something to look for."""
        if not (self.words or self.pictures or self.shapes or self.vectors):
            raise ConfigError("query must hold words, a picture or a shape, but got none. Say what to look for.")
        if self.views not in RULES:
            raise ConfigError(unknown_choice("views", self.views, RULES))

    def vector(self, model: Model, common: Float32[np.ndarray, " dim"]) -> Float32[np.ndarray, " dim"]:
        """The direction that is looked for.

        What all words have in common is taken off each phrase first: shapes that answer to any word would lead every list else.

        Args:
            model: That of the library.
            common: Mean of the embeddings of many names.
        """
        phrases = [*self.words, *self.without]
        parts = list((model.embed_text(phrases).cpu() - torch.from_numpy(common)).unbind()) if phrases else []
        parts += list(model.embed_images(self.pictures).cpu().unbind()) if self.pictures else []
        parts += list(model.embed_shapes(self.shapes).cpu().unbind()) if self.shapes else []
        parts += [torch.from_numpy(vector) for vector in self.vectors]
        weights = [1.0] * len(self.words) + [_WITHOUT] * len(self.without) + [1.0] * (len(parts) - len(phrases))
        vector: np.ndarray = mix_embeddings(parts, weights=weights).numpy()
        return vector

    @property
    def look(self) -> Look:
        """How to rank."""
        return Look(self.where, self.views == "best", " ".join(self.words) if self.names else "")


@dataclass(frozen=True)
class Look:
    """How files are ranked.

    Attributes:
        where: Filters.
        best_view: Whether the view that fits best counts, or the mean of all.
        text: Words that file names may hold; empty for none.
    """

    where: tuple[str, ...] = ()
    best_view: bool = False
    text: str = ""


@dataclass(frozen=True)
class Hit:
    """A file that was found.

    Attributes:
        path: Of the file.
        score: Cosine of the query with the shape, or with its best view.
        view: Number of the view that fits best.
        by_name: Whether its name holds the words.
        about: Place, format, faces and the other `COLUMNS`.
    """

    path: str
    score: float
    view: int
    by_name: bool
    about: Mapping[str, Any]


def search(
    tables: Tables,
    vector: Float32[np.ndarray, " dim"],
    look: Look,
    *,
    top_k: int = 10,
    unseen_classes: str = "",
    columns: Sequence[str] = (),
) -> list[Hit]:
    """Find the files nearest to a query, best first.

    Args:
        tables: Of the library.
        vector: From `Query.vector`, or a shape's own.
        look: How.
        top_k: Most files.
        unseen_classes: Path of a file that is not wanted.
        columns: What hits tell beside `COLUMNS`.

    Raises:
        ConfigError: If a filter is wrong or `top_k` is below 1.
    """
    if top_k < 1:
        raise ConfigError(f"top_k must be at least 1, but got {top_k}. Ask for one or more.")
    where, whole = condition(look.where), [*COLUMNS, *columns, "views"]
    top_k = top_k if top_k <= _CANDIDATES else max(1, min(top_k, tables.count()))
    many = max(_CANDIDATES if look.best_view else _NAMED if look.text else 0, top_k + 1)
    light = bool(look.text) and not look.best_view  # of most candidates only the rank counts
    found = tables.nearest(vector, ["path"] if light else whole, where=where, limit=many)
    named = tables.named(look.text, where=where, limit=many) if look.text else []
    hits = {} if light else _scored(found, vector, look, dim=tables.about.dim)
    near = found["path"].to_pylist() if light else sorted(hits, key=lambda path: (-hits[path].score, path))
    order = [path for path in _fused(near, named) if path != unseen_classes][:top_k]
    missing = [path for path in order if path not in hits]
    if missing:
        hits |= _scored(tables.fetch("path", missing, columns=whole), vector, look, dim=tables.about.dim)
    by_name = set(named)
    return [replace(hits[path], by_name=path in by_name) for path in order if path in hits]  # a file may have left meanwhile


def _scored(found: pa.Table, vector: np.ndarray, look: Look, *, dim: int) -> dict[str, Hit]:
    """Rows as hits with their scores, by path."""
    if not found.num_rows:
        return {}
    views = torch.from_numpy(vectors_of(found, "views", dim))
    direction = torch.from_numpy(np.asarray(vector, dtype=np.float32))
    each = torch.nn.functional.normalize(views, dim=-1) @ direction
    whole = torch.nn.functional.normalize(views.mean(dim=1), dim=-1) @ direction
    scores = (each.amax(dim=1) if look.best_view else whole).tolist()
    rows = found.drop_columns(["views"]).to_pylist()
    return {
        row["path"]: Hit(row["path"], score, view, False, row)
        for row, score, view in zip(rows, scores, each.argmax(dim=1).tolist(), strict=True)
    }


def _fused(*lists: Sequence[str]) -> list[str]:
    """Paths by reciprocal rank fusion of some lists; where two are worth the same, as in the first list."""
    worth: dict[str, float] = {}
    for paths in lists:
        for rank, path in enumerate(paths, 1):
            worth[path] = worth.get(path, 0.0) + 1 / (_FUSED + rank)
    return sorted(worth, key=lambda path: -worth[path])


def read_picture(path: Path) -> Image.Image:
    """Read a picture file to look for: PNG, JPEG, WebP or BMP, at most `Limits.picture_pixels`; of an animation the first picture.

    Raises:
        FileFormatError: If it cannot be read or is too large.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > limits().picture_pixels:
                got = f"{picture.width} x {picture.height} in {path.name}"
                raise FileFormatError(f"picture must have at most {limits().picture_pixels:,} pixels, but got {got}. Make it smaller.")
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"picture must be readable, but got {path.name}: {error}. Save it as PNG or JPEG.") from error
