"""A library of shapes: index folders once, then search them by words, images and shapes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.datasets import parse_labels
from basrelief.errors import ConfigError
from basrelief.index.add import IndexOptions, Report, add_folder
from basrelief.index.duplicates import DUPLICATE_TOLERANCE, group_duplicates
from basrelief.index.files import check_folder
from basrelief.index.filters import sql_condition
from basrelief.index.query import Query
from basrelief.index.rows import IS_FILE, vectors_of
from basrelief.index.schema import LibraryInfo
from basrelief.index.search import Hit, SearchOptions, search
from basrelief.index.table import Tables
from basrelief.index.tags import TagProposal, propose_tags, undo_tags, write_tags
from basrelief.io import load
from basrelief.models import Model, load_model
from basrelief.tasks import RejectPolicy
from basrelief.types import Progress

_EVERYDAY_NAMES = "omniobject3d"
"""Label set whose mean text embedding is subtracted from phrases; 15 to 1,203 other names do as well (docs/use/library.md)."""


class Index:
    """A searchable library; several threads may use it at once.

    Attributes:
        uri: Folder or object storage address of the database.
    """

    def __init__(self, uri: str, model: str | Model, *, loader: Callable[[str], Model] = load_model) -> None:
        self.uri, self._model, self._loader = uri, model, loader
        self._lock = threading.Lock()
        self._tables: Tables | None = None
        self._checked_model: Model | None = None

    def __repr__(self) -> str:
        """Return address and model."""
        name = self._model if isinstance(self._model, str) else self._model.name
        return f"Index({self.uri!r}, model={name!r})"

    @classmethod
    def open(cls, uri: str | PathLike[str], *, model: str | Model | None = None, loader: Callable[[str], Model] = load_model) -> Index:
        """Open a library, or name one that the first `add` will create.

        Args:
            uri: Folder, or an address LanceDB opens, e.g. `s3://bucket/library`.
            model: A loaded model or the name of one. None takes the library's own, `tiny` for a new one.
            loader: Loads a model by name, when vectors are first needed.

        Raises:
            ConfigError: If the library was created with another model.
            FileFormatError: If something else is at `uri`.
            MissingExtraError: If LanceDB is not installed.
        """
        index = cls(str(uri), model or "tiny", loader=loader)
        if not index.exists:
            return index
        created_with = index.tables.info.model
        asked = model.name if isinstance(model, Model) else model
        if asked not in (None, created_with):
            raise ConfigError(
                f"Library {index.uri!r} was created with model {created_with}, not {asked}. Leave out the model, or start a new library."
            )
        return cls(str(uri), model or created_with, loader=loader)

    @property
    def exists(self) -> bool:
        """Whether the library has been created."""
        return self._tables is not None or Tables.exists(self.uri)

    @property
    def tables(self) -> Tables:
        """Tables of the library.

        Raises:
            FileFormatError: If there is no library.
        """
        if self._tables is None:
            self._tables = Tables.open(self.uri)  # if two threads open it at once, either result will do
        return self._tables

    @property
    def version(self) -> int:
        """Number that grows with every change of the library, by whichever process."""
        return self.tables.version()

    @property
    def model(self) -> Model:
        """Model that embeds queries and shapes; loaded once, when first needed.

        Raises:
            ConfigError: If its weights are not those the library was created with.
        """
        if self._checked_model is None:
            with self._lock:
                self._checked_model = self._checked_model or self._load_model()
        return self._checked_model

    def _load_model(self) -> Model:
        model = self._loader(self._model) if isinstance(self._model, str) else self._model
        if self.exists and model.shape_encoder.fingerprint != self.tables.info.weights:
            raise ConfigError(
                f"Library {self.uri!r} was created with other weights of {model.name}. Give those weights, or start a new library."
            )
        return model

    def __len__(self) -> int:
        """Return the number of indexed files."""
        return self.tables.count()

    def add(self, folder: str | PathLike[str], *, options: IndexOptions | None = None, progress: Progress | None = None) -> Report:
        """Index a folder of shape files; a rerun only processes what changed, see `add_folder`.

        Raises:
            FileFormatError: If there is no such folder.
        """
        checked = check_folder(Path(folder))
        if not self.exists:
            Tables.create(self.uri, library_info(self.model))
        return add_folder(self.tables, lambda: self.model, checked, options=options, progress=progress)

    def search(self, query: str | Query, *, top_k: int = 10) -> list[Hit]:
        """Find the shapes that fit words, images or other shapes, best first.

        Args:
            query: Words, or a `Query`.
            top_k: Maximum number of hits.

        Raises:
            ConfigError: If the query or a filter is wrong.
            FileFormatError: If a file of the query cannot be read.
        """
        asked = Query((query,)) if isinstance(query, str) else query
        return self.rank(self.embed_query(asked), asked, top_k=top_k)

    def embed_query(self, query: Query) -> Float32[np.ndarray, " dim"]:
        """Embed a query, see `Query.embed`."""
        return query.embed(self.model, np.array(self.tables.info.text_mean, np.float32))

    def rank(self, vector: Float32[np.ndarray, " dim"], query: Query, *, top_k: int = 10, columns: Sequence[str] = ()) -> list[Hit]:
        """Find the shapes nearest to the embedding of a query; needs no model.

        Args:
            vector: From `embed_query`.
            query: Its filters and words, which are compared with file names.
            top_k: Maximum number of hits.
            columns: Columns to return in `Hit.metadata` in addition to the usual ones, e.g. `thumbnail`.
        """
        return search(self.tables, vector, query.options, top_k=top_k, columns=columns)

    def similar(self, file: str | PathLike[str], *, top_k: int = 10, where: Sequence[str] = (), up: str | None = None) -> list[Hit]:
        """Find the shapes most similar to that of a file, which need not be in the library and is never among the hits.

        The path of a box in a scan (`scan.ply#box-3`) finds things like it. `up` is the up axis of a file that is not in the library, see
        `basrelief.load`.

        Raises:
            FileFormatError: If it cannot be read.
        """
        path = str(Path(file).resolve())
        rows = self.tables.rows("path", [path], columns=["vector"])
        vector = np.asarray(rows[0]["vector"], np.float32) if rows else self.model.embed_shapes(load(file, up))[0].cpu().numpy()
        return search(self.tables, vector, SearchOptions(tuple(where)), top_k=top_k, exclude=path)

    def duplicates(self, *, where: Iterable[str] = (), tolerance: float = DUPLICATE_TOLERANCE) -> list[list[str]]:
        """Return groups of files with the same geometry in any format, position, rotation and scale. Nothing is deleted.

        Boxes in scans are not compared.

        Args:
            where: Filters.
            tolerance: See `group_duplicates`.
        """
        paths, forms = [], []
        condition = " AND ".join(filter(None, (IS_FILE, sql_condition(where))))
        for batch in self.tables.batches(["path", "form"], where=condition):
            if batch.num_rows:
                paths += batch.column("path").to_pylist()
                forms.append(vectors_of(batch, "form", batch.schema.field("form").type.list_size)[:, 0])
        order = sorted(range(len(paths)), key=paths.__getitem__)
        stacked = np.concatenate(forms)[order] if forms else np.empty((0, 1), np.float32)
        return [[paths[order[i]] for i in group] for group in group_duplicates(stacked, tolerance=tolerance)]

    def propose_tags(
        self,
        labels: Sequence[str],
        *,
        policy: RejectPolicy | None = None,
        where: Iterable[str] = (),
        folder: str | PathLike[str] | None = None,
    ) -> Iterator[TagProposal]:
        """Find the label that fits each file best, see `basrelief.index.tags.propose_tags`. Nothing is written."""
        under = None if folder is None else Path(folder)
        return propose_tags(self.tables, self.model, labels, policy=policy, where=where, folder=under)

    def tag(self, tags: Mapping[str, Sequence[str]], *, sidecars: bool = False) -> int:
        """Replace the tags of files by path, see `write_tags`; return how many files changed."""
        return write_tags(self.tables, tags, sidecars=sidecars)

    def undo_tags(self) -> int:
        """Revert the last change of tags; return how many files were restored."""
        return undo_tags(self.tables)

    def thumbnails(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the thumbnails of files as WebP, by path."""
        return {row["path"]: row["thumbnail"] for row in self.tables.rows("path", paths, columns=["path", "thumbnail"])}


def library_info(model: Model) -> LibraryInfo:
    """Return what a new library records of its model."""
    text_mean = model.embed_text(model.known_labels or parse_labels(_EVERYDAY_NAMES)).mean(dim=0).cpu()
    return LibraryInfo(model.name, model.shape_encoder.fingerprint, model.views, model.embedding_dim, tuple(text_mean.tolist()))
