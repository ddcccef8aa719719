"""Up axes in a library: one policy for all commands, recorded, and files whose axis changes are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

trimesh = pytest.importorskip("trimesh")

from basrelief.errors import ConfigError  # noqa: E402
from basrelief.geometry import rotate, rotation_to_z_up  # noqa: E402
from basrelief.index import Index, IndexOptions, add  # noqa: E402
from basrelief.io import load, save  # noqa: E402
from basrelief.models import Model, classify_files  # noqa: E402
from basrelief.models.inputs import as_shapes  # noqa: E402
from basrelief.shapes import make_shape  # noqa: E402
from basrelief.types import Mesh  # noqa: E402
from basrelief.web.workers import ViewerTask, write_viewer_file  # noqa: E402

NAMES = ("chair", "table", "car", "bench")


def write(path: Path, name: str, seed: int, axis: str = "y") -> Path:
    """Write a shape without a mark."""
    shape = make_shape(name, seed=seed)
    assert isinstance(shape, Mesh)
    turned = rotate(shape, rotation_to_z_up(axis).T)
    path.write_bytes(trimesh.Trimesh(turned.vertices, turned.faces, process=False).export(file_type="obj").encode().partition(b"\n")[2])
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Four +Y up .obj files without marks, and a .glb."""
    home = tmp_path / "files"
    home.mkdir()
    for i, name in enumerate(NAMES):
        write(home / f"{name}.obj", name, 60 + i)
    save(make_shape("mug", seed=2), home / "mug.glb")
    return home


def axes(index: Index) -> dict[str, tuple[str | None, str | None]]:
    return {Path(path).name: axis for path, axis in index.tables.axes().items()}


def run(index: Index, files: Path, up: str | None = None) -> tuple[int, int]:
    report = index.add(files, options=IndexOptions(up=up))
    assert report.failures == []
    return report.read, report.unchanged


def test_a_changed_axis_reads_again_exactly_what_changes(files: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(empty_index, files) == (5, 0)
    assert axes(empty_index) == {f"{name}.obj": ("y", "evidence") for name in NAMES} | {"mug.glb": ("y", "stated")}
    before = {path: np.asarray(row) for path, row in _vectors(empty_index).items()}
    assert run(empty_index, files) == (0, 5)
    assert run(empty_index, files, "y") == (0, 5)  # the same axis: only the record changes
    assert set(axes(empty_index).values()) == {("y", "given")}
    assert run(empty_index, files, "z") == (5, 0)
    assert set(axes(empty_index).values()) == {("z", "given")}
    turned = _vectors(empty_index)
    assert all(not np.allclose(turned[path], before[path], atol=1e-3) for path in before)
    opened = []
    real = add.read_file
    monkeypatch.setattr(add, "read_file", lambda path, options: opened.append(path.name) or real(path, options))
    assert run(empty_index, files) == (0, 5)  # continues what was chosen
    write(files / "new.obj", "sofa", 70)
    assert run(empty_index, files) == (1, 5)
    assert axes(empty_index)["new.obj"] == ("z", "given")
    assert run(empty_index, files, "auto") == (6, 0)
    assert axes(empty_index) == {f"{name}.obj": ("y", "evidence") for name in (*NAMES, "new")} | {"mug.glb": ("y", "stated")}
    assert opened == ["new.obj", *sorted(name for name in axes(empty_index))]
    again = _vectors(empty_index)
    assert all(np.allclose(again[path], before[path], atol=1e-5) for path in before)


def _vectors(index: Index) -> dict[str, np.ndarray]:
    rows = index.tables.rows("path", list(index.tables.indexed_files()), columns=["path", "vector"])
    return {row["path"]: np.asarray(row["vector"]) for row in rows}


def test_a_folder_votes_again_when_files_are_added(files: Path, empty_index: Index) -> None:
    assert run(empty_index, files) == (5, 0)
    wrong = {path: ("z", "evidence") for path in empty_index.tables.axes() if path.endswith(("car.obj", "chair.obj"))}
    empty_index.tables.set_axes(wrong)
    assert run(empty_index, files) == (0, 5)  # nothing changed, nothing is looked at
    write(files / "new.obj", "sofa", 70)
    assert run(empty_index, files) == (3, 3)
    assert {axis for axis, source in axes(empty_index).values() if source == "evidence"} == {"y"}


def test_libraries_without_axes_are_brought_up_to_date(files: Path, empty_index: Index) -> None:
    save(make_shape("mug", seed=3), files / "mug.stl")
    assert run(empty_index, files) == (6, 0)
    empty_index.tables.set_axes(dict.fromkeys(empty_index.tables.axes(), (None, None)))
    assert run(empty_index, files) == (4, 2)  # +Z was assumed for .obj
    assert axes(empty_index)["mug.stl"] == ("z", "stated")
    assert run(empty_index, files) == (0, 6)


def test_copies_take_vectors_of_the_same_axis_only(files: Path, empty_index: Index) -> None:
    run(empty_index, files, "z")
    (files / "copy.obj").write_bytes((files / "chair.obj").read_bytes())
    report = empty_index.add(files)
    assert (report.reused, report.read) == (1, 0)
    assert axes(empty_index)["copy.obj"] == ("z", "given")
    assert run(empty_index, files, "auto") == (5, 0)
    assert axes(empty_index)["copy.obj"] == ("y", "evidence")


def test_all_commands_share_the_policy(files: Path, empty_index: Index, model: Model) -> None:
    paths = sorted(files.glob("*.obj"))
    write(files / "bench.obj", "bench", 63, "y")
    run(empty_index, files)
    recorded = [axes(empty_index)[path.name][0] for path in paths]
    classified = [result.shape.origin.up for result in classify_files(model, paths, labels=NAMES) if result.shape and result.shape.origin]
    given = [shape.origin.up for shape in as_shapes(paths) if shape.origin]
    alone = [shape.origin.up for shape in map(load, paths) if shape.origin]
    assert recorded == classified == given == alone == ["y"] * 4


def test_the_page_shows_a_file_by_its_recorded_axis(files: Path, tmp_path: Path) -> None:
    upright, lying = (load(write_viewer_file(ViewerTask(files / "chair.obj", tmp_path / f"view{up}", up=up))) for up in (None, "z"))
    assert isinstance(upright, Mesh)
    assert isinstance(lying, Mesh)
    assert np.ptp(upright.vertices, axis=0) == pytest.approx(np.ptp(lying.vertices, axis=0)[[0, 2, 1]], rel=1e-4)


def test_a_query_shape_can_be_given_an_axis(files: Path, tmp_path: Path, empty_index: Index) -> None:
    run(empty_index, files)
    query = write(tmp_path / "query.obj", "chair", 60)
    known = str((files / "chair.obj").resolve())
    (best, *_), other = empty_index.similar(query), empty_index.similar(query, up="z")
    assert best.path == known
    assert best.score > next(hit.score for hit in other if hit.path == known) + 0.01


def test_an_unknown_axis_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown up axis 'w'"):
        IndexOptions(up="w")
