"""Rows of a table: SQL conditions, writing, deleting, converting old columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from basrelief.index.schema import RENAMED_COLUMNS, FileState

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table

IS_FILE = "scan IS NULL"
"""SQL condition of rows of files; other rows are boxes in scans."""

_PATHS_PER_QUERY = 256
_FILE_STATE_COLUMNS = ("path", "root", "bytes", "mtime", "content_hash", "side_files")


def quoted(text: str) -> str:
    """Quote a text for LanceDB's SQL."""
    return "'" + text.replace("'", "''") + "'"


def vectors_of(batch: pa.RecordBatch | pa.Table, column: str, dim: int) -> Float32[np.ndarray, "rows vectors dim"]:
    """Return a column of vectors as an array; a row may hold several vectors, one after the other."""
    values = batch.column(column)
    whole = values.combine_chunks() if hasattr(values, "combine_chunks") else values
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    vectors: np.ndarray = flat.astype(np.float32).reshape(batch.num_rows, -1, dim)
    return vectors


def check_columns(schema: pa.Schema, expected: pa.Schema) -> None:
    """Check that a table has all columns it should have.

    Raises:
        ValueError: If one is missing or of another type.
    """
    for field in expected:
        if field.name not in schema.names or schema.field(field.name).type != field.type:
            raise ValueError(f"there is no column {field.name!r} of type {field.type}")


def convert_columns(table: Table, added: Sequence[pa.Field] = ()) -> None:
    """Rename the columns of a table of basrelief 0.1, and add those that earlier versions lack."""
    names = table.schema.names
    renamed = [{"path": old, "rename": new} for old, new in RENAMED_COLUMNS.items() if old in names]
    if renamed:
        table.alter_columns(*renamed)  # type: ignore[arg-type] # LanceDB's annotation is wrong
    if not {"beside", "side_files"} & set(names):
        table.add_columns({"side_files": "CAST(NULL AS STRING)"})
    lacking = [field for field in added if field.name not in names]
    if lacking:
        table.add_columns(lacking)


def upsert(table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, replacing those of the same path, as one version of the table."""
    import pyarrow as pa

    if rows:
        data = pa.Table.from_pylist([dict(row) for row in rows], schema=table.schema)
        table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all().execute(data)


def delete_rows(table: Table, column: str, values: Sequence[str]) -> None:
    """Delete the rows whose `column` has one of the values."""
    if table.count_rows() == 0:
        return
    for part in parts(values):
        table.delete(one_of(column, part))


def file_states(table: Table, where: str = "") -> dict[str, FileState]:
    """Return what a table records of files, by path."""
    query = table.search().select(list(_FILE_STATE_COLUMNS)).limit(None)
    found = (query.where(where) if where else query).to_arrow().to_pydict()
    return {path: FileState(*state) for path, *state in zip(*(found[name] for name in _FILE_STATE_COLUMNS), strict=True)}


def one_of(column: str, values: Sequence[str]) -> str:
    """Return the SQL condition that a column has one of the values."""
    return f"{column} IN ({', '.join(map(quoted, values))})"


def parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the values in parts that one query can hold."""
    yield from (values[start : start + _PATHS_PER_QUERY] for start in range(0, len(values), _PATHS_PER_QUERY))
