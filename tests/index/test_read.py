"""Reading one file for the index: thumbnails and metadata in every format."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb")

from basrelief.errors import BasreliefError, FileFormatError
from basrelief.geometry import sample_surface, shape_descriptor
from basrelief.index.read import THUMBNAIL, FileOptions, encode_webp, read_file
from basrelief.io import load, save
from basrelief.io.write import CLOUD_FORMATS, MESH_FORMATS
from basrelief.models import Model
from basrelief.models.shape_input import ViewInput
from basrelief.render import get_projection, render_batch
from basrelief.render.drawing import DepthDrawer
from basrelief.shapes import make_shape
from basrelief.types import PointCloud

MUG = make_shape("mug", seed=3)
VIEWS = get_projection("discs", size=32)


def _options(points: int = 256, *, seed: int = 0, up: str | None = None) -> FileOptions:
    return FileOptions(ViewInput((DepthDrawer(VIEWS, {}, points),)), up, seed)


@pytest.mark.parametrize("suffix", MESH_FORMATS)
def test_a_mesh_of_any_format(suffix: str, tmp_path: Path) -> None:
    file = save(MUG, tmp_path / f"mug.{suffix}")
    found = read_file(file, _options(512))
    assert found.prepared.shape == (10, 32, 32)
    assert (found.format, found.kind, found.faces) == (suffix, "mesh", len(MUG.faces))
    assert np.allclose(found.extent, np.ptp(load(file).vertices, axis=0), rtol=1e-4)  # type: ignore[union-attr]
    assert np.allclose(found.form, shape_descriptor(load(file)))


@pytest.mark.parametrize("suffix", CLOUD_FORMATS)
def test_a_cloud_of_any_format(suffix: str, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(700, 3)).astype(np.float32)
    found = read_file(save(PointCloud(points), tmp_path / f"cloud.{suffix}"), _options(512))
    assert (found.kind, found.faces, found.points) == ("cloud", 0, 700)
    assert found.prepared.shape == (10, 32, 32)
    assert np.allclose(found.extent, np.ptp(points, axis=0), rtol=1e-3)


def test_a_small_cloud_keeps_its_points(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    file = save(PointCloud(points), tmp_path / "cloud.ply")
    assert np.array_equal(read_file(file, _options(512)).prepared, render_batch([points], VIEWS).numpy()[0])


def test_images_depend_on_the_seed_alone(tmp_path: Path) -> None:
    file = save(MUG, tmp_path / "mug.glb")
    one, same, other = (read_file(file, _options(seed=seed)).prepared for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_images_are_those_the_model_draws(tmp_path: Path, model: Model) -> None:
    file = save(MUG, tmp_path / "mug.glb")
    options = FileOptions(model.input, seed=5)
    assert np.array_equal(read_file(file, options).prepared, model.prepare([load(file)], seed=5)[0].numpy())


@pytest.mark.parametrize("removed", [False, True])
def test_isolated_points_are_kept_or_removed(tmp_path: Path, removed: bool) -> None:
    points = sample_surface(MUG, 1000).points
    clean, scan = (save(PointCloud(p), tmp_path / f"{i}.ply") for i, p in enumerate((points, np.concatenate([points, points[:3] * 20]))))
    options = FileOptions(ViewInput((DepthDrawer(VIEWS, {}, 2000, removed),)))
    assert np.array_equal(read_file(clean, options).prepared, read_file(scan, options).prepared) == removed


@pytest.mark.parametrize("rig", ["turntable10", "clip2point10"])
def test_the_sheet_shows_the_views_in_two_rows(tmp_path: Path, rig: str) -> None:
    found = read_file(
        save(MUG, tmp_path / "mug.glb"), FileOptions(ViewInput((DepthDrawer(get_projection("discs", rig=rig, size=32), {}, 4096),)))
    )
    with Image.open(io.BytesIO(found.sheet)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (5 * 32, 2 * 32))
        shown = np.asarray(picture.convert("L")).astype(float) / 255
    views = shown.reshape(2, 32, 5, 32).swapaxes(1, 2).reshape(10, 32, 32)
    assert float(np.abs(views - found.prepared).mean()) < 0.03


def test_the_up_axis_may_be_given(tmp_path: Path) -> None:
    file = save(MUG, tmp_path / "mug.stl")
    plain, turned = (read_file(file, _options(256, up=up)).extent for up in (None, "y"))
    assert plain[2] == pytest.approx(turned[1], rel=1e-5)
    assert plain[1] == pytest.approx(turned[2], rel=1e-5)


def test_the_thumbnail_shows_the_shape_in_its_colours(tmp_path: Path) -> None:
    red = np.tile(np.array([0.9, 0.1, 0.1], np.float32), (len(MUG.vertices), 1))
    from basrelief.types import Mesh

    file = save(Mesh(MUG.vertices, MUG.faces, red), tmp_path / "red.glb")
    with Image.open(io.BytesIO(read_file(file, _options(64)).thumbnail)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (THUMBNAIL, THUMBNAIL))
        shown = np.asarray(picture.convert("RGB")).astype(int)
    drawn = shown[shown.min(axis=2) < 200]
    assert len(drawn) > 1000
    assert (drawn[:, 0] > drawn[:, 1] + 20).mean() > 0.8


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.glb", b"glTF"),
        ("a.ply", b"ply\nend_header\n"),
        ("a.stl", b""),
        ("a.txt", b"1 2\n"),
        ("a.npy", b"\x93NUMPY"),
    ],
)
def test_unreadable_files_raise_basrelief_errors(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BasreliefError):
        read_file(tmp_path / name, _options(64))


def test_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError):
        read_file(tmp_path / "nothing.glb", _options(64))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_pictures_are_encoded_as_webp(shape: tuple[int, ...]) -> None:
    picture = np.full(shape, 0.5, np.float32)
    picture[0] = 2.0
    with Image.open(io.BytesIO(encode_webp(picture))) as kept:
        assert kept.size == (7, 5)
        back = np.asarray(kept.convert("L")).astype(int)
    assert abs(int(back[3].mean()) - 128) < 6
    assert back[0].mean() > 235
