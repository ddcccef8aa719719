"""Scans in a library: a row for each box, found by words, moved, tagged and deleted with the scan."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

lancedb = pytest.importorskip("lancedb")

from basrelief.errors import ConfigError, FileFormatError, GeometryError  # noqa: E402
from basrelief.geometry.transforms import axis_rotation  # noqa: E402
from basrelief.index import Index, IndexOptions, Query, add, boxes, describe_file, read, save_gallery  # noqa: E402
from basrelief.index.places import cut_box, without_overlaps  # noqa: E402
from basrelief.index.read import FileOptions  # noqa: E402
from basrelief.io import load, save  # noqa: E402
from basrelief.models import Model  # noqa: E402
from basrelief.processes import Failure  # noqa: E402
from basrelief.shapes import make_shape  # noqa: E402
from basrelief.types import Mesh, PointCloud  # noqa: E402
from support.small_scans import small_scan  # noqa: E402

SCENES = IndexOptions(scenes="auto")


@pytest.fixture(autouse=True, scope="module")
def recognition() -> Iterator[None]:
    """Take files with many points for scans; `recognise_scene` has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "recognise_scene", lambda shape: "scene" if len(getattr(shape, "points", ())) >= 5000 else None)
        yield


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A folder with `files`, one of them a scan in millimetres that is turned, and the library of it; not to be changed."""
    home = tmp_path_factory.mktemp("scanned")
    (home / "files" / "office").mkdir(parents=True)
    cloud = small_scan()
    turned = 1000 * (cloud.points @ axis_rotation("z", 0.4).T.astype(np.float32)) + np.float32([500, 0, 0])
    save(PointCloud(turned), home / "files" / "office" / "Scan.ply")
    save(make_shape("mug", seed=1), home / "files" / "mug.ply")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "LIMIT", 10)
        Index.open(home / "lib.lance", model=model).add(home / "files", options=SCENES)
    return home


@pytest.fixture
def scans(scanned: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> Index:
    """A library of its own to change, of a copy of the files in `tmp_path / files`, with as many boxes."""
    monkeypatch.setattr(boxes, "LIMIT", 10)
    shutil.copytree(scanned / "files", tmp_path / "files")
    shutil.copytree(scanned / "lib.lance", tmp_path / "lib.lance")
    index = Index.open(tmp_path / "lib.lance", model=model)
    index.add(tmp_path / "files")  # reuses all rows under the new paths
    index.tables.delete(list(set(index.tables.indexed_files()) & {str(path) for path in (scanned / "files").rglob("*.ply")}))
    return index


def box_rows_of(index: Index, scan: Path) -> list[dict[str, Any]]:
    return sorted(index.tables.rows("scan", [str(scan)]), key=lambda row: int(row["path"].rpartition("-")[2]))


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(add, "read_file", never)
    monkeypatch.setattr(add, "find_boxes", never)


def test_a_scan_has_a_row_for_each_box_beside_its_own(scanned: Path, model: Model) -> None:
    index = Index.open(scanned / "lib.lance", model=model)
    scan = scanned / "files" / "office" / "Scan.ply"
    rows = box_rows_of(index, scan)
    assert len(index) == 2
    assert 3 <= len(rows) <= 10
    assert index.tables.scan_files() == {str(scan): len(rows), str(scanned / "files" / "mug.ply"): 0}
    assert [row["path"] for row in rows] == [f"{scan}#box-{number}" for number in range(len(rows))]
    for row in rows:
        assert (row["kind"], row["format"], row["faces"], row["boxes"]) == ("box", "ply", 0, None)
        assert row["relative_path"] == "office/Scan.ply" + row["path"].removeprefix(str(scan))
        assert row["points"] >= 32
        assert row["thumbnail"][:4] == row["sheet"][:4] == b"RIFF"
        assert np.isclose(np.linalg.norm(row["vector"]), 1, atol=1e-4)
    (own,) = index.tables.rows("path", [str(scan)])
    assert {row["content_hash"] for row in rows} == {own["content_hash"]}
    assert (own["kind"], own["scan"], own["center"]) == ("cloud", None, None)


def test_boxes_lie_in_the_coordinates_of_the_file(scanned: Path, model: Model) -> None:
    """The file is in millimetres, and its walls are turned by 0.4."""
    index = Index.open(scanned / "lib.lance", model=model)
    scan = scanned / "files" / "office" / "Scan.ply"
    shape = load(scan)
    for row in box_rows_of(index, scan):
        turn = np.reshape(row["rotation"], (3, 3)).T @ axis_rotation("z", 0.4)
        assert np.abs(np.abs(turn).max(axis=0) - 1).max() < 1e-3  # along the walls
        cut = cut_box(shape, row)
        assert isinstance(cut, PointCloud)
        assert len(cut.points) >= 0.9 * row["points"]
        own = (cut.points - row["center"]) @ np.reshape(row["rotation"], (3, 3))
        longest = max(row["width"], row["depth"], row["height"])
        assert longest > 100  # millimetres
        assert np.abs(np.ptp(own, axis=0) - [row["width"], row["depth"], row["height"]]).max() < 0.12 * longest


def test_words_find_boxes_with_their_place(scanned: Path, model: Model, tmp_path: Path) -> None:
    index = Index.open(scanned / "lib.lance", model=model)
    hits = index.search("cabinet", top_k=5)
    of_boxes = [hit for hit in hits if "#box-" in hit.path]
    assert of_boxes
    for hit in of_boxes:
        assert hit.metadata["scan"] == str(scanned / "files" / "office" / "Scan.ply")
        assert np.allclose(np.linalg.det(hit.metadata["rotation"]), 1)
        assert len(hit.metadata["center"]) == 3
        assert " at " in describe_file(hit.metadata)
        assert not hit.name_match
    assert all("scan" not in hit.metadata for hit in hits if "#box-" not in hit.path)
    save_gallery(tmp_path / "hits.html", hits, thumbnails=index.thumbnails([hit.path for hit in hits]), title="cabinet")
    assert f"Scan.ply#box-{of_boxes[0].path.rpartition('-')[2]}" in (tmp_path / "hits.html").read_text()
    assert json.dumps(of_boxes[0].metadata)


def test_of_boxes_that_overlap_only_the_best_is_found(scans: Index, tmp_path: Path) -> None:
    (first, *_) = box_rows_of(scans, tmp_path / "files" / "office" / "Scan.ply")
    worse = first | {"path": f"{first['scan']}#box-99", "vector": np.roll(first["vector"], 1)}
    scans.tables.upsert([worse])
    options = {"where": ("kind:box",), "match_names": False, "embeddings": (np.array(first["vector"], np.float32),)}
    for pooling in ("mean", "max"):
        found = [hit.path for hit in scans.search(Query(pooling=pooling, **options), top_k=50)]
        assert found[0] == first["path"] if pooling == "mean" else worse["path"] not in found or first["path"] not in found
        assert len(found) == len(set(found)) > 1
        assert worse["path"] not in found or pooling == "max"


def test_filters_know_boxes(scanned: Path, model: Model) -> None:
    index = Index.open(scanned / "lib.lance", model=model)

    def found(*where: str) -> set[str]:
        return {Path(hit.path).name.partition("#")[0] for hit in index.search(Query(("mug",), where=where, match_names=False), top_k=50)}

    assert {hit.metadata["kind"] for hit in index.search(Query(("mug",), where=("kind:box",)), top_k=50)} == {"box"}
    assert found("not kind:box") == {"mug.ply", "Scan.ply"}
    assert found("under:office", "kind:box") == {"Scan.ply"}
    assert found("name:scan", "kind:box") == {"Scan.ply"}
    assert found("name:mug") == {"mug.ply"}
    assert found("height>1500", "kind:box") <= {"Scan.ply"}


def test_unchanged_scans_need_nothing_and_the_choice_is_kept(scans: Index, tmp_path: Path, no_reading: None) -> None:
    report = scans.add(tmp_path / "files")
    assert (report.read, report.reused, report.unchanged, report.boxes) == (0, 0, 2, 0)
    assert len(box_rows_of(scans, tmp_path / "files" / "office" / "Scan.ply")) >= 3


def test_moved_and_touched_scans_keep_boxes_and_tags_without_being_read(scans: Index, tmp_path: Path, no_reading: None) -> None:
    scan = tmp_path / "files" / "office" / "Scan.ply"
    before = box_rows_of(scans, scan)
    scans.tag({before[1]["path"]: ["cupboard"]})
    os.utime(scan, ns=(1, 1))
    assert scans.add(tmp_path / "files").reused == 1
    assert len(box_rows_of(scans, scan)) == len(before)
    moved = tmp_path / "files" / "home.ply"
    scan.rename(moved)
    report = scans.add(tmp_path / "files")
    assert (report.reused, report.removed) == (1, 1)
    after = box_rows_of(scans, moved)
    assert [row["relative_path"] for row in after] == [f"home.ply#box-{number}" for number in range(len(before))]
    assert [row["tags"] for row in after[:3]] == [[], ["cupboard"], []]
    assert [row["views"] for row in after] == [row["views"] for row in before]
    assert box_rows_of(scans, scan) == []
    assert scans.search(Query(("mug",), where=("tag:cupboard",)))[0].path == f"{moved}#box-1"


def test_a_deleted_scan_takes_its_boxes_along(scans: Index, tmp_path: Path) -> None:
    (tmp_path / "files" / "office" / "Scan.ply").unlink()
    assert scans.add(tmp_path / "files").removed == 1
    assert not scans.tables.has_boxes()
    assert scans.tables.count_rows() == len(scans) == 1
    assert scans.search("mug")[0].path.endswith("mug.ply")


def test_a_changed_scan_gets_new_boxes(scans: Index, tmp_path: Path) -> None:
    scan = tmp_path / "files" / "office" / "Scan.ply"
    before = box_rows_of(scans, scan)
    save(small_scan(seed=5, things=2), scan)
    report = scans.add(tmp_path / "files")
    after = box_rows_of(scans, scan)
    assert (report.read, report.boxes) == (1, len(after))
    assert {row["content_hash"] for row in after}.isdisjoint({row["content_hash"] for row in before})
    save(make_shape("chair", seed=3), scan)  # a single object
    assert scans.add(tmp_path / "files").boxes == 0
    assert box_rows_of(scans, scan) == []
    assert len(scans) == 2


def test_scenes_can_be_turned_on_and_off(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LIMIT", 4)
    save(small_scan(), folder / "scan.ply")
    assert empty_index.add(folder).boxes == 0
    assert set(empty_index.tables.scan_files().values()) == {None}
    report = empty_index.add(folder, options=SCENES)
    assert (report.read, report.unchanged) == (2, 0)
    assert report.boxes == len(box_rows_of(empty_index, folder / "scan.ply")) > 0
    assert empty_index.add(folder, options=SCENES).unchanged == 2
    (folder / "scan.ply").touch()
    assert empty_index.add(folder, options=IndexOptions(scenes="none")).unchanged + 1 == 2
    save(small_scan(seed=9), folder / "scan.ply")
    assert empty_index.add(folder, options=IndexOptions(scenes="none")).boxes == 0
    assert box_rows_of(empty_index, folder / "scan.ply") == []
    assert empty_index.add(folder).boxes > 0  # on again, as before; the scan was indexed without


def test_a_scan_that_takes_too_long_is_a_failure_of_its_own(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    save(small_scan(), folder / "scan.ply")

    def slow(path: Path, options: FileOptions) -> None:
        raise FileFormatError("reading took longer than 300 s")

    monkeypatch.setattr(add, "find_boxes", slow)
    report = empty_index.add(folder, options=SCENES)
    assert [(Path(path).name, reason) for path, reason in report.failures if path.endswith("scan.ply")] == [
        ("scan.ply", "reading took longer than 300 s")
    ]
    assert isinstance(Failure("x"), Failure)
    monkeypatch.undo()
    monkeypatch.setattr(boxes, "LIMIT", 2)
    assert empty_index.add(folder, options=replace(SCENES, retry_failed=True)).boxes > 0


def test_an_interrupted_run_resumes_at_the_next_scan(tmp_path: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LIMIT", 2)
    for seed in (0, 1):
        save(small_scan(spacing=0.08, seed=seed), tmp_path / "scans" / f"{seed}.ply")
    seen: list[Path] = []
    real = boxes.find_boxes

    def interrupted(path: Path, options: FileOptions) -> boxes.ScanBoxes | None:
        seen.append(path)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(path, options)

    monkeypatch.setattr(add, "find_boxes", interrupted)
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        empty_index.add(tmp_path / "scans", options=SCENES, progress=lambda count, _: done.append(count))
    assert (len(empty_index), done[-1]) == (1, 1)
    report = empty_index.add(tmp_path / "scans", progress=lambda count, _: done.append(count))
    assert (report.read, report.unchanged, len(empty_index), done[-1]) == (1, 1, 2, 1)
    assert seen == [tmp_path / "scans" / "0.ply", tmp_path / "scans" / "1.ply", tmp_path / "scans" / "1.ply"]
    assert len(empty_index.tables.rows("scan", [str(path) for path in seen[:2]])) == sum(
        filter(None, empty_index.tables.scan_files().values())
    )


def test_a_file_that_is_no_scan_is_indexed_as_a_whole(folder: Path, empty_index: Index, model: Model) -> None:
    few = PointCloud(np.random.default_rng(0).random((50, 3)).astype(np.float32))
    save(few, folder / "few.ply")
    assert boxes.find_boxes(folder / "few.ply", FileOptions(model.input)) is None
    report = empty_index.add(folder, options=SCENES)
    assert (report.read, report.boxes, report.failures) == (2, 0, [])
    assert set(empty_index.tables.scan_files().values()) == {0}


def test_boxes_that_were_lost_are_found_again(scans: Index, tmp_path: Path) -> None:
    """As if a process had been killed, or another one had deleted them."""
    scan = tmp_path / "files" / "office" / "Scan.ply"
    count = len(box_rows_of(scans, scan))
    scans.tables.shapes.delete(f"path = '{scan}#box-0'")
    os.utime(scan, ns=(1, 1))
    report = scans.add(tmp_path / "files")
    assert (report.read, report.boxes) == (1, count)
    assert len(box_rows_of(scans, scan)) == count


def test_worker_processes_give_the_same_boxes(tmp_path: Path, model: Model) -> None:
    """With the module's own limit of boxes, because a patch does not reach them."""
    scan = save(small_scan(spacing=0.08, things=2), tmp_path / "scans" / "scan.ply")
    found = []
    for jobs in (0, 1):
        index = Index.open(tmp_path / f"{jobs}.lance", model=model)
        assert index.add(scan.parent, options=IndexOptions(jobs=jobs, scenes="all")).boxes > 0
        found.append(box_rows_of(index, scan))
    assert [row["center"] for row in found[0]] == [row["center"] for row in found[1]]
    assert np.allclose([row["vector"] for row in found[0]], [row["vector"] for row in found[1]], atol=1e-3)


def test_copies_and_similar_things(scans: Index, tmp_path: Path) -> None:
    scan = tmp_path / "files" / "office" / "Scan.ply"
    copy = tmp_path / "files" / "copy.ply"
    shutil.copy(scan, copy)
    assert scans.add(tmp_path / "files").reused == 1
    assert len(box_rows_of(scans, copy)) == len(box_rows_of(scans, scan))
    assert scans.duplicates() == [[str(copy), str(scan)]]
    hits = scans.similar(f"{scan}#box-0", top_k=3)
    assert hits[0].path == f"{copy}#box-0"
    assert f"{scan}#box-0" not in [hit.path for hit in hits]


def test_tags_of_boxes_have_no_sidecars(scans: Index, tmp_path: Path) -> None:
    scan = tmp_path / "files" / "office" / "Scan.ply"
    proposals = [each for each in scans.propose_tags(["cabinet", "mug"]) if "#box-" in each.path]
    assert len(proposals) == len(box_rows_of(scans, scan))
    assert scans.tag({f"{scan}#box-0": ["cabinet"], str(scan): ["office"]}, sidecars=True) == 2
    assert [path.name for path in scan.parent.iterdir() if path.suffix == ".json"] == ["Scan.ply.tags.json"]
    assert scans.undo_tags() == 2
    assert [path.name for path in scan.parent.iterdir()] == ["Scan.ply"]


def test_tags_of_boxes_stay_when_a_scan_is_read_again(scans: Index, tmp_path: Path) -> None:
    scan = tmp_path / "files" / "office" / "Scan.ply"
    scans.tag({f"{scan}#box-0": ["cabinet"]})
    scans.tables.shapes.update(where=f"path = '{scan}'", values={"boxes": None})
    assert scans.add(tmp_path / "files", options=SCENES).boxes > 0
    assert box_rows_of(scans, scan)[0]["tags"] == ["cabinet"]


def test_a_library_without_the_columns_is_converted(folder: Path, empty_index: Index, model: Model) -> None:
    empty_index.add(folder)
    columns = ["scan", "boxes", "center", "rotation"]
    empty_index.tables.shapes.drop_columns(columns)
    assert not set(columns) & set(lancedb.connect(empty_index.uri).open_table("shapes").schema.names)
    old = Index.open(empty_index.uri, model=model)
    assert old.add(folder).unchanged == 1
    assert old.search("mug")[0].metadata["relative_path"] == "good.ply"
    assert old.add(folder, options=SCENES).read == 1


def test_a_box_is_cut_out_of_cloud_and_mesh() -> None:
    turn = axis_rotation("z", 0.3)
    place = {"scan": "s", "center": [1, 2, 3], "rotation": turn.ravel().tolist(), "width": 2.0, "depth": 1.0, "height": 0.5}
    local = np.random.default_rng(0).uniform(-2, 2, (2000, 3))
    cloud = PointCloud((local @ turn.T + (1, 2, 3)).astype(np.float32))
    inside = (np.abs(local) <= (1.1, 0.6, 0.35)).all(axis=1)
    cut = cut_box(cloud, place)
    assert isinstance(cut, PointCloud)
    assert np.array_equal(cut.points, cloud.points[inside])
    mesh = Mesh(cloud.points, np.flatnonzero(inside)[: 3 * (inside.sum() // 3)].reshape(-1, 3))
    part = cut_box(mesh, place)
    assert isinstance(part, Mesh)
    assert len(part.faces) == len(mesh.faces)
    assert np.array_equal(part.vertices[part.faces], mesh.vertices[mesh.faces])
    with pytest.raises(GeometryError, match="Nothing of the scan lies in this box. Index the folder again."):
        cut_box(cloud, place | {"center": [9, 9, 9]})


def test_a_box_of_a_file_of_another_axis_and_far_away(tmp_path: Path) -> None:
    """The place counts in the file: +Y up there, and moved when it is read."""
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3)) + (4_000_000, 1, 0)
    np.savetxt(tmp_path / "scan.xyz", points, fmt="%.4f")
    shape = load(tmp_path / "scan.xyz", up="y")
    place = {"scan": "s", "center": [4_000_000.5, 1.5, 0.5], "rotation": np.eye(3).ravel().tolist(), "width": 1, "depth": 1, "height": 1}
    cut = cut_box(shape, place)
    expected = (np.abs(points - (4_000_000.5, 1.5, 0.5)) <= 0.55).all(axis=1).sum()
    assert isinstance(cut, PointCloud)
    assert abs(len(cut.points) - expected) <= 1


def test_overlaps_are_judged_in_each_scan_alone() -> None:
    eye, turned = np.eye(3).ravel().tolist(), axis_rotation("z", np.pi / 2).ravel().tolist()
    place = {"center": [0, 0, 0], "rotation": eye, "width": 2, "depth": 1, "height": 1}
    places = {
        "a#1": place | {"scan": "a"},
        "a#2": place | {"scan": "a", "center": [0.2, 0, 0]},
        "a#3": place | {"scan": "a", "rotation": turned, "center": [0, 2, 0]},
        "b#1": place | {"scan": "b"},
        "file": {"scan": None, "center": None},
    }
    assert without_overlaps(["file", "a#2", "a#1", "b#1", "a#3", "named"], places) == ["file", "a#2", "b#1", "a#3", "named"]


def test_every_file_can_be_taken_for_a_scan(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LIMIT", 3)
    monkeypatch.setattr(read, "recognise_scene", lambda _: None)
    save(small_scan(spacing=0.08), folder / "scan.ply")
    assert empty_index.add(folder, options=SCENES).boxes == 0
    assert empty_index.add(folder, options=SCENES).unchanged == 2
    report = empty_index.add(folder, options=IndexOptions(scenes="all"))
    assert report.read == 2
    assert len(box_rows_of(empty_index, folder / "scan.ply")) > 0
    assert empty_index.add(folder).unchanged == 2  # as `auto`
    with pytest.raises(ConfigError, match="Unknown scenes 'yes'; expected one of auto, all, none"):
        IndexOptions(scenes="yes")


def test_a_wrong_option_is_still_wrong(scans: Index) -> None:
    with pytest.raises(ConfigError, match="Unknown filter 'boxes'"):
        scans.search(Query(("mug",), where=("boxes>3",)))
