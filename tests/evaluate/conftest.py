"""A small labelled folder of generated shapes, and `tiny`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import basrelief as br
from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import VectorCache
from basrelief.evaluate import EvalCard
from basrelief.evaluate.run import run_evaluation
from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.models import Embedder, Model
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud

CLASSES = ("airplane", "chair", "mug", "table")


@pytest.fixture(scope="session")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of three shapes, clouds of 1,024 points."""
    root = tmp_path_factory.mktemp("data") / "generated"
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for seed in range(3):
            shape = make_shape(name, seed=500 + seed)
            cloud = sample_surface(shape, 1024, seed=seed) if isinstance(shape, Mesh) else shape
            save(PointCloud(np.asarray(cloud.points)), root / name / f"{seed}.ply")
    return root


@pytest.fixture
def benchmark(folder: Path) -> Benchmark:
    return open_benchmark(folder)


@pytest.fixture
def embedder(tiny: Model, tmp_path: Path) -> Embedder:
    return Embedder(tiny, VectorCache(tmp_path / "shapes.sqlite"))


@pytest.fixture(scope="session")
def _evaluated(tiny: Model, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EvalCard]:
    """The cache and the card of a zero-shot evaluation of the folder."""
    path = tmp_path_factory.mktemp("card") / "shapes.sqlite"
    return path, run_evaluation(Embedder(tiny, VectorCache(path)), open_benchmark(folder)).card


@pytest.fixture(scope="session")
def card(_evaluated: tuple[Path, EvalCard]) -> EvalCard:
    return _evaluated[1]


@pytest.fixture
def warm_embedder(tiny: Model, _evaluated: tuple[Path, EvalCard], tmp_path: Path) -> Embedder:
    """An embedder whose cache holds the shapes of the folder already."""
    return Embedder(tiny, VectorCache(Path(shutil.copy(_evaluated[0], tmp_path / "shapes.sqlite"))))


@pytest.fixture
def broken(benchmark: Benchmark, tmp_path: Path) -> Benchmark:
    """The same with one file that cannot be read and one that is absent."""
    from dataclasses import replace

    (tmp_path / "junk.ply").write_bytes(b"ply\njunk")
    first, second, *rest = benchmark.items
    items = (replace(first, path=str(tmp_path / "junk.ply")), replace(second, path=str(tmp_path / "absent.ply")), *rest)
    return replace(benchmark, items=items)
