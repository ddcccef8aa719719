"""The library on disk: a LanceDB database of a row for each file, of files that could not be read, and of what tags were before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from basrelief.errors import ConfigError, FileFormatError, OutputError
from basrelief.index.database import connect, database_errors, is_absent, no_database, reads, unreadable, writes
from basrelief.index.schema import KEY, About, Known, changes_schema, failures_schema, shapes_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table

LARGE = 20_000
"""Files from which on vectors are looked up by an index instead of one after another."""

_PROBES = 1
_REFINED = 4
_TABLES = ("shapes", "failures", "changes")
_CHUNK = 256


class Tables:
    """One database; every write is a version of its own, so that a killed process leaves the last one.

    Attributes:
        uri: Folder or object storage address.
        about: What made the vectors.
    """

    def __init__(self, uri: str, about: About, tables: Mapping[str, Table]) -> None:
        self.uri, self.about = uri, about
        self.shapes, self.failures, self.changes = (tables[name] for name in _TABLES)

    @classmethod
    def create(cls, uri: str, about: About) -> Tables:
        """Make an empty library.

        Raises:
            MissingExtraError: If LanceDB is not installed.
        """
        database = connect(uri)
        with database_errors(f"Cannot make a library at {uri!r}: {{}}. Choose another place.", OutputError):
            for name, schema in zip(_TABLES[::-1], (changes_schema(), failures_schema(), shapes_schema(about)), strict=True):
                database.create_table(name, schema=schema, exist_ok=True)  # the one that `there` looks for last
        return cls.open(uri)

    @classmethod
    def open(cls, uri: str) -> Tables:
        """Open a library.

        Raises:
            FileFormatError: If there is none, or it is of another layout.
            MissingExtraError: If LanceDB is not installed.
        """
        message = f"db must be a library of basrelief index, but got {uri!r}, which is none. Make one with basrelief index DIR --db {uri}."
        with database_errors(message, FileFormatError):
            if is_absent(uri):
                raise ValueError("nothing there")
            database = connect(uri)
            tables = {name: database.open_table(name) for name in _TABLES}
            record = json.loads((tables["shapes"].schema.metadata or {})[KEY])
            about = About(**{**record, "common": tuple(record["common"])})
        if about.layout != About.layout:
            got = f"{about.layout} in {uri!r}"
            raise FileFormatError(f"db must have layout {About.layout}, but got {got}. Make it again with basrelief index.")
        with database_errors(unreadable(uri), FileFormatError):
            for name, wanted in zip(_TABLES, (shapes_schema(about), failures_schema(), changes_schema()), strict=True):
                _check_columns(wanted, tables[name].schema)
            if len(about.common) != about.dim:
                raise ValueError(f"{len(about.common)} numbers for vectors of {about.dim}")
        return cls(uri, about, tables)

    @staticmethod
    def there(uri: str) -> bool:
        """Whether a database with tables lies there.

        Raises:
            MissingExtraError: If LanceDB is not installed.
        """
        if is_absent(uri):
            return False
        with database_errors(no_database(uri), ConfigError):
            return "shapes" in connect(uri).list_tables().tables

    @writes
    def upgrade(self) -> None:
        """Add columns that libraries of former versions lack."""
        for table in (self.shapes, self.failures):
            try:
                if "beside" not in table.schema.names:
                    table.add_columns({"beside": "CAST(NULL AS STRING)"})
            except (RuntimeError, OSError, ValueError):
                if "beside" not in table.schema.names:  # else another process was quicker
                    raise

    @reads
    def known(self) -> dict[str, Known]:
        """Every file with a row, by path."""
        return _known(self.shapes)

    @reads
    def failed(self) -> dict[str, tuple[Known, str]]:
        """Every file that could not be read, and why."""
        files, found = _known(self.failures), self.failures.search().select(["path", "reason"]).limit(None).to_arrow()
        reasons = dict(zip(found["path"].to_pylist(), found["reason"].to_pylist(), strict=True))
        return {path: (known, reasons[path]) for path, known in files.items()}

    @writes
    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows over those of the same path; their files are no failures any more."""
        self._forget(self.failures, [row["path"] for row in rows])
        _merge(self.shapes, rows)

    @writes
    def put_failures(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note files that could not be read; what was known of them before goes."""
        self._forget(self.shapes, [row["path"] for row in rows])
        _merge(self.failures, rows)

    @writes
    def drop(self, paths: Iterable[str]) -> None:
        """Forget files."""
        gone = list(paths)
        self._forget(self.shapes, gone)
        self._forget(self.failures, gone)

    def rows(self, column: str, values: Sequence[str], *, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows whose column has one of the values, see `fetch`."""
        rows: list[dict[str, Any]] = self.fetch(column, values, columns=columns).to_pylist()
        return rows

    @reads
    def fetch(self, column: str, values: Sequence[str], *, columns: Sequence[str] = ()) -> pa.Table:
        """Rows whose column has one of the values, all their columns or some.

        Args:
            column: `path` or `content`.
            values: To be found.
            columns: Wanted; all when empty.
        """
        import pyarrow as pa

        schema = self.shapes.schema
        names = list(columns) or schema.names
        found = [pa.schema([schema.field(name) for name in names]).empty_table()]
        for part in _parts(values):
            query = self.shapes.search().where(f"{column} IN ({', '.join(map(quoted, part))})").select(names).limit(None)
            found.append(query.to_arrow().select(names))
        return pa.concat_tables(found)

    def batches(self, columns: Sequence[str], *, where: str = "", size: int = 1024) -> Iterator[pa.RecordBatch]:
        """All rows, some columns of them, a few at a time."""
        query = self.shapes.search().select(list(columns)).limit(None)
        with database_errors(unreadable(self.uri), FileFormatError):
            yield from (query.where(where) if where else query).to_batches(size)

    @reads
    def count(self) -> int:
        """How many files."""
        return int(self.shapes.count_rows())

    @reads
    def nearest(self, vector: Float32[np.ndarray, " dim"], columns: Sequence[str], *, where: str = "", limit: int = 10) -> pa.Table:
        """Rows whose pooled vector lies nearest to one, nearest first.

        Args:
            vector: Of any length but zero.
            columns: Wanted.
            where: SQL condition.
            limit: Most rows.
        """
        query: Any = self.shapes.search(vector, vector_column_name="vector")
        query = query.distance_type("cosine").select([*columns, "_distance"]).limit(limit)
        if ["vector"] in self._indexed():
            query = query.nprobes(_PROBES).refine_factor(_REFINED)
        return (query.where(where, prefilter=True) if where else query).to_arrow().select(list(columns))

    @reads
    def named(self, text: str, *, where: str = "", limit: int = 10) -> list[str]:
        """Paths of files whose names hold words of a text, best first."""
        if ["words"] not in self._indexed():
            return []
        query: Any = self.shapes.search(text, query_type="fts", fts_columns="words").select(["path", "_score"]).limit(limit)
        found: list[str] = (query.where(where, prefilter=True) if where else query).to_arrow()["path"].to_pylist()
        return found

    @writes
    def set_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Replace the tags of files, by path."""
        import pyarrow as pa

        kind = pa.schema([self.shapes.schema.field("path"), self.shapes.schema.field("tags")])
        rows = [{"path": path, "tags": list(names)} for path, names in tags.items()]
        if rows:
            self.shapes.merge_insert("path").when_matched_update_all().execute(pa.Table.from_pylist(rows, schema=kind))

    @writes
    def log_tags(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Note path, tags before and after, of one change."""
        import pyarrow as pa

        runs = self.changes.search().select(["run"]).limit(None).to_arrow()["run"].to_pylist()
        run = max(runs, default=0) + 1
        if changes:
            self.changes.add(pa.Table.from_pylist([{**row, "run": run} for row in changes], schema=self.changes.schema))

    @reads
    def last_tags(self) -> list[dict[str, Any]]:
        """The last change that was noted."""
        found: list[dict[str, Any]] = self.changes.search().limit(None).to_arrow().to_pylist()
        last = max((row["run"] for row in found), default=0)
        return [row for row in found if row["run"] == last]

    @writes
    def forget_tags(self, change: Sequence[Mapping[str, Any]]) -> None:
        """Strike a change out."""
        if change:
            self.changes.delete(f"run = {int(change[0]['run'])}")

    @writes
    def tidy(self) -> None:
        """Join the pieces that many writes left, and bring the indices up to date; a large library gets one for its vectors.

        Where another process does the same at the same time, it is left to that one.
        """
        from lancedb.index import FTS, BTree, HnswSq

        wanted: dict[str, Any] = {"path": BTree(), "content": BTree(), "words": FTS()} if self.count() else {}
        if self.count() > LARGE:
            wanted["vector"] = HnswSq(distance_type="cosine", num_partitions=1)
        indexed = self._indexed()
        try:
            for table in (self.shapes, self.failures, self.changes):
                table.optimize()
            for column, config in wanted.items():
                if [column] not in indexed:
                    self.shapes.create_index(column, config=config)
        except (RuntimeError, OSError, ValueError) as error:
            if "conflict" not in str(error).lower():
                raise

    def _indexed(self) -> list[list[str]]:
        return [index.columns for index in self.shapes.list_indices()]

    @staticmethod
    def _forget(table: Table, paths: Sequence[str]) -> None:
        if table.count_rows() == 0:
            return
        for part in _parts(paths):
            table.delete(f"path IN ({', '.join(map(quoted, part))})")


def quoted(text: str) -> str:
    """A text as LanceDB's SQL wants it."""
    return "'" + text.replace("'", "''") + "'"


def vectors_of(batch: pa.RecordBatch | pa.Table, column: str, dim: int) -> Float32[np.ndarray, "rows vectors dim"]:
    """A column of vectors as an array, those of one row behind each other."""
    values = batch.column(column)
    whole = values.combine_chunks() if hasattr(values, "combine_chunks") else values
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    vectors: np.ndarray = flat.astype(np.float32).reshape(batch.num_rows, -1, dim)
    return vectors


def _check_columns(wanted: pa.Schema, there: pa.Schema) -> None:
    for field in wanted:
        if field.name not in there.names and field.name == "beside":
            continue
        if field.name not in there.names or there.field(field.name).type != field.type:
            raise ValueError(f"no column {field.name} of {field.type}")


def _merge(table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    if rows:
        data = pa.Table.from_pylist([dict(row) for row in rows], schema=table.schema)
        table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all().execute(data)


def _known(table: Table) -> dict[str, Known]:
    columns = ["path", "root", "bytes", "mtime", "content", "beside"]
    found = table.search().select([name for name in columns if name in table.schema.names]).limit(None).to_arrow().to_pydict()
    found.setdefault("beside", [None] * len(found["path"]))
    return {path: Known(*rest) for path, *rest in zip(*(found[name] for name in columns), strict=True)}


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    yield from (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
