"""A library of shapes: a folder goes in once, then it is asked by words, pictures and shapes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.datasets import label_set
from basrelief.errors import ConfigError
from basrelief.index.add import Report, Work, add_folder
from basrelief.index.duplicates import SAME_FORM, group_forms
from basrelief.index.files import checked_folder
from basrelief.index.filters import condition
from basrelief.index.query import Hit, Look, Query, search
from basrelief.index.schema import About
from basrelief.index.table import Tables, vectors_of
from basrelief.index.tags import TagAnswer, name_files, undo_tags, write_tags
from basrelief.io import load
from basrelief.models import Model, Progress, load_model
from basrelief.tasks import RejectPolicy

_EVERYDAY = "omniobject3d"
"""216 names of everyday things; 15 to 1,203 others do as well (docs/use/library.md)."""


class Index:
    """A library that can be searched, by several threads at once.

    Attributes:
        uri: Folder or object storage address of the database.
    """

    def __init__(self, uri: str, model: str | Model, *, loader: Callable[[str], Model] = load_model) -> None:
        self.uri, self._model, self._loader = uri, model, loader
        self._lock = threading.Lock()
        self._tables: Tables | None = None
        self._checked: Model | None = None

    @classmethod
    def open(cls, uri: str | PathLike[str], *, model: str | Model | None = None, loader: Callable[[str], Model] = load_model) -> Index:
        """Open a library, or name one that the first `add` makes.

        Args:
            uri: Folder, or an address LanceDB opens, e.g. `s3://bucket/library`.
            model: A loaded model or the name of one; that of the library when None, `tiny` for a new one.
            loader: Loads a model by name, when vectors are first needed.

        Raises:
            ConfigError: If the library was made with another model.
            FileFormatError: If something else lies there.
            MissingExtraError: If LanceDB is not installed.
        """
        index = cls(str(uri), model or "tiny", loader=loader)
        if not index.made:
            return index
        name = index.tables.about.model
        asked = model.name if isinstance(model, Model) else model
        if asked not in (None, name):
            raise ConfigError(f"model must be {name}, with which {index.uri!r} was made, but got {asked}. Leave it out, or index anew.")
        return cls(str(uri), model or name, loader=loader)

    @property
    def made(self) -> bool:
        """Whether there is a library yet."""
        return self._tables is not None or Tables.there(self.uri)

    @property
    def tables(self) -> Tables:
        """What is kept.

        Raises:
            FileFormatError: If there is no library.
        """
        if self._tables is None:
            self._tables = Tables.open(self.uri)  # opened twice by two threads, either does
        return self._tables

    @property
    def version(self) -> int:
        """A number that grows with every change of the library, by whichever process."""
        return self.tables.version()

    @property
    def model(self) -> Model:
        """What embeds; threads that ask at the same time load it once.

        Raises:
            ConfigError: If its weights are not those the library was made with.
        """
        if self._checked is None:
            with self._lock:
                self._checked = self._checked or self._loaded_model()
        return self._checked

    def _loaded_model(self) -> Model:
        model = self._loader(self._model) if isinstance(self._model, str) else self._model
        if self.made and model.encoder.fingerprint != self.tables.about.weights:
            raise ConfigError(f"model must have the weights {self.uri!r} was made with, but got others. Give those, or index anew.")
        return model

    def __len__(self) -> int:
        return self.tables.count()

    def add(self, folder: str | PathLike[str], *, work: Work | None = None, progress: Progress | None = None) -> Report:
        """Bring the library up to date with a folder, see `add_folder`.

        Raises:
            FileFormatError: If the folder is none.
        """
        home = checked_folder(Path(folder))
        if not self.made:
            Tables.create(self.uri, about_model(self.model))
        return add_folder(self.tables, lambda: self.model, home, work=work, progress=progress)

    def search(self, query: str | Query, *, top_k: int = 10) -> list[Hit]:
        """Find what fits words, pictures or shapes, best first.

        Args:
            query: Words, or a `Query`.
            top_k: Most files.

        Raises:
            ConfigError: If the query or a filter is wrong.
        """
        asked = Query((query,)) if isinstance(query, str) else query
        return self.rank(self.embed(asked), asked, top_k=top_k)

    def embed(self, query: Query) -> Float32[np.ndarray, " dim"]:
        """Embed what is looked for, see `Query.vector`."""
        return query.vector(self.model, np.array(self.tables.about.common, np.float32))

    def rank(self, vector: Float32[np.ndarray, " dim"], query: Query, *, top_k: int = 10, columns: Sequence[str] = ()) -> list[Hit]:
        """Find what is nearest to the vector of a query, from `embed`; needs no model.

        Args:
            vector: Of the query.
            query: Its words and filters rank, too.
            top_k: Most files.
            columns: What hits tell beside the usual, e.g. `thumbnail`.
        """
        return search(self.tables, vector, query.look, top_k=top_k, columns=columns)

    def similar(self, file: str | PathLike[str], *, top_k: int = 10, where: Sequence[str] = ()) -> list[Hit]:
        """Find shapes like that of a file, which may be one of the library or not; it is not among them itself.

        Raises:
            FileFormatError: If it cannot be read.
        """
        path = str(Path(file).resolve())
        known = self.tables.rows("path", [path], columns=["vector"])
        vector = np.asarray(known[0]["vector"], np.float32) if known else self.model.embed_shapes([load(file)])[0].cpu().numpy()
        return search(self.tables, vector, Look(tuple(where)), top_k=top_k, unseen_classes=path)

    def duplicates(self, *, where: Iterable[str] = (), tolerance: float = SAME_FORM) -> list[list[str]]:
        """Groups of files that hold the same form in any format, place, turn and scale. Nothing is deleted.

        Args:
            where: Filters.
            tolerance: See `group_forms`.
        """
        paths, forms = [], []
        for batch in self.tables.batches(["path", "form"], where=condition(where)):
            if batch.num_rows:
                paths += batch.column("path").to_pylist()
                forms.append(vectors_of(batch, "form", batch.schema.field("form").type.list_size)[:, 0])
        order = sorted(range(len(paths)), key=paths.__getitem__)
        stacked = np.concatenate(forms)[order] if forms else np.empty((0, 1), np.float32)
        return [[paths[order[i]] for i in group] for group in group_forms(stacked, tolerance=tolerance)]

    def name(self, labels: Sequence[str], *, policy: RejectPolicy | None = None, where: Iterable[str] = ()) -> Iterator[TagAnswer]:
        """Name every file with one's own words, see `name_files`."""
        return name_files(self.tables, self.model, labels, policy=policy, where=where)

    def tag(self, tags: Iterable[tuple[str, Sequence[str]]], *, sidecars: bool = False) -> int:
        """Give files tags, see `write_tags`."""
        return write_tags(self.tables, tags, sidecars=sidecars)

    def undo(self) -> int:
        """Take the last change of tags back, see `undo_tags`."""
        return undo_tags(self.tables)

    def pictures(self, paths: Sequence[str], *, sheet: bool = False) -> dict[str, bytes]:
        """Thumbnails of files, or the sheets of their depth views, WebP, by path."""
        column = "sheet" if sheet else "thumbnail"
        return {row["path"]: row[column] for row in self.tables.rows("path", paths, columns=["path", column])}


def about_model(model: Model) -> About:
    """What a library says of the model that makes its vectors."""
    common = model.embed_text(label_set(_EVERYDAY)).mean(dim=0).cpu()
    return About(model.name, model.encoder.fingerprint, model.views, model.encoder.embedding_dim, tuple(common.tolist()))
