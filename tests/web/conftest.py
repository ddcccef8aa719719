"""A library behind a service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

import basrelief as br
from basrelief.index import Index
from basrelief.io import save
from basrelief.models import Model
from basrelief.testing import make_shape
from basrelief.web import LibraryService

FILES = {"seats/chair.glb": "chair", "mug.ply": "mug", "car.off": "car"}


@pytest.fixture(scope="session")
def model() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    home = tmp_path_factory.mktemp("web")
    for place, name in FILES.items():
        (home / "files" / place).parent.mkdir(parents=True, exist_ok=True)
        save(make_shape(name, seed=100_010), home / "files" / place)
    Index.open(home / "lib.lance", model=model).add(home / "files")
    return home


@pytest.fixture
def service(made: Path, tmp_path: Path, model: Model) -> Iterator[LibraryService]:
    """A service with a library of its own, of the same files; it reads in this process."""
    shutil.copytree(made / "lib.lance", tmp_path / "lib.lance")
    (tmp_path / "more").mkdir()
    found = LibraryService(Index.open(tmp_path / "lib.lance", model=model), roots=(tmp_path / "more",), jobs=0)
    yield found
    found.close()
