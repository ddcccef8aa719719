"""A library on disk: LanceDB tables of shapes and boxes in scans, of files that could not be read, and of tag changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from basrelief.errors import ConfigError, FileFormatError, OutputError
from basrelief.index.database import (
    connect,
    database_errors,
    invalid_uri_message,
    is_missing_folder,
    translate_read_errors,
    translate_write_errors,
    unreadable_message,
)
from basrelief.index.rows import IS_FILE, check_columns, convert_columns, delete_rows, file_states, one_of, parts, upsert
from basrelief.index.schema import (
    RENAMED_COLUMNS,
    FileState,
    LibraryInfo,
    axis_fields,
    changes_schema,
    failures_schema,
    scan_fields,
    shapes_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table

LARGE = 20_000
"""Number of rows above which nearest vectors are found by an approximate index instead of a full scan."""

_PROBES = 1
_REFINE_FACTOR = 4
_TABLES = ("shapes", "failures", "changes")


class Tables:
    """The tables of one library. Every write is a version of its own, so a killed process leaves the last complete one.

    Attributes:
        uri: Folder or object storage address.
        info: The model that computed the vectors.
    """

    def __init__(self, uri: str, info: LibraryInfo, tables: Mapping[str, Table]) -> None:
        self.uri, self.info = uri, info
        self.shapes, self.failures, self.changes = (tables[name] for name in _TABLES)
        self._indexed_columns: set[str] = set()
        self._boxes_version, self._has_boxes = -1, False  # version of the table that was looked at, and what was found

    @classmethod
    def create(cls, uri: str, info: LibraryInfo) -> Tables:
        """Create an empty library.

        Raises:
            MissingExtraError: If LanceDB is not installed.
            OutputError: If it cannot be written.
        """
        database = connect(uri)
        schemas = {"changes": changes_schema(), "failures": failures_schema(), "shapes": shapes_schema(info)}
        with database_errors(f"Cannot create library {uri!r}: {{}}. Choose another folder.", OutputError):
            for name, schema in schemas.items():  # `shapes` last, because `exists` looks for it
                database.create_table(name, schema=schema, exist_ok=True)
        return cls.open(uri)

    @classmethod
    def open(cls, uri: str) -> Tables:
        """Open a library; one of basrelief 0.1 gets its columns renamed first.

        Raises:
            FileFormatError: If there is none, it is damaged, or its layout is unknown.
            MissingExtraError: If LanceDB is not installed.
            OutputError: If columns must be renamed and the library cannot be written.
        """
        message = f"{uri!r} is not a basrelief library. Create one with: basrelief index DIR --db {uri}"
        with database_errors(message, FileFormatError):
            if is_missing_folder(uri):
                raise FileNotFoundError(uri)
            database = connect(uri)
            tables = {name: database.open_table(name) for name in _TABLES}
            info = LibraryInfo.from_schema(tables["shapes"].schema)
        if not info.readable:
            raise FileFormatError(
                f"Library {uri!r} has layout {info.layout}, which this version of basrelief does not read. "
                "Update basrelief, or index the folder into a new library."
            )
        opened = cls(uri, info, tables)
        opened._migrate()
        with database_errors(unreadable_message(uri), FileFormatError):
            for table, schema in zip(tables.values(), (shapes_schema(info), failures_schema(), changes_schema()), strict=True):
                check_columns(table.schema, schema)
            if len(info.text_mean) != info.dim:
                raise ValueError(f"text mean of {len(info.text_mean)} numbers for vectors of {info.dim}")
        return opened

    @staticmethod
    def exists(uri: str) -> bool:
        """Return whether there is a library.

        Raises:
            ConfigError: If `uri` is neither a folder nor an address that LanceDB opens.
            MissingExtraError: If LanceDB is not installed.
        """
        if is_missing_folder(uri):
            return False
        with database_errors(invalid_uri_message(uri), ConfigError):
            return "shapes" in connect(uri).list_tables().tables

    @translate_read_errors
    def indexed_files(self) -> dict[str, FileState]:
        """Return the state of every indexed file, by path."""
        return file_states(self.shapes, IS_FILE)

    @translate_read_errors
    def scan_files(self) -> dict[str, int | None]:
        """Return for every indexed file the number of boxes found in it; None if none were looked for."""
        found = self.shapes.search().where(IS_FILE).select(["path", "boxes"]).limit(None).to_arrow().to_pydict()
        return dict(zip(found["path"], found["boxes"], strict=True))

    @translate_read_errors
    def axes(self) -> dict[str, tuple[str | None, str | None]]:
        """Return the up axis of every indexed file and where it is known from, by path."""
        found = self.shapes.search().where(IS_FILE).select(["path", "up", "up_source"]).limit(None).to_arrow().to_pydict()
        return dict(zip(found["path"], zip(found["up"], found["up_source"], strict=True), strict=True))

    @translate_read_errors
    def failed_files(self) -> dict[str, FileState]:
        """Return the state of every file that could not be read, by path."""
        return file_states(self.failures)

    @translate_read_errors
    def failure_reasons(self) -> dict[str, str]:
        """Return why files could not be read, by path."""
        found = self.failures.search().select(["path", "reason"]).limit(None).to_arrow()
        return dict(zip(found["path"].to_pylist(), found["reason"].to_pylist(), strict=True))

    @translate_write_errors
    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of files with all their boxes, replacing those of the same files and their failures."""
        files = [row["path"] for row in rows if row.get("scan") is None]
        delete_rows(self.failures, "path", files)
        had_boxes = self.has_boxes()
        upsert(self.shapes, rows)
        for part in parts(files if had_boxes else []):
            kept = [row["path"] for row in rows if row.get("scan") in part]
            self.shapes.delete(one_of("scan", part) + (f" AND NOT {one_of('path', kept)}" if kept else ""))

    @translate_write_errors
    def upsert_failures(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record files that could not be read; their former rows are deleted."""
        self._delete_files([row["path"] for row in rows])
        upsert(self.failures, rows)

    @translate_write_errors
    def delete(self, paths: Iterable[str]) -> None:
        """Delete the rows and failures of files."""
        removed = list(paths)
        self._delete_files(removed)
        delete_rows(self.failures, "path", removed)

    def _delete_files(self, paths: Sequence[str]) -> None:
        """Delete the rows of files and of the boxes in them."""
        delete_rows(self.shapes, "path", paths)
        if self.has_boxes():
            delete_rows(self.shapes, "scan", paths)

    def rows(self, column: str, values: Sequence[str], *, columns: Sequence[str] = (), where: str = "") -> list[dict[str, Any]]:
        """Return the rows of `fetch` as dictionaries."""
        rows: list[dict[str, Any]] = self.fetch(column, values, columns=columns, where=where).to_pylist()
        return rows

    @translate_read_errors
    def fetch(self, column: str, values: Sequence[str], *, columns: Sequence[str] = (), where: str = "") -> pa.Table:
        """Return the rows whose `column` has one of the values.

        Args:
            column: `path`, `content_hash` or `scan`.
            values: Values to look for.
            columns: Columns to return; all when empty.
            where: A further SQL condition.
        """
        import pyarrow as pa

        names = list(columns) or self._schema.names
        found = [pa.schema([self._schema.field(name) for name in names]).empty_table()]
        for part in parts(values):
            condition = one_of(column, part) + (f" AND {where}" if where else "")
            query = self.shapes.search().where(condition).select(names).limit(None)
            found.append(query.to_arrow().select(names))
        return pa.concat_tables(found)

    def batches(self, columns: Sequence[str], *, where: str = "", size: int = 1024) -> Iterator[pa.RecordBatch]:
        """Yield the given columns of all rows that satisfy an SQL condition, `size` rows at a time."""
        query = self.shapes.search().select(list(columns)).limit(None)
        with database_errors(unreadable_message(self.uri), FileFormatError):
            yield from (query.where(where) if where else query).to_batches(size)

    @translate_read_errors
    def version(self) -> int:
        """Return the version number of the last write to a row."""
        return int(self.shapes.version)

    @translate_read_errors
    def count(self) -> int:
        """Return the number of indexed files."""
        return int(self.shapes.count_rows(IS_FILE) if self.has_boxes() else self.shapes.count_rows())

    @translate_read_errors
    def count_rows(self) -> int:
        """Return the number of indexed files and of boxes in them."""
        return int(self.shapes.count_rows())

    @translate_read_errors
    def has_boxes(self) -> bool:
        """Return whether the library has boxes in scans."""
        version = int(self.shapes.version)
        if version != self._boxes_version:
            self._boxes_version, self._has_boxes = version, bool(self.shapes.count_rows("scan IS NOT NULL"))
        return self._has_boxes

    @translate_read_errors
    def nearest(self, vector: Float32[np.ndarray, " dim"], columns: Sequence[str], *, where: str = "", limit: int = 10) -> pa.Table:
        """Return the rows whose mean vector is nearest by cosine, nearest first.

        Args:
            vector: Query; need not have unit length.
            columns: Columns to return.
            where: SQL condition.
            limit: Maximum number of rows.
        """
        query: Any = self.shapes.search(vector, vector_column_name="vector")
        query = query.distance_type("cosine").select([*columns, "_distance"]).limit(limit)
        if self._has_index("vector"):
            query = query.nprobes(_PROBES).refine_factor(_REFINE_FACTOR)
        return (query.where(where, prefilter=True) if where else query).to_arrow().select(list(columns))

    @translate_read_errors
    def match_names(self, text: str, *, where: str = "", limit: int = 10) -> list[str]:
        """Return the paths of files whose names contain words of a text, best first."""
        if not self._has_index("name_words"):
            return []
        query: Any = self.shapes.search(text, query_type="fts", fts_columns="name_words").select(["path", "_score"]).limit(limit)
        found: list[str] = (query.where(where, prefilter=True) if where else query).to_arrow()["path"].to_pylist()
        return found

    def set_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Replace the tags of files, by path."""
        self._update([{"path": path, "tags": list(names)} for path, names in tags.items()])

    def set_axes(self, axes: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Replace the up axes of files and where they are known from, by path."""
        self._update([{"path": path, "up": up, "up_source": source} for path, (up, source) in axes.items()])

    @translate_write_errors
    def _update(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace some columns of rows, given by path."""
        import pyarrow as pa

        if rows:
            schema = pa.schema([self.shapes.schema.field(name) for name in rows[0]])
            self.shapes.merge_insert("path").when_matched_update_all().execute(pa.Table.from_pylist([*map(dict, rows)], schema=schema))

    @translate_write_errors
    def record_tag_change(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record one change of tags: `path`, and the tags `before` and `after`, of each file."""
        import pyarrow as pa

        runs = self.changes.search().select(["run"]).limit(None).to_arrow()["run"].to_pylist()
        run = max(runs, default=0) + 1
        if rows:
            self.changes.add(pa.Table.from_pylist([{**row, "run": run} for row in rows], schema=self.changes.schema))

    @translate_read_errors
    def last_tag_change(self) -> list[dict[str, Any]]:
        """Return the rows of the last recorded change of tags."""
        found: list[dict[str, Any]] = self.changes.search().limit(None).to_arrow().to_pylist()
        last = max((row["run"] for row in found), default=0)
        return [row for row in found if row["run"] == last]

    @translate_write_errors
    def delete_tag_change(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Delete the record of a change, given by its rows."""
        if rows:
            self.changes.delete(f"run = {int(rows[0]['run'])}")

    @translate_write_errors
    def compact(self) -> None:
        """Merge small fragments and bring the indices up to date; large libraries also get a vector index.

        If another process compacts at the same time, the work is left to it.
        """
        from lancedb.index import FTS, BTree, HnswSq

        wanted: dict[str, Any] = {"path": BTree(), "content_hash": BTree(), "name_words": FTS()} if self.count_rows() else {}
        if self.count_rows() > LARGE:
            wanted["vector"] = HnswSq(distance_type="cosine", num_partitions=1)
        indexed = self._list_indexed_columns()
        try:
            for table in (self.shapes, self.failures, self.changes):
                table.optimize()
            for column, config in wanted.items():
                if column not in indexed:
                    self.shapes.create_index(column, config=config)
        except (RuntimeError, OSError, ValueError) as error:
            if "conflict" not in str(error).lower():
                raise

    def _migrate(self) -> None:
        """Rename the columns of a library of basrelief 0.1, and add those that earlier versions lack."""
        message = f"Library {self.uri!r} was made by an earlier basrelief and must be converted, but it cannot be written: {{}}. "
        with database_errors(message + "Make it writable, or index the folder into a new library.", OutputError):
            for table, added in ((self.shapes, [*scan_fields(), *axis_fields()]), (self.failures, [])):
                try:
                    convert_columns(table, added)
                except (RuntimeError, OSError, ValueError):
                    names, wanted = set(table.schema.names), {"side_files", *(field.name for field in added)}
                    if names & RENAMED_COLUMNS.keys() or not wanted <= names:  # otherwise another process was quicker
                        raise

    @cached_property
    def _schema(self) -> pa.Schema:
        return self.shapes.schema

    def _has_index(self, column: str) -> bool:
        """Return whether a column has an index; once there, an index stays."""
        if column not in self._indexed_columns:
            self._indexed_columns = self._list_indexed_columns()
        return column in self._indexed_columns

    def _list_indexed_columns(self) -> set[str]:
        return {column for index in self.shapes.list_indices() for column in index.columns}
