"""Tables: opening, rejecting, overwriting, deleting; quotes in texts; vector search with and without an index."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

lancedb = pytest.importorskip("lancedb")
import pyarrow as pa  # noqa: E402

from basrelief.errors import ConfigError, FileFormatError, OutputError  # noqa: E402
from basrelief.geometry.descriptor import DESCRIPTOR_SIZE  # noqa: E402
from basrelief.index import rows, table  # noqa: E402
from basrelief.index.rows import quoted, vectors_of  # noqa: E402
from basrelief.index.schema import FileState, LibraryInfo  # noqa: E402
from basrelief.index.table import Tables  # noqa: E402

INFO = LibraryInfo("tiny", "f" * 64, 3, 8, tuple([0.125] * 8))


def _row(path: str, seed: int, **other: object) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(3, 8)).astype(np.float32)
    row: dict[str, Any] = {
        "path": path,
        "root": "/r",
        "bytes": 10,
        "mtime": 1,
        "content_hash": f"c{seed}",
        "side_files": "",
        "relative_path": path,
        "name_words": path.replace("/", " "),
        "format": "glb",
        "kind": "mesh",
        "faces": seed,
        "points": 3,
        "width": 1.0,
        "depth": 2.0,
        "height": 3.0,
        "tags": [],
        "vector": views.mean(axis=0),
        "views": views.ravel().astype(np.float16),
        "form": np.zeros(DESCRIPTOR_SIZE, np.float32),
        "thumbnail": b"t",
        "sheet": b"s",
    }
    return row | other


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables.create(str(tmp_path / "lib"), INFO)


def test_library_stores_its_info(tables: Tables) -> None:
    assert Tables.open(tables.uri).info == INFO
    assert Tables.exists(tables.uri)
    assert not Tables.exists(tables.uri + "2")


def test_other_databases_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is not a basrelief library. Create one with: basrelief index DIR"):
        Tables.open(str(tmp_path))
    lancedb.connect(tmp_path).create_table("shapes", pa.table({"a": [1]}))
    with pytest.raises(FileFormatError, match="is not a basrelief library"):
        Tables.open(str(tmp_path))


def test_unknown_layout_is_rejected(tmp_path: Path) -> None:
    library, info = str(tmp_path / "lib"), LibraryInfo("tiny", "f", 3, 8, tuple([0.0] * 8), layout=99)
    for ask in (lambda: Tables.create(library, info), lambda: Tables.open(library)):
        with pytest.raises(FileFormatError, match="has layout 99, which this version of basrelief does not read. Update basrelief"):
            ask()


def test_unknown_address_scheme_is_reported() -> None:
    with pytest.raises(ConfigError, match="Cannot open library 'nobody://x': .* Give a folder such as"):
        Tables.exists("nobody://x")


def test_upsert_replaces_rows_by_path(tables: Tables) -> None:
    tables.upsert([_row("a", 1), _row("b", 2)])
    tables.upsert([_row("a", 3)])
    assert tables.count() == 2
    assert tables.indexed_files() == {"a": FileState("/r", 10, 1, "c3"), "b": FileState("/r", 10, 1, "c2")}
    assert [row["faces"] for row in tables.rows("content_hash", ["c3", "c1"], columns=["faces"])] == [3]


def test_file_is_either_indexed_or_failed(tables: Tables) -> None:
    tables.upsert([_row("a", 1)])
    bad = {"path": "a", "root": "/r", "bytes": 5, "mtime": 2, "content_hash": "x", "side_files": "", "reason": "it's broken"}
    tables.upsert_failures([bad])
    assert tables.count() == 0
    assert tables.failed_files() == {"a": FileState("/r", 5, 2, "x")}
    assert tables.failure_reasons() == {"a": "it's broken"}
    tables.upsert([_row("a", 1)])
    assert tables.failed_files() == {}
    tables.delete(["a", "never"])
    assert tables.indexed_files() == {}


@pytest.mark.parametrize("path", ["it's", "a'b''c", "%_\\", "naïve 椅子.glb", "a\nb"])
def test_any_path_can_be_found_and_deleted(tables: Tables, path: str) -> None:
    tables.upsert([_row(path, 1), _row("other", 2)])
    assert [row["path"] for row in tables.rows("path", [path], columns=["path"])] == [path]
    tables.delete([path])
    assert set(tables.indexed_files()) == {"other"}


def test_quotes_are_doubled() -> None:
    assert quoted("it's") == "'it''s'"


def test_many_values_are_queried_in_parts(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_PATHS_PER_QUERY", 3)
    tables.upsert([_row(f"p{i}", i) for i in range(10)])
    assert len(tables.rows("path", [f"p{i}" for i in range(10)], columns=["path"])) == 10
    tables.delete([f"p{i}" for i in range(9)])
    assert set(tables.indexed_files()) == {"p9"}
    assert tables.rows("path", []) == []


def test_batches_hold_every_row_and_their_vectors(tables: Tables) -> None:
    tables.upsert([_row(f"p{i}", i) for i in range(5)])
    batches = list(tables.batches(["path", "views"], where="faces > 0", size=2))
    paths = [path for batch in batches for path in batch.column("path").to_pylist()]
    assert sorted(paths) == ["p1", "p2", "p3", "p4"]
    views = np.concatenate([vectors_of(batch, "views", 8) for batch in batches])
    assert views.shape == (4, 3, 8)
    expected = np.asarray(_row("p3", 3)["views"], np.float32).reshape(3, 8)
    assert np.array_equal(views[paths.index("p3")], expected)


def test_the_nearest_come_first_and_conditions_hold(tables: Tables) -> None:
    tables.upsert([_row(f"p{i}", i) for i in range(20)])
    wanted = np.asarray(_row("p7", 7)["vector"])
    assert tables.nearest(wanted, ["path"], limit=3)["path"][0].as_py() == "p7"
    assert "p7" not in set(tables.nearest(wanted, ["path"], where="faces != 7", limit=20)["path"].to_pylist())


def test_names_are_found_after_compacting(tables: Tables) -> None:
    assert tables.match_names("chair") == []
    tables.upsert([_row("office/chairs", 1), _row("lamp", 2)])
    tables.compact()
    assert tables.match_names("a chair") == ["office/chairs"]
    tables.upsert([_row("armchair chair", 3)])
    tables.compact()
    assert set(tables.match_names("chair")) == {"office/chairs", "armchair chair"}
    assert tables.match_names("chair", where="faces = 3") == ["armchair chair"]
    assert tables.match_names("'; drop") == []


def test_a_large_library_finds_the_same_by_its_index(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.upsert([_row(f"p{i}", i) for i in range(300)])
    wanted = [np.random.default_rng(1000 + i).normal(size=8).astype(np.float32) for i in range(20)]
    exact = [tables.nearest(vector, ["path"])["path"].to_pylist() for vector in wanted]
    monkeypatch.setattr(table, "LARGE", 256)
    tables.compact()
    assert any(index.columns == ["vector"] for index in tables.shapes.list_indices())
    found = [tables.nearest(vector, ["path"])["path"].to_pylist() for vector in wanted]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.95
    tables.upsert([_row("new", 5000)])
    assert tables.nearest(np.asarray(_row("new", 5000)["vector"]), ["path"])["path"][0].as_py() == "new"


def test_tag_changes_are_recorded_in_order(tables: Tables) -> None:
    tables.upsert([_row("a", 1, tags=["x"]), _row("b", 2)])
    assert tables.last_tag_change() == []
    tables.record_tag_change([{"path": "a", "before": ["x"], "after": ["y"]}])
    tables.record_tag_change([{"path": "b", "before": [], "after": ["z"]}])
    tables.set_tags({"a": ["y"], "b": ["z"]})
    assert {row["path"]: row["tags"] for row in tables.rows("path", ["a", "b"])} == {"a": ["y"], "b": ["z"]}
    assert np.array_equal(tables.rows("path", ["a"])[0]["vector"], _row("a", 1)["vector"])  # nothing else moved
    last = tables.last_tag_change()
    assert [row["path"] for row in last] == ["b"]
    tables.delete_tag_change(last)
    assert [row["path"] for row in tables.last_tag_change()] == ["a"]


def test_compacting_conflicts_are_ignored(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.upsert([_row("a", 1)])

    def preempted() -> None:
        raise RuntimeError("Retryable commit conflict for version 13")

    monkeypatch.setattr(tables.shapes, "optimize", preempted, raising=False)
    tables.compact()

    def broken() -> None:
        raise RuntimeError("no space left")

    monkeypatch.setattr(tables.shapes, "optimize", broken, raising=False)
    with pytest.raises(OutputError, match="Cannot write to library .*: no space left. Free some space"):
        tables.compact()


def test_interrupted_creation_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = lancedb.db.LanceDBConnection.create_table

    def cut_short(self: object, name: str, **options: object) -> object:
        if name == "shapes" and not made:
            made.append(name)
            raise KeyboardInterrupt
        return real(self, name, **options)

    monkeypatch.setattr(lancedb.db.LanceDBConnection, "create_table", cut_short)
    with pytest.raises(KeyboardInterrupt):
        Tables.create(str(tmp_path / "lib"), INFO)
    assert not Tables.exists(str(tmp_path / "lib"))
    assert Tables.create(str(tmp_path / "lib"), INFO).info == INFO


def test_two_writers_of_the_same_new_paths_leave_one_row_of_each(tmp_path: Path) -> None:
    uri, together = str(tmp_path / "lib.lance"), threading.Barrier(2)
    Tables.create(uri, INFO)

    def write(kind: str) -> None:
        tables = Tables.open(uri)
        for turn in range(6):
            together.wait(timeout=60)
            tables.upsert([_row(f"{turn}-{i}", i, kind=kind) for i in range(4)])
            bad = {"path": f"bad-{turn}", "root": "/r", "bytes": 5, "mtime": 2, "content_hash": "x", "side_files": "", "reason": kind}
            tables.upsert_failures([bad])

    writers = [threading.Thread(target=write, args=(kind,)) for kind in ("mesh", "cloud")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    tables = Tables.open(uri)
    assert tables.count() == len(tables.indexed_files()) == 24
    assert tables.failures.count_rows() == len(tables.failed_files()) == 6
