"""Libraries of basrelief 0.1, whose columns had other names: converted when they are opened."""

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
from basrelief.io import save  # noqa: E402
from basrelief.models import Model  # noqa: E402
from basrelief.shapes import make_shape  # noqa: E402

OBJ = "mtllib look.mtl\nusemtl one\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    save(make_shape("mug", seed=1), folder / "good.ply")
    return folder


@pytest.fixture
def index(tmp_path: Path, model: Model) -> Index:
    return Index.open(tmp_path / "lib.lance", model=model)


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
    folder: Path, index: Index, model: Model, monkeypatch: pytest.MonkeyPatch, side_files: bool
) -> None:
    (folder / "red.obj").write_text(OBJ)
    (folder / "bad.ply").write_text("junk")
    index.add(folder)
    before = index.search("mug")
    _downgrade(index.uri, side_files=side_files)
    old = Index.open(index.uri, model=model)
    assert [(hit.path, hit.score, hit.metadata["relative_path"]) for hit in old.search(Query(("mug",), match_names=False))] == [
        (hit.path, hit.score, hit.metadata["relative_path"]) for hit in before
    ]
    assert len(old.tables.indexed_files()) == 2
    assert old.tables.info.text_mean == index.tables.info.text_mean
    read, real = [], add.read_file
    monkeypatch.setattr(add, "read_file", lambda path, options: read.append(path.name) or real(path, options))
    report = old.add(folder)
    expected = (0, 0, 3, []) if side_files else (2, 0, 0, ["bad.ply"])
    assert (report.reused, report.read, report.unchanged, read) == expected
    assert old.add(folder).unchanged == 3
    assert old.search("red", top_k=1)[0].name_match


def test_an_old_library_that_cannot_be_written_says_what_to_do(index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add(folder)
    _downgrade(index.uri, side_files=True)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(table, "_rename_columns", refuse)
    with pytest.raises(OutputError, match="was made by basrelief 0.1 and must be converted, but it cannot be written: .* Make it writable"):
        Index.open(index.uri)
