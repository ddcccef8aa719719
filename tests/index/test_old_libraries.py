"""Conversion of libraries of basrelief 0.1, whose columns had other names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

lancedb = pytest.importorskip("lancedb")
import pyarrow as pa  # noqa: E402
from lancedb.index import FTS  # noqa: E402

from basrelief.errors import OutputError  # noqa: E402
from basrelief.index import Index, Query, add, table  # noqa: E402
from basrelief.index.schema import RENAMED_COLUMNS  # noqa: E402
from basrelief.models import Model  # noqa: E402

from .conftest import RED_OBJ  # noqa: E402


def _downgrade(uri: str, *, side_files: bool) -> None:
    """Give a library the columns and metadata of basrelief 0.1, whose first versions had no column for side files."""
    database = lancedb.connect(uri)
    old_names = {new: old for old, new in RENAMED_COLUMNS.items()}
    for name in ("shapes", "failures"):
        rows = database.open_table(name).to_arrow()
        if not side_files:
            rows = rows.drop_columns(["side_files"])
        metadata = rows.schema.metadata
        if name == "shapes":
            record = json.loads(metadata[b"basrelief"])
            record |= {"common": record.pop("text_mean"), "layout": 1}
            metadata = {b"basrelief": json.dumps(record).encode()}
        schema = pa.schema([field.with_name(old_names.get(field.name, field.name)) for field in rows.schema], metadata=metadata)
        old = database.create_table(name, pa.Table.from_arrays(rows.columns, schema=schema), schema=schema, mode="overwrite")
        if name == "shapes":
            old.create_index("words", config=FTS())


@pytest.mark.parametrize("side_files", [True, False])
def test_a_library_of_version_0_1_is_converted_when_opened(
    folder: Path, empty_index: Index, model: Model, monkeypatch: pytest.MonkeyPatch, side_files: bool
) -> None:
    (folder / "red.obj").write_text(RED_OBJ)
    (folder / "bad.ply").write_text("junk")
    empty_index.add(folder)
    before = empty_index.search("mug")
    _downgrade(empty_index.uri, side_files=side_files)
    old = Index.open(empty_index.uri, model=model)
    assert [(hit.path, hit.score, hit.metadata["relative_path"]) for hit in old.search(Query(("mug",), match_names=False))] == [
        (hit.path, hit.score, hit.metadata["relative_path"]) for hit in before
    ]
    assert len(old.tables.indexed_files()) == 2
    assert old.tables.info.text_mean == empty_index.tables.info.text_mean
    read, real = [], add.read_file
    monkeypatch.setattr(add, "read_file", lambda path, options: read.append(path.name) or real(path, options))
    report = old.add(folder)
    expected = (0, 0, 3, []) if side_files else (2, 0, 0, ["bad.ply"])
    assert (report.reused, report.read, report.unchanged, read) == expected
    assert old.add(folder).unchanged == 3
    assert old.search("red", top_k=1)[0].name_match


def test_an_old_library_that_cannot_be_written_says_what_to_do(empty_index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty_index.add(folder)
    _downgrade(empty_index.uri, side_files=True)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(table, "convert_columns", refuse)
    with pytest.raises(
        OutputError, match="was made by an earlier basrelief and must be converted, but it cannot be written: .* Make it writable"
    ):
        Index.open(empty_index.uri)
