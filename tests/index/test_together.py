"""Concurrent readers and writers of one library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from basrelief.index import Index
from basrelief.io import save
from basrelief.models import Model
from basrelief.shapes import make_shape

from .conftest import PLACES, places, write_shapes

RUN = """
import sys
from pathlib import Path
from basrelief.index import Index, add
add._ROWS_PER_WRITE = add.SHAPES_PER_PASS = 3
if __name__ == "__main__":
    report = Index.open(sys.argv[1]).add(Path(sys.argv[2]))
    print(report.read, report.reused, len(report.failures))
"""


def test_writes_of_another_handle_are_visible(own: Index, model: Model, tmp_path: Path) -> None:
    other = Index.open(own.uri, model=model)
    assert len(other) == len(PLACES)
    (tmp_path / "new").mkdir()
    save(make_shape("lamp", seed=4), tmp_path / "new" / "lamp.glb")
    own.add(tmp_path / "new")
    assert len(other) == len(PLACES) + 1
    assert other.search("lamp", top_k=1)[0].metadata["relative_path"] == "lamp.glb"
    other.tag({str(tmp_path / "new" / "lamp.glb"): ["light"]})
    assert own.tables.rows("path", [str(tmp_path / "new" / "lamp.glb")], columns=["tags"]) == [{"tags": ["light"]}]


@pytest.mark.slow
def test_two_runs_at_once_leave_every_file_once(tmp_path: Path, model: Model) -> None:
    files = write_shapes(tmp_path / "files")
    library = tmp_path / "lib.lance"
    Index.open(library, model=model).add(files / "tables")
    script = tmp_path / "script.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), str(library), str(files)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate(timeout=240)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    index = Index.open(library, model=model)
    assert len(index) == len(index.tables.indexed_files()) == len(PLACES)
    assert places(index) == set(PLACES)


def test_subfolder_indexed_first_merges_into_its_parent(tmp_path: Path, model: Model) -> None:
    files = write_shapes(tmp_path / "files")
    index = Index.open(tmp_path / "lib.lance", model=model)
    index.add(files / "kitchen")
    assert places(index) == {"mug.stl", "deep/bottle.glb"}
    report = index.add(files)
    assert places(index) == set(PLACES)
    assert (report.read, report.reused) == (len(PLACES) - 2, 2)
    assert index.add(files / "kitchen").unchanged == 2
    save(make_shape("lamp", seed=4), files / "kitchen" / "lamp.glb")
    assert index.add(files / "kitchen").read == 1
    assert places(index) == {*PLACES, "kitchen/lamp.glb"}
    (files / "kitchen" / "lamp.glb").unlink()
    index.add(files)
    (files / "kitchen" / "mug.stl").unlink()
    assert index.add(files).removed == 1
    assert len(index) == len(PLACES) - 1
