"""The demo shapes are what the script writes, small, and readable in every format."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from basrelief.io import load
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.train import UprightSettings
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.upright.data import FIRST_SEED
from basrelief.types import Mesh, PointCloud
from support import REPOSITORY, load_script

FOLDER = REPOSITORY / "examples" / "shapes"
TRAINING_SEEDS = (
    range(max(TinySettings.furniture_per_class, TinySettings.others_per_class)),
    range(FIRST_SEED, FIRST_SEED + UprightSettings.per_category),
)
"""Seeds of generated shapes that the shipped `tiny` and upright weights may have been trained on."""
SEED_PATTERN = re.compile(r"seed(?:=| in \()(\d[\d_]*(?:, [\d_]+)*)")


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
    assert [Path(line).name for line in printed] == [*script.MESHES, *script.CLOUDS]
    assert all(Path(line).is_file() for line in printed)


def test_no_example_has_a_training_seed(script: ModuleType) -> None:
    sources = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "examples").glob("*.py")]
    sources += (REPOSITORY / "src" / "basrelief" / "models").glob("*.py")
    seeds = [
        (source.name, int(seed))
        for source in sources
        for line in source.read_text(encoding="utf-8").splitlines()
        if "make_shape(" in line
        for found in SEED_PATTERN.findall(line)
        for seed in found.split(", ")
    ]
    assert len(seeds) >= 5
    assert [(name, seed) for name, seed in [*seeds, ("make_shapes.py", script.SEED)] if any(seed in used for used in TRAINING_SEEDS)] == []


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.name)
def test_no_shipped_shape_is_a_training_design(file: Path, script: ModuleType) -> None:
    """The bounding box tells designs apart, by more than a rounding error; a cloud has that of the mesh it was sampled from."""
    shape = load(file)
    mesh = shape if isinstance(shape, Mesh) else make_shape(file.stem, seed=script.SEED)
    training = np.array([np.ptp(make_shape(file.stem, seed=seed).vertices, axis=0) for seeds in TRAINING_SEEDS for seed in seeds])
    assert np.abs(training / np.ptp(mesh.vertices, axis=0) - 1).max(axis=1).min() > 1e-3
