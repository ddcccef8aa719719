"""The desk: what it answers, and what it refuses to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.errors import BasreliefError, ConfigError, FileFormatError
from basrelief.index import Index, Report
from basrelief.io import load, save
from basrelief.limits import Limits, use_limits
from basrelief.models import Model
from basrelief.testing import make_shape
from basrelief.types import Mesh, PointCloud
from basrelief.web import Desk

from .conftest import FILES


def test_words_filters_and_phrases_to_keep_away_are_separated(desk: Desk) -> None:
    query = desk.query(" a red car ", without="bus; ;truck", where="faces<50k; format:off")
    assert (query.words, query.without, query.where) == (("a red car",), ("bus", "truck"), ("faces<50k", "format:off"))
    assert [Path(hit.path).name for hit in desk.search(query)] == ["car.off"]
    assert desk.query("salt; pepper").words == ("salt; pepper",)
    with pytest.raises(ConfigError, match="query must hold words"):
        desk.query("  ")


def test_uploads_are_looked_for(desk: Desk, tmp_path: Path) -> None:
    save(make_shape("mug", seed=100_010), tmp_path / "upload.stl")
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    query = desk.query("", picture=tmp_path / "photo.png", shape=tmp_path / "upload.stl")
    assert (len(query.pictures), len(query.shapes)) == (1, 1)
    assert desk.search(desk.query("", shape=tmp_path / "upload.stl"))[0].path.endswith("mug.ply")


def test_hits_have_thumbnails_and_captions(desk: Desk) -> None:
    shown = desk.gallery(desk.search(desk.query("mug")))
    assert [picture.size for picture, _ in shown] == [(128, 128)] * 3
    assert shown[0][1].startswith("mug.ply  0.")


def test_an_empty_library_finds_nothing(tmp_path: Path, model: Model) -> None:
    desk = Desk(Index.open(tmp_path / "new.lance", model=model))
    assert desk.search(desk.query("mug")) == []
    assert desk.allowed() == []
    desk.close()


@pytest.mark.parametrize("place", FILES)
def test_a_hit_is_opened_in_a_form_browsers_show(desk: Desk, made: Path, place: str) -> None:
    opened = desk.open(str(made / "files" / place))
    shape = load(opened.model)
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    original = load(made / "files" / place)
    assert isinstance(original, Mesh)
    assert len(shape.faces) == len(original.faces)
    assert opened.sheet.size == (560, 224)
    assert f"{len(original.faces):,} faces" in opened.facts


def test_a_cloud_is_thinned_for_the_viewer(desk: Desk) -> None:
    points = np.random.default_rng(0).normal(size=(50_001, 3)).astype(np.float32)
    shape = load(desk.viewable(PointCloud(points, np.ones_like(points)), "cloud"))
    assert isinstance(shape, PointCloud)
    assert 16_000 < len(shape.points) <= 20_000


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "", "lib.lance", "x' OR '1'='1"])
def test_no_file_outside_the_library_is_opened(desk: Desk, path: str) -> None:
    with pytest.raises(ConfigError, match="path must be one of the library, but got"):
        desk.open(path)


def test_a_file_that_went_is_told(desk: Desk, tmp_path: Path) -> None:
    file = save(make_shape("mug", seed=1), tmp_path / "more" / "mug.obj")
    desk.add(str(tmp_path / "more"))
    file.unlink()
    with pytest.raises(FileFormatError):
        desk.open(str(file))


def test_an_upload_is_named_with_typed_labels(desk: Desk, made: Path) -> None:
    prediction, picture = desk.classify(made / "files" / "car.off", "car, mug, chair")
    assert prediction.label == "car"
    assert picture.width > 800
    with pytest.raises(ConfigError, match="labels must be two or more"):
        desk.classify(made / "files" / "car.off", "car")


def test_uploads_of_other_kinds_and_sizes_are_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    for kind in ("page.html", "noending"):
        (tmp_path / kind).touch()
        with pytest.raises(FileFormatError, match="upload must be one of"):
            desk.classify(tmp_path / kind, "car, mug")
    with pytest.raises(FileFormatError, match="upload must be one of png"):
        desk.query("", picture=tmp_path / "page.html")
    (tmp_path / "large.glb").write_bytes(b"x" * 11)
    with use_limits(Limits(upload_bytes=10)), pytest.raises(FileFormatError, match=r"upload must be at most .* Use basrelief classify"):
        desk.classify(tmp_path / "large.glb", "car, mug")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.glb", b"glTF\x02\x00\x00\x00\xff\xff\xff\xff" + b"\xff" * 64),
        ("huge.ply", b"ply\nformat ascii 1.0\nelement vertex 999999999999\nproperty float x\nend_header\n"),
        ("link.gltf", b'{"asset":{"version":"2.0"},"buffers":[{"uri":"../../../../etc/passwd","byteLength":10}]}'),
        ("pickle.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + b" " * 60 + b"\n"),
        ("empty.obj", b""),
    ],
)
def test_hostile_uploads_are_errors_of_ours(desk: Desk, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BasreliefError):
        desk.classify(tmp_path / name, "car, mug")
    with pytest.raises(BasreliefError):
        desk.query("", shape=tmp_path / name)


def test_only_allowed_folders_are_indexed(desk: Desk, made: Path, tmp_path: Path) -> None:
    assert desk.allowed() == sorted([made / "files", tmp_path / "more"])
    save(make_shape("lamp", seed=2), tmp_path / "more" / "lamp.glb")
    told: list[tuple[int, int]] = []
    assert desk.add(str(tmp_path / "more"), progress=lambda *pair: told.append(pair)).read == 1
    assert told[-1] == (1, 1)
    assert desk.add(str(made / "files" / "seats")).unchanged == 1
    (tmp_path / "secret").mkdir()
    (tmp_path / "more" / "door").symlink_to(tmp_path / "secret")
    for wrong in (tmp_path, tmp_path / "secret", tmp_path / "more" / ".." / "secret", tmp_path / "more" / "door", "", " ", "~"):
        with pytest.raises(ConfigError, match=r"folder must lie in one that may be indexed .* Start the page with --root DIR"):
            desk.add(str(wrong))


def test_folders_are_read_by_as_many_processes_as_the_desk_has(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Index, "add", lambda _index, _folder, *, work, progress: asked.append(work.jobs) or Report())
    for desk.jobs in (1, 3):
        desk.add(str(tmp_path / "more"))
    assert asked == [1, 3]


def test_files_are_named_for_review(desk: Desk) -> None:
    answers = desk.name("car, mug, chair", where="under:seats; format:glb")
    assert [(Path(answer.path).name, answer.label) for answer in answers] == [("chair.glb", "chair")]
    assert {answer.label for answer in desk.name("teapot, banana", confidence=1.0)} <= {"", "teapot", "banana"}


def test_what_was_made_for_the_viewer_goes(made: Path, model: Model) -> None:
    desk = Desk(Index.open(made / "lib.lance", model=model))
    shown = desk.open(str(made / "files" / "car.off")).model
    assert shown.is_file()
    desk.close()
    assert not shown.exists()
