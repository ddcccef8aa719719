"""Damaged, unwritable and foreign libraries: each raises our errors, and stored rows stay."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

lancedb = pytest.importorskip("lancedb")

from basrelief.errors import BasreliefError, ConfigError, FileFormatError, GeometryError, OutputError  # noqa: E402
from basrelief.index import Index  # noqa: E402
from basrelief.index.read import FileOptions, read_file  # noqa: E402
from basrelief.index.schema import _METADATA_KEY  # noqa: E402
from basrelief.models import Model  # noqa: E402

from .conftest import PLACES, write_shapes  # noqa: E402

FULL = """
import resource, sys
from pathlib import Path
from basrelief.errors import OutputError
from basrelief.index import Index
index = Index.open(sys.argv[1])
_ = index.model
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    index.add(Path(sys.argv[2]))
except OutputError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_reported_and_written_rows_stay(own: Index, tmp_path: Path) -> None:
    files = write_shapes(tmp_path / "files")
    (tmp_path / "script.py").write_text(FULL)
    command = [sys.executable, str(tmp_path / "script.py"), own.uri, str(files), "3000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Cannot write to library {own.uri!r}: ")
    assert "Free some space" in done.stdout
    assert len(Index.open(own.uri)) == len(PLACES)
    assert own.add(files).reused == len(PLACES)


@pytest.mark.parametrize("size", [0, 7, 100])
def test_truncated_data_files_are_reported(own: Index, model: Model, size: int) -> None:
    for path in Path(own.uri).rglob("*.lance"):
        if path.is_file():
            os.truncate(path, size)
    index = Index.open(own.uri, model=model)
    for ask in (
        lambda: index.search("mug"),
        index.duplicates,
        index.tables.indexed_files,
        lambda: list(index.propose_tags(["a", "b"])),
    ):
        with pytest.raises(FileFormatError, match="Library .* cannot be read: .* Restore it"):
            ask()


def test_truncated_manifests_are_reported(own: Index) -> None:
    for path in Path(own.uri).rglob("*.manifest"):
        os.truncate(path, 5)
    with pytest.raises(FileFormatError, match="is not a basrelief library. Create one with"):
        Index.open(own.uri)


@pytest.mark.parametrize("wrong", [{"dim": 7}, {"views": 3}, {"text_mean": [0.0]}, {"dim": "x"}])
def test_inconsistent_metadata_is_reported(own: Index, tmp_path: Path, wrong: dict[str, object]) -> None:
    import json

    info = {**asdict(own.tables.info), **wrong}
    database = lancedb.connect(tmp_path / "other.lance")
    for name in ("shapes", "failures", "changes"):
        table = getattr(own.tables, name).to_arrow()
        schema = table.schema.with_metadata({_METADATA_KEY: json.dumps(info).encode()}) if name == "shapes" else table.schema
        database.create_table(name, table.cast(schema), schema=schema)
    with pytest.raises(FileFormatError, match="is not a basrelief library|cannot be read"):
        Index.open(tmp_path / "other.lance")


@pytest.mark.parametrize("uri", ["", "a\0b", "x" * 5000, "foo://bar", "gs://"])
def test_invalid_addresses_are_rejected(uri: str, made: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot open library .* Give a folder such as library.lance"):
        Index.open(uri).add(made / "files")


def test_path_above_the_root_is_resolved(made: Path) -> None:
    assert len(Index.open("../" * 200 + str(made / "lib.lance").lstrip("/"))) == len(PLACES)


def test_library_below_a_file_cannot_be_created(made: Path, tmp_path: Path, model: Model) -> None:
    (tmp_path / "file").write_text("x")
    for uri in (tmp_path / "file", tmp_path / "file" / "lib.lance"):
        with pytest.raises(BasreliefError, match="Cannot open library|Cannot create library"):
            Index.open(uri, model=model).add(made / "files")


def test_write_errors_are_reported(own: Index, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own.tables.changes, "add", full, raising=False)
    with pytest.raises(OutputError, match="Cannot write to library .*No space left on device"):
        own.tag({str(made / "files" / "car.off"): ["x"]})


def test_extent_beyond_float32_is_rejected(tmp_path: Path, model: Model) -> None:
    (tmp_path / "far.xyz").write_text("3e38 0 0\n-3e38 0 0\n0 1e38 1\n")
    with pytest.raises(GeometryError):
        read_file(tmp_path / "far.xyz", FileOptions(model.input))


def test_many_threads_load_the_model_once_and_search_alike(made: Path, model: Model) -> None:
    loaded: list[str] = []
    start = threading.Barrier(8)

    def load(name: str) -> Model:
        loaded.append(name)
        time.sleep(0.05)
        return model

    index = Index.open(made / "lib.lance", loader=load)
    found: list[list[str]] = []

    def search() -> None:
        start.wait()
        for _ in range(3):
            found.append([hit.path for hit in index.search("mug", top_k=3)])

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == ["tiny"]
    assert len(found) == 24
    assert len({tuple(paths) for paths in found}) == 1


def test_top_k_may_exceed_the_number_of_files(index: Index) -> None:
    assert len(index.search("mug", top_k=10**18)) == len(PLACES)
