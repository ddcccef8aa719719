"""Colour recipes in everything that works on files: libraries, scans, the page's workers, doctor."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import basrelief as br
from basrelief.evaluate import DataSource, ModelSource, diagnose
from basrelief.index import Index, Query
from basrelief.index.read import FileOptions
from basrelief.models import Model, get_recipe
from basrelief.processes import Failure, WorkerPool
from basrelief.scenes import detect
from basrelief.web.workers import ShapeTask, render_shape
from support.small_models import small_encoder
from support.small_scenes import given, planted_scene
from support.textured import BLUE, RED, textured_gltf

NAMES = ("views-clip-b32", "views-depth-clip-b16")


def small(name: str) -> Model:
    rig = {"rig": [[0, 20], [120, 20]], "distance": 2.5, "fit": "frame"}
    return Model(replace(get_recipe(name), shaded=rig, points=400), small_encoder())


@pytest.mark.parametrize("name", [pytest.param(NAMES[0], marks=pytest.mark.slow), NAMES[1]])
def test_a_library_keeps_and_finds_colour_views(name: str, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    model = small(name)
    (tmp_path / "files").mkdir()
    for file, left, right in (("red", RED, RED), ("blue", BLUE, BLUE)):
        textured_gltf(tmp_path / "files" / f"{file}.gltf", left=left, right=right)
    index = Index.open(tmp_path / "lib.lance", model=model)
    assert index.add(tmp_path / "files").read == 2
    assert index.tables.info.views == model.views
    (row,) = index.tables.rows("path", [str(tmp_path / "files" / "red.gltf")])
    views = model.embed_views(tmp_path / "files" / "red.gltf")[0].numpy()
    assert np.allclose(np.reshape(row["views"], views.shape).astype(np.float32), views, atol=2e-3)
    sheet = np.asarray(Image.open(io.BytesIO(row["sheet"])).convert("RGB")).astype(int)
    assert (sheet[..., 0] - sheet[..., 2] > 60).any(), "the sheet of views shows red"
    query = Query(shapes=(textured_gltf(tmp_path / "other.gltf", left=BLUE, right=BLUE),))
    assert index.search(query)[0].path.endswith("blue.gltf")


@pytest.mark.slow
def test_workers_prepare_colour_views_for_libraries_and_the_page(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    file, model = textured_gltf(tmp_path / "box.gltf"), small(NAMES[1])
    options = FileOptions(model.input)
    with WorkerPool(1) as pool:
        (rendered,) = pool.map(render_shape, [ShapeTask(file, options)])
    assert not isinstance(rendered, Failure)
    assert rendered.pictures.shape == (12, 32, 32, 3)
    here = model.prepare([br.load(file)])[0].numpy()
    np.testing.assert_allclose(rendered.prepared, here, atol=1e-5)


def test_crops_of_a_scan_are_drawn_in_colour() -> None:
    scene, boxes = planted_scene(["chair", "lamp"], points=600, floor=300)
    found = detect(scene, ["chair", "lamp"], model=small(NAMES[0]), proposals=given(boxes))
    assert len(found.view_embeddings) == len(found)
    assert found.view_embeddings.shape[1] == 2


def test_doctor_knows_colour_recipes(tmp_path: Path) -> None:
    file = textured_gltf(tmp_path / "box.gltf")
    source = ModelSource("mv-clip")
    checks = {finding.check: finding for finding in diagnose("mv-clip", model=source, data=DataSource(Path("mv-clip")))}
    assert "MV-CLIP zero-shot" in checks["recipe"].fact
    of_file = {finding.check: finding for finding in diagnose(str(file), model=source, data=DataSource(file))}
    assert "colour" in of_file
