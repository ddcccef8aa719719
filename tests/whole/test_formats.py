"""From file to label in every format: what must not change the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import basrelief as br
from basrelief.geometry import rotate, rotation_to_z_up, sample_surface
from basrelief.io import load, save
from basrelief.io.write import CLOUD_FORMATS, MESH_FORMATS
from basrelief.models import Model, classify_files
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud, Shape

LABELS = ("chair", "airplane", "mug", "table", "car", "lamp")
NAMES = ("chair", "airplane", "mug", "table")


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


def mesh(name: str, seed: int = 3) -> Mesh:
    shape = make_shape(name, seed=seed)
    assert isinstance(shape, Mesh)
    return shape


def cloud(name: str, points: int = 4096) -> PointCloud:
    return sample_surface(mesh(name), points, seed=0)


def similarity(model: Model, one: Shape, other: Shape) -> float:
    """Mean cosine of equal views."""
    views = model.embed_views([one, other]).numpy()
    return float((views[0] * views[1]).sum(axis=-1).mean())


@pytest.mark.parametrize("kind", MESH_FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_a_mesh_gets_the_same_label_in_every_format(name: str, kind: str, tiny: Model, tmp_path: Path) -> None:
    save(mesh(name), tmp_path / f"a.{kind}")
    assert tiny.classify([load(tmp_path / f"a.{kind}")], LABELS)[0].label == name


@pytest.mark.parametrize("kind", CLOUD_FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_a_point_cloud_gets_the_same_label_in_every_format(name: str, kind: str, tiny: Model, tmp_path: Path) -> None:
    save(cloud(name), tmp_path / f"a.{kind}")
    assert tiny.classify([load(tmp_path / f"a.{kind}")], LABELS)[0].label == name


def written(points: np.ndarray, kind: str, folder: Path) -> str:
    """A cloud in a format that `save` does not write."""
    path = folder / f"a.{kind}"
    if kind in ("txt", "pts"):
        head = f"{len(points)}\n" if kind == "pts" else ""
        path.write_text(head + "\n".join(" ".join(f"{v:.7g}" for v in row) for row in points) + "\n")
    elif kind == "npy":
        np.save(path, points)
    elif kind == "npz":
        np.savez(path, points=points)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["data"] = points[None]
        return f"{path}#0"
    elif kind == "pcd":
        head = "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        head += f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA binary\n"
        path.write_bytes(head.encode() + points.astype("<f4").tobytes())
    return str(path)


@pytest.mark.parametrize("kind", ["txt", "pts", "npy", "npz", "h5", "pcd"])
def test_other_formats_of_clouds_hold_the_same_points(kind: str, tmp_path: Path) -> None:
    points = cloud("chair", 300).points
    read = load(written(points, kind, tmp_path), up="z")
    assert isinstance(read, PointCloud)
    np.testing.assert_allclose(read.points, points, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 250.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (5.0, -3.0, 2.0)])
def test_scale_and_position_do_not_change_the_answer(scale: float, shift: tuple[float, float, float], tiny: Model) -> None:
    base = cloud("chair")
    moved = PointCloud((base.points * scale + np.array(shift) * scale).astype(np.float32))
    assert similarity(tiny, base, moved) > 0.999


def test_colour_does_not_change_the_answer(tiny: Model) -> None:
    base = cloud("mug")
    colored = replace(base, colors=np.random.default_rng(0).random((len(base.points), 3)).astype(np.float32))
    np.testing.assert_array_equal(tiny.embed_views([base]).numpy(), tiny.embed_views([colored]).numpy())


def test_the_order_of_the_points_hardly_matters(tiny: Model) -> None:
    base = cloud("table")
    mixed = PointCloud(base.points[np.random.default_rng(0).permutation(len(base.points))])
    assert similarity(tiny, base, mixed) > 0.999


def test_the_order_of_the_labels_does_not_matter(tiny: Model) -> None:
    shapes = [cloud(name) for name in NAMES]
    forward, backward = tiny.classify(shapes, LABELS), tiny.classify(shapes, LABELS[::-1])
    for one, other in zip(forward, backward, strict=True):
        assert one.labels == other.labels
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_shapes_do_not_influence_each_other(tiny: Model) -> None:
    shapes = [cloud(name) for name in NAMES]
    together = tiny.embed_views(shapes).numpy()
    for i, shape in enumerate(shapes):
        np.testing.assert_allclose(together[i], tiny.embed_views([shape]).numpy()[0], atol=1e-5)


def test_more_labels_take_probability_and_never_give_it(tiny: Model) -> None:
    few = tiny.classify([cloud("chair")], ("chair", "table"))[0]
    more = tiny.classify([cloud("chair")], LABELS)[0]
    assert few.probabilities is not None
    assert more.probabilities is not None
    assert more.probabilities[more.labels.index("chair")] <= few.probabilities[few.labels.index("chair")] + 1e-6


@pytest.mark.parametrize("axis", ["x", "y", "-x", "-y", "-z"])
def test_the_given_up_axis_restores_the_answer(axis: str, tiny: Model, tmp_path: Path) -> None:
    upright = cloud("chair")
    save(rotate(upright, rotation_to_z_up(axis).T), tmp_path / "a.ply")
    right = load(tmp_path / "a.ply", up=axis)
    np.testing.assert_allclose(right.points, upright.points, atol=1e-5)  # type: ignore[union-attr]
    assert tiny.classify([right], LABELS)[0].label == "chair"


def test_files_and_arrays_give_the_same_answer(tiny: Model, tmp_path: Path) -> None:
    shape = cloud("airplane")
    save(shape, tmp_path / "a.ply")
    (answer,) = classify_files(tiny, [tmp_path / "a.ply"], labels=LABELS)
    assert answer.prediction is not None
    direct = tiny.classify([shape], LABELS)[0]
    assert answer.prediction.labels == direct.labels
    np.testing.assert_allclose(answer.prediction.scores, direct.scores, atol=1e-5)


def test_loading_a_model_twice_gives_the_same_result(tiny: Model) -> None:
    again = br.load_model("tiny", device="cpu", dtype="float32")
    shape = cloud("lamp")
    np.testing.assert_array_equal(tiny.embed_views([shape]).numpy(), again.embed_views([shape]).numpy())
    assert again.encoder.fingerprint == tiny.encoder.fingerprint


def test_the_readme_script_runs(tmp_path: Path) -> None:
    from support import REPOSITORY

    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    script = text.split("```python\n")[1].split("```")[0].replace("examples/", f"{REPOSITORY.as_posix()}/examples/")
    names: dict[str, object] = {}
    exec(compile(script, "README.md", "exec"), names)
    answer = names["answer"]
    assert answer.label == "chair"  # type: ignore[attr-defined]
    assert json.dumps(answer.labels)  # type: ignore[attr-defined]
