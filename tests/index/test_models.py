"""Libraries of other models than `tiny`, and library addresses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lancedb")

from basrelief.errors import ConfigError
from basrelief.index import Index, Query
from basrelief.io import load, save
from basrelief.models import Model, get_recipe
from basrelief.shapes import make_shape
from basrelief.tasks import RejectPolicy
from support.small_models import small_encoder

RECIPES = ("pointclip", "pointclip-v2", "clip2point", "tiny")
NAMES = ("chair", "mug")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "files"
    folder.mkdir()
    for name in NAMES:
        save(make_shape(name, seed=3), folder / f"{name}.glb")
    return folder


def _model(name: str) -> Model:
    return Model(get_recipe(name), small_encoder())


@pytest.mark.parametrize("name", RECIPES)
def test_rows_hold_what_the_model_sees(name: str, files: Path, tmp_path: Path) -> None:
    model = _model(name)
    index = Index.open(tmp_path / "lib.lance", model=model)
    assert index.add(files).read == 2
    info = index.tables.info
    assert (info.model, info.views, info.dim) == (name, model.views, model.encoder.embedding_dim)
    row = index.tables.rows("path", [str(files / "mug.glb")])[0]
    views = model.embed_views([load(files / "mug.glb")])[0].numpy()
    assert np.allclose(np.reshape(row["views"], views.shape).astype(np.float32), views, atol=2e-3)


@pytest.mark.parametrize("name", RECIPES)
def test_proposals_match_the_model(name: str, files: Path, tmp_path: Path) -> None:
    model = _model(name)
    index = Index.open(tmp_path / "lib.lance", model=model)
    index.add(files)
    labels = ["chair", "mug", "lamp", "something long"]
    answers = {answer.path: answer for answer in index.propose_tags(labels, policy=RejectPolicy())}
    for file in sorted(files.iterdir()):
        known = model.classify([load(file)], labels)[0]
        scores = dict(zip(known.labels, known.scores.tolist(), strict=True))
        best, found = max(scores.values()), answers[str(file)]
        assert scores[found.label] == pytest.approx(best, rel=0.02, abs=0.02)  # vectors are kept in half precision


@pytest.mark.parametrize("name", RECIPES)
def test_words_images_and_shapes_can_be_searched(name: str, files: Path, tmp_path: Path) -> None:
    index = Index.open(tmp_path / "lib.lance", model=_model(name))
    index.add(files)
    shape = load(files / "mug.glb")
    queries = (Query(("mug",)), Query(images=(np.zeros((9, 9, 3)),)), Query(("a",), shapes=(shape,), without=("b",), pooling="max"))
    for query in queries:
        hits = index.search(query)
        assert len(hits) == 2
        assert all(-1.001 <= hit.score <= 1.001 and 0 <= hit.view < index.tables.info.views for hit in hits)
    assert index.search(Query(shapes=(shape,)), top_k=1)[0].metadata["relative_path"] == "mug.glb"


def test_models_are_not_mixed(files: Path, tmp_path: Path) -> None:
    Index.open(tmp_path / "lib.lance", model=_model("pointclip")).add(files)
    with pytest.raises(ConfigError, match="was created with model pointclip, not tiny"):
        Index.open(tmp_path / "lib.lance", model=_model("tiny"))
    stranger = Index.open(tmp_path / "lib.lance", model=Model(get_recipe("pointclip"), small_encoder(seed=5)))
    with pytest.raises(ConfigError, match="was created with other weights of pointclip"):
        stranger.search("mug")


def test_library_can_be_an_address(files: Path, tmp_path: Path, model: Model) -> None:
    address = (tmp_path / "lib.lance").as_uri()
    assert address.startswith("file:///")
    index = Index.open(address, model=model)
    assert not index.exists
    assert index.add(files).read == 2
    again = Index.open(address, model=model)
    assert again.search("mug", top_k=1)[0].metadata["relative_path"] == "mug.glb"
    assert again.add(files).unchanged == 2
    assert again.tag({str(files / "mug.glb"): ["cup"]}) == 1
    assert [hit.metadata["tags"] for hit in again.search(Query(("x",), where=("tag:cup",)))] == [["cup"]]
    assert again.undo_tags() == 1
    assert set(again.thumbnails([str(files / "mug.glb")])) == {str(files / "mug.glb")}
    assert again.duplicates() == []
