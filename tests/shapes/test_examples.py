"""The demo shapes are what the script writes, small, and readable in every format."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from basrelief.io import load
from basrelief.shapes import CATEGORIES
from basrelief.types import Mesh, PointCloud
from support import REPOSITORY, load_script

FOLDER = REPOSITORY / "examples" / "shapes"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("examples/make_shapes.py")


@pytest.fixture(scope="module")
def written(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    script.main(folder)
    return folder


def test_the_folder_holds_what_the_script_writes(written: Path) -> None:
    assert {f.name for f in FOLDER.iterdir()} == {f.name for f in written.iterdir()}


def test_shipped_files_are_up_to_date(written: Path) -> None:
    for file in sorted(written.iterdir()):
        made, shipped = load(file), load(FOLDER / file.name)
        assert type(made) is type(shipped)
        first, second = (s.vertices if isinstance(s, Mesh) else s.points for s in (made, shipped))
        assert np.allclose(first, second, atol=1e-5), file.name


def test_there_are_five_formats_and_both_kinds() -> None:
    assert {f.suffix for f in FOLDER.iterdir()} == {".glb", ".obj", ".ply", ".stl", ".off"}
    assert {type(load(f)) for f in FOLDER.iterdir()} == {Mesh, PointCloud}


def test_files_are_small() -> None:
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) < 300_000


def test_file_names_are_categories() -> None:
    assert {f.stem for f in FOLDER.iterdir()} <= set(CATEGORIES)


def test_the_script_says_what_it_wrote(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(tmp_path / "new")
    printed = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in printed] == [*script.SHAPES, *script.CLOUDS]
    assert all(Path(line).is_file() for line in printed)
