"""A library of a few generated shapes, and copies of it to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

import basrelief as br
from basrelief.index import Index, IndexOptions
from basrelief.io import save
from basrelief.models import Model
from basrelief.shapes import make_shape

PLACES = ("seats/chair_1.glb", "seats/oldChair2.ply", "tables/table.obj", "kitchen/mug.stl", "kitchen/deep/bottle.glb", "car.off")
RED_OBJ = "mtllib look.mtl\nusemtl one\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"
MADE = ("chair", "chair", "table", "mug", "bottle", "car")


@pytest.fixture(scope="session")
def model() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


def write_shapes(root: Path) -> Path:
    for seed, (place, name) in enumerate(zip(PLACES, MADE, strict=True)):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        save(make_shape(name, seed=100_000 + seed), root / place)
    return root


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A folder with `files` and the library of it, `lib.lance`; not to be changed."""
    home = tmp_path_factory.mktemp("made")
    Index.open(home / "lib.lance", model=model).add(write_shapes(home / "files"), options=IndexOptions())
    return home


@pytest.fixture
def index(made: Path, model: Model) -> Index:
    return Index.open(made / "lib.lance", model=model)


@pytest.fixture
def own(made: Path, tmp_path: Path, model: Model) -> Index:
    """A library of its own to change, of the same files."""
    shutil.copytree(made / "lib.lance", tmp_path / "lib.lance")
    return Index.open(tmp_path / "lib.lance", model=model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one shape, `good.ply`."""
    home = tmp_path / "files"
    home.mkdir()
    save(make_shape("mug", seed=1), home / "good.ply")
    return home


@pytest.fixture
def empty_index(tmp_path: Path, model: Model) -> Index:
    """A library without files, to change."""
    return Index.open(tmp_path / "lib.lance", model=model)


def places(index: Index) -> set[str]:
    return {place for batch in index.tables.batches(["relative_path"]) for place in batch.column("relative_path").to_pylist()}
