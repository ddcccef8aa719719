"""What a model takes as shapes and labels, and how it and its predictions look in a session."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import basrelief as br
from basrelief.errors import ConfigError, FileFormatError, GeometryError
from basrelief.io import load, save
from basrelief.models import Model
from basrelief.models.inputs import as_shapes
from basrelief.types import Mesh, Origin, PointCloud, Prediction
from support.small_models import ball, box


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


def test_one_shape_gives_one_prediction_and_many_a_list(tiny: Model) -> None:
    one = tiny.classify(box(), "box, ball")
    assert isinstance(one, Prediction)
    several = tiny.classify([box(), ball()], ["box", "ball"])
    assert isinstance(several, list)
    assert len(several) == 2
    np.testing.assert_allclose(one.scores, several[0].scores, atol=1e-4)


def test_paths_arrays_and_trimesh_objects_are_shapes(tiny: Model, tmp_path: Path) -> None:
    mesh = box()
    save(mesh, tmp_path / "box.ply")
    read = load(tmp_path / "box.ply")
    expected = tiny.embed_shapes([read])
    assert torch.equal(tiny.embed_shapes(tmp_path / "box.ply"), expected)
    assert torch.equal(tiny.embed_shapes([str(tmp_path / "box.ply"), read]), torch.cat([expected, expected])[[0, 1]])
    assert tiny.classify(str(tmp_path / "box.ply"), "box,ball").source == str(tmp_path / "box.ply")
    points = np.random.default_rng(0).normal(size=(500, 3))
    cloud = PointCloud(points)
    assert torch.equal(tiny.embed_shapes(points), tiny.embed_shapes([cloud]))
    assert tiny.embed_shapes(np.stack([points, points + 1])).shape == (2, 512)
    assert torch.equal(tiny.embed_shapes(trimesh.PointCloud(points)), tiny.embed_shapes([cloud]))
    (same,) = as_shapes(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
    assert isinstance(same, Mesh)
    np.testing.assert_array_equal(same.faces, mesh.faces)
    np.testing.assert_array_equal(same.vertices, mesh.vertices)


def test_colours_of_a_trimesh_are_kept() -> None:
    mesh = box()
    colors = np.tile(np.array([255, 0, 51, 255], dtype=np.uint8), (len(mesh.vertices), 1))
    (shape,) = as_shapes(trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False))
    assert shape.colors is not None
    np.testing.assert_allclose(shape.colors[0], [1, 0, 0.2], atol=1e-6)


def test_what_is_no_shape_is_explained(tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot use a dict as a shape\. Pass a path, an array \(N, 3\)"):
        tiny.embed_shapes([{}])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="There is no shape to embed"):
        tiny.embed_shapes([])
    with pytest.raises(FileFormatError):
        tiny.embed_shapes(tmp_path / "none.glb")
    with pytest.raises(GeometryError):
        tiny.embed_shapes(np.zeros((3, 10)))


def test_labels_are_a_list_a_comma_list_or_a_set(tiny: Model) -> None:
    shape = ball()
    assert set(tiny.classify(shape, "modelnet10").labels) == set(br.load_model("tiny").classify(shape, "modelnet10").labels)
    assert len(tiny.classify(shape, "modelnet10").labels) == 10
    assert tiny.classify(shape, "box, ball").labels == tiny.classify(shape, ("box", "ball")).labels
    assert set(tiny.classify(shape).labels) == set(tiny.default_labels)
    assert "chair" in tiny.default_labels


def test_a_prediction_shows_its_evidence(tiny: Model) -> None:
    prediction = tiny.classify(box(), "box,ball", seed=3)
    shown = prediction._repr_html_()
    data = re.search(r"base64,([^\"]+)", shown)
    assert data is not None
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as picture:
        assert picture.size == prediction.picture().size
    assert repr(prediction).startswith(f"Prediction({prediction.label} ")
    (bare,) = tiny.classify_views(tiny.embed_views(box()), "box,ball")
    assert bare._repr_html_().startswith("<code>Prediction(")
    with pytest.raises(ConfigError, match="made from embeddings, so its shape cannot be drawn"):
        bare.picture()


def test_shapes_and_models_have_short_reprs(tiny: Model) -> None:
    mesh = box()
    assert repr(mesh) == f"Mesh({len(mesh.vertices)} vertices, {len(mesh.faces)} faces)"
    cloud = PointCloud(np.zeros((1, 3)), np.zeros((1, 3)), Origin("a.ply", "ply"))
    assert repr(cloud) == "PointCloud(1 point, coloured, from 'a.ply', z up)"
    assert repr(tiny) == "Model('tiny', 10 views by discs, encoder tiny on cpu)"


def test_an_index_shows_its_address_and_model(tiny: Model) -> None:
    assert repr(br.Index("library.lance", "tiny")) == repr(br.Index("library.lance", tiny)) == "Index('library.lance', model='tiny')"
