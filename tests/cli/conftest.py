"""Fixtures that run commands in this process, and files to pass to them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from basrelief.cli import main
from basrelief.datasets import open_benchmark
from basrelief.io import save
from basrelief.processes import WorkerPool
from basrelief.shapes import write_library
from basrelief.train import AlignedMaker, AlignedSettings, make_records
from support.small_models import ball, box


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def no_worker_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in this process, because a worker takes a second or two to start; tests marked `workers` start them."""
    start = WorkerPool.__init__
    if "workers" not in request.keywords:
        monkeypatch.setattr(WorkerPool, "__init__", lambda self, jobs, **options: start(self, min(jobs, 0), **options))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["basrelief", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return Ended(int(code or 0), captured.out, captured.err)  # type: ignore[call-overload]

    return call


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "box.glb", tmp_path / "ball.ply"]
    save(box(), found[0])
    save(ball(), found[1])
    return found


@pytest.fixture(scope="session")
def _drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chairs and two mugs in `meshes`, their depth-aligned images in `images`."""
    home = tmp_path_factory.mktemp("drawn")
    library = open_benchmark(write_library(home / "meshes", ("chair", "mug"), each=2), "folder")
    make_records(library, home / "images", maker=AlignedMaker(AlignedSettings(source="shaded", size=32, points=600)))
    return home


@pytest.fixture
def meshes(_drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_drawn / "meshes", tmp_path / "meshes"))


@pytest.fixture
def images(_drawn: Path, tmp_path: Path) -> Path:
    """Depth-aligned images of the same shapes."""
    return Path(shutil.copytree(_drawn / "images", tmp_path / "images"))
