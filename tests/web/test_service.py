"""The library service: answers and refusals."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.errors import BasreliefError, ConfigError, FileFormatError
from basrelief.index import Index, IndexOptions, Report, boxes
from basrelief.io import load, save
from basrelief.limits import Limits, use_limits
from basrelief.models import Model
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud
from basrelief.web.service import LibraryService
from basrelief.web.workers import save_for_viewer
from support.small_scans import small_scan

from .conftest import FILES


def test_typed_filters_and_exclusions_are_split(service: LibraryService) -> None:
    query = service.make_query(" a red car ", without="bus; ;truck", where="faces<50k; format:off")
    assert (query.words, query.without, query.where) == (("a red car",), ("bus", "truck"), ("faces<50k", "format:off"))
    assert [Path(hit.path).name for hit in service.search(query)] == ["car.off"]
    assert service.make_query("salt; pepper").words == ("salt; pepper",)
    with pytest.raises(ConfigError, match="nothing to search for"):
        service.make_query("  ")


def test_uploads_can_be_searched_with(service: LibraryService, tmp_path: Path, model: Model) -> None:
    shape = make_shape("mug", seed=100_010)
    save(shape, tmp_path / "upload.stl")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "photo.png")
    picture = service.embed_image(tmp_path / "photo.png")
    assert np.allclose(picture, model.embed_images([Image.new("RGB", (32, 32), "red")])[0].numpy(), atol=1e-5)
    vector = service.embed_shape(tmp_path / "upload.stl")
    assert np.allclose(vector, model.embed_shapes([load(tmp_path / "upload.stl")])[0].numpy(), atol=1e-5)
    assert service.search(service.make_query("", embeddings=[vector]))[0].path.endswith("mug.ply")


def test_hits_have_thumbnails_and_captions(service: LibraryService) -> None:
    answer = service.search_results(service.make_query("mug"))
    shown = answer.thumbnails
    assert len(shown) == len(answer.paths) == 3
    for address, _ in shown:
        head, _, data = address.partition(",")
        assert head == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (128, 128)
    assert shown[0][1].startswith("mug.ply  0.")


def test_results_are_cached_until_the_library_changes(service: LibraryService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[object] = []
    search = service.search
    monkeypatch.setattr(service, "search", lambda query: searched.append(query) or search(query))
    first = [service.search_results(service.make_query("mug", where=where)) for where in ("", "", "format:ply")]
    assert first[0] is first[1] is not first[2]
    assert len(searched) == 2
    save(make_shape("mug", seed=1), tmp_path / "more" / "mug.obj")
    Index.open(service.index.uri, model=service.index.model).add(tmp_path / "more")  # as another process would
    assert len(service.search_results(service.make_query("mug")).paths) == 4


def test_an_empty_library_finds_nothing(tmp_path: Path, model: Model) -> None:
    service = LibraryService(Index.open(tmp_path / "new.lance", model=model))
    assert service.search(service.make_query("mug")) == []
    assert service.indexable_folders() == []
    service.close()


@pytest.mark.parametrize("place", FILES)
def test_a_hit_is_opened_in_a_form_browsers_show(service: LibraryService, made: Path, place: str) -> None:
    opened = service.open(str(made / "files" / place))
    shape = load(opened.viewer_file)
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    original = load(made / "files" / place)
    assert isinstance(original, Mesh)
    assert len(shape.faces) == len(original.faces)
    with Image.open(opened.sheet) as sheet:
        assert sheet.size == (560, 224)
    assert f"{len(original.faces):,} faces" in opened.description


@pytest.mark.parametrize("kind", ["cloud", "mesh"])
def test_a_box_in_a_scan_is_opened_alone(
    service: LibraryService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, model: Model
) -> None:
    monkeypatch.setattr(boxes, "LIMIT", 3)
    scan = tmp_path / "more" / "office.ply"
    cloud = small_scan(spacing=0.04)
    triangles = np.arange(3 * (len(cloud.points) // 3)).reshape(-1, 3)
    save(cloud if kind == "cloud" else Mesh(cloud.points, triangles), scan)
    index = Index.open(tmp_path / "scans.lance", model=model)
    index.add(tmp_path / "more", options=IndexOptions(scenes="all"))
    service.index = index
    hits = service.search(service.make_query("cabinet", where="kind:box"))
    answer = service.search_results(service.make_query("cabinet", where="kind:box"))
    assert answer.paths == tuple(hit.path for hit in hits)
    assert answer.thumbnails[0][1].startswith(f"office.ply#box-{hits[0].path.rpartition('-')[2]}  ")
    opened = service.open(hits[0].path)
    shown = load(opened.viewer_file)
    assert isinstance(shown, Mesh if kind == "mesh" else PointCloud)
    points = shown.vertices if isinstance(shown, Mesh) else shown.points
    assert np.ptp(points, axis=0).max() < 2.2
    assert opened.relative_path.startswith("office.ply#box-")
    assert " at " in opened.description
    assert opened.sheet.is_file()
    assert service.open(str(scan)).viewer_file != opened.viewer_file


def test_a_cloud_is_thinned_for_the_viewer(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(50_001, 3)).astype(np.float32)
    shape = load(save_for_viewer(PointCloud(points, np.ones_like(points)), tmp_path / "cloud"))
    assert isinstance(shape, PointCloud)
    assert 16_000 < len(shape.points) <= 20_000


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "", "lib.lance", "x' OR '1'='1"])
def test_no_file_outside_the_library_is_opened(service: LibraryService, path: str) -> None:
    with pytest.raises(ConfigError, match="is not in the library. Choose one of the results"):
        service.open(path)


def test_deleted_file_is_reported(service: LibraryService, tmp_path: Path) -> None:
    file = save(make_shape("mug", seed=1), tmp_path / "more" / "mug.obj")
    service.add(str(tmp_path / "more"))
    file.unlink()
    with pytest.raises(FileFormatError):
        service.open(str(file))


def test_upload_is_classified_with_typed_labels(service: LibraryService, made: Path) -> None:
    prediction, picture = service.classify(made / "files" / "car.off", "car, mug, chair")
    assert prediction.label == "car"
    with Image.open(picture) as evidence:
        assert evidence.width > 800
    with pytest.raises(ConfigError, match="Need at least two labels"):
        service.classify(made / "files" / "car.off", "car")


def test_uploads_of_wrong_type_and_size_are_rejected(service: LibraryService, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    for kind in ("page.html", "noending"):
        (tmp_path / kind).touch()
        with pytest.raises(FileFormatError, match="is not of an accepted type"):
            service.classify(tmp_path / kind, "car, mug")
    with pytest.raises(FileFormatError, match="is not of an accepted type: png"):
        service.embed_image(tmp_path / "page.html")
    (tmp_path / "large.glb").write_bytes(b"x" * 11)
    with (
        use_limits(Limits(upload_bytes=10)),
        pytest.raises(FileFormatError, match=r"Upload .* has 0 MB; the limit is 0 MB. Use basrelief classify"),
    ):
        service.classify(tmp_path / "large.glb", "car, mug")


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
def test_hostile_uploads_raise_basrelief_errors(service: LibraryService, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BasreliefError):
        service.classify(tmp_path / name, "car, mug")
    with pytest.raises(BasreliefError):
        service.embed_shape(tmp_path / name)


def test_only_allowed_folders_are_indexed(service: LibraryService, made: Path, tmp_path: Path) -> None:
    assert service.indexable_folders() == sorted([made / "files", tmp_path / "more"])
    save(make_shape("lamp", seed=2), tmp_path / "more" / "lamp.glb")
    told: list[tuple[int, int]] = []
    assert service.add(str(tmp_path / "more"), progress=lambda *pair: told.append(pair)).read == 1
    assert told[-1] == (1, 1)
    assert service.add(str(made / "files" / "seats")).unchanged == 1
    (tmp_path / "secret").mkdir()
    (tmp_path / "more" / "door").symlink_to(tmp_path / "secret")
    for wrong in (
        tmp_path,
        tmp_path / "secret",
        tmp_path / "more" / ".." / "secret",
        tmp_path / "more" / "door",
        "",
        " ",
        "~",
        "~nobody/x",
        "\0",
        "x" * 5000,
    ):
        with pytest.raises(ConfigError, match=r"may not be indexed from the page. Allowed: .* Allow others with basrelief app --root DIR"):
            service.add(str(wrong))


def test_folders_are_read_by_as_many_processes_as_the_service_has(
    service: LibraryService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Index, "add", lambda _index, _folder, *, options, progress: asked.append(options.jobs) or Report())
    for service.jobs in (1, 3):
        service.add(str(tmp_path / "more"))
    assert asked == [1, 3]


def test_tags_are_proposed_for_review(service: LibraryService) -> None:
    answers = service.propose_tags("car, mug, chair", where="under:seats; format:glb")
    assert [(Path(answer.path).name, answer.label) for answer in answers] == [("chair.glb", "chair")]
    assert {answer.label for answer in service.propose_tags("teapot, banana", min_confidence=1.0)} <= {"", "teapot", "banana"}


def test_generated_files_are_deleted_on_close(made: Path, model: Model) -> None:
    service = LibraryService(Index.open(made / "lib.lance", model=model))
    shown = service.open(str(made / "files" / "car.off")).viewer_file
    assert shown.is_file()
    service.close()
    assert not shown.exists()


def test_typed_words_are_never_paths(service: LibraryService, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text("root\npassword\n", encoding="utf-8")
    for text in (str(secret), "secret.txt", "./secret.txt", "/etc/passwd"):
        with pytest.raises(ConfigError, match="Need at least two labels"):
            service.classify(made / "files" / "car.off", text)
        with pytest.raises(ConfigError, match="Need at least two labels"):
            service.propose_tags(text)
    Path("chair,table").write_text("root\npassword\n", encoding="utf-8")
    prediction, _ = service.classify(made / "files" / "car.off", "chair,table")
    assert set(prediction.labels) == {"chair", "table"}


def test_typed_text_is_limited(service: LibraryService, made: Path) -> None:
    file = made / "files" / "car.off"
    with use_limits(Limits(labels=3, label_characters=10, filters=2)):
        with pytest.raises(ConfigError, match="There are 4 labels; the limit is 3"):
            service.classify(file, "a,b,c,d")
        with pytest.raises(ConfigError, match="There are too many labels; the limit is 3"):
            service.propose_tags("a," * 100_000)
        with pytest.raises(ConfigError, match="A label has 11 characters; the limit is 10"):
            service.classify(file, "a," + "b" * 11)
        with pytest.raises(ConfigError, match="The search phrase has 1,000 characters; the limit is 10"):
            service.make_query("w" * 1000)
        with pytest.raises(ConfigError, match="One of the exclusions has 11 characters"):
            service.make_query("word", without="n" * 11)
        with pytest.raises(ConfigError, match="There are more than 2 filters"):
            service.make_query("word", where="a:b;c:d;e:f")


def test_images_of_other_formats_and_sizes_are_rejected(service: LibraryService, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "really.png", "TIFF")
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "bomb.png").read_bytes()[:200])
    for name in ("really.png", "bomb.png", "cut.png"):
        with pytest.raises(FileFormatError, match="Image .* (cannot be read|has 9000 x 9000 pixels)"):
            service.embed_image(tmp_path / name)


def test_images_of_odd_modes_are_read(service: LibraryService, tmp_path: Path) -> None:
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        Image.new(mode, (20, 10)).save(tmp_path / "odd.png")
        assert np.isfinite(service.embed_image(tmp_path / "odd.png")).all()
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.webp")
    assert np.allclose(service.embed_image(tmp_path / "moving.webp"), service.embed_image(tmp_path / "still.webp"), atol=0.05)


@pytest.mark.slow
def test_slow_or_crashing_upload_is_reported_while_others_are_served(made: Path, tmp_path: Path, model: Model) -> None:
    service = LibraryService(Index.open(made / "lib.lance", model=model), jobs=1)
    try:
        service.embed_shape(made / "files" / "car.off")  # starts the process
        (tmp_path / "slow.stl").write_bytes(b"solid x\n" + b"facet normal 0 0 1\nouter loop\n" * 100_000)
        with use_limits(Limits(seconds=0.01)), pytest.raises(FileFormatError, match=r"reading took longer than|must"):
            service.embed_shape(tmp_path / "slow.stl")
        assert service.search(service.make_query("mug"))
        assert np.isfinite(service.embed_shape(made / "files" / "car.off")).all()
    finally:
        service.close()
