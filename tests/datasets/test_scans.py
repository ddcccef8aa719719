"""Data sets of annotated scans: layouts, splits, alignment, classes, boxes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import open_scans
from basrelief.datasets.scans.classes import scan_classes
from basrelief.datasets.scans.split_lists import published_val
from basrelief.errors import ConfigError
from basrelief.types import Mesh, PointCloud
from support import scan_miniatures
from support.scan_miniatures import THINGS, TRAIN, VAL, Scan

KEPT = ("office chair", "couch", "trash can")


def test_the_published_list_is_complete() -> None:
    text = "".join(f"{name}\n" for name in published_val())
    assert hashlib.sha256(text.encode()).hexdigest().startswith("d75d4971")
    assert len(published_val()) == 312
    assert len({name[:9] for name in published_val()}) == 142


def test_a_scan_of_the_release(tmp_path: Path) -> None:
    found = open_scans(scan_miniatures.scannet(tmp_path))
    assert (found.name, found.layout, found.split, len(found)) == ("scannet", "scannet-release", "val", 2)
    assert found.class_names[2:4] == ("chair", "sofa")
    assert "non-commercial" in found.card.licence
    assert [item.id for item in found.scans] == list(VAL)
    scan = found.scans[0].load()
    assert isinstance(scan.shape, Mesh)
    expected = Scan().mesh()
    np.testing.assert_allclose(scan.shape.vertices, expected.vertices, atol=1e-5)
    assert scan.shape.colors is not None
    assert [found.class_names[label] for label in scan.labels] == ["chair", "sofa", "garbage bin"]
    np.testing.assert_allclose(scan.boxes.bounds(), Scan().boxes(*KEPT).bounds(), atol=1e-5)
    assert scan.instances is not None
    assert scan.instances.tolist() == np.repeat([-1, 0, 1, -1, 2], 8).tolist()
    assert scan.findings == ()


def test_boxes_are_the_extent_of_the_aligned_vertices_of_each_instance(tmp_path: Path) -> None:
    scan = open_scans(scan_miniatures.scannet(tmp_path)).scans[0].load()
    assert isinstance(scan.shape, Mesh)
    for row, bounds in enumerate(scan.boxes.bounds()):
        own = scan.shape.vertices[scan.instances == row]
        np.testing.assert_allclose(bounds, [own.min(axis=0), own.max(axis=0)], atol=1e-6)


def test_a_subset_of_other_classes(tmp_path: Path) -> None:
    found = open_scans(scan_miniatures.scannet(tmp_path), classes="scannet-ov3det")
    assert [found.class_names[label] for label in found.scans[0].load().labels] == ["chair", "sofa", "dresser"]


def test_scans_may_lie_in_several_places(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path / "nested" / "release")
    inside = {item.id for item in open_scans(root / "scans", "scannet").scans}
    assert inside == {item.id for item in open_scans(tmp_path / "nested").scans} == set(VAL)
    beside = tmp_path / "beside"
    scan_miniatures.write_labels(beside)
    scan_miniatures.write_scan(beside, VAL[0])
    assert [item.id for item in open_scans(beside).scans] == [VAL[0]]
    shutil.move(root / "scans" / VAL[1], beside / VAL[1])
    assert [item.id for item in open_scans(beside).scans] == list(VAL)


def test_train_is_what_the_published_list_leaves(tmp_path: Path) -> None:
    found = open_scans(scan_miniatures.scannet(tmp_path), split="train")
    assert [item.id for item in found.scans] == [TRAIN]


def test_the_list_of_the_user_decides(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path)
    (root / "Tasks" / "Benchmark").mkdir(parents=True)
    listed = root / "Tasks" / "Benchmark" / "scannetv2_val.txt"
    listed.write_text("".join(f"{name}\n" for name in published_val()))
    found = open_scans(root)
    assert [item.id for item in found.scans] == list(VAL)
    assert [f.fact for f in found.findings if f.check == "split"] == [
        "2 of 312 scans of val are on disk, by scannetv2_val.txt of this copy, the published list."
    ]
    listed.write_text(f"{TRAIN}\n{VAL[0]}\n")
    found = open_scans(root)
    assert [item.id for item in found.scans] == [TRAIN, VAL[0]]
    assert [(f.level, f.fact) for f in found.findings if f.check == "split"] == [
        ("ok", "2 of 2 scans of val are on disk, by scannetv2_val.txt of this copy."),
        ("warning", "scannetv2_val.txt of this copy is not the published validation list."),
    ]


def test_a_scan_without_alignment_is_used_as_it_is(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path)
    (root / "scans" / VAL[0] / f"{VAL[0]}.txt").write_text("colorHeight = 968\n")
    (root / "scans" / VAL[1] / f"{VAL[1]}.txt").unlink()
    found = open_scans(root)
    assert [f.fact for f in found.findings if f.check == "alignment"] == [
        f"1 of 2 scans have no .txt file with axisAlignment, e.g. {VAL[1]}."
    ]
    for item, reason in zip(found.scans, ("does not say", "is missing, which says"), strict=True):
        scan = item.load()
        assert isinstance(scan.shape, Mesh)
        np.testing.assert_allclose(scan.shape.vertices, Scan().unaligned().vertices, atol=1e-6)
        assert [(f.level, f.fact) for f in scan.findings] == [
            ("warning", f"{item.id}.txt {reason} how the walls lie; the scan is used as it is.")
        ]


def test_later_objects_overwrite_earlier_ones(tmp_path: Path) -> None:
    """A shared segment belongs to the last object; the class of an object is that of its first segment."""
    groups = Scan().groups()
    groups[2]["segments"] = [*groups[1]["segments"], *groups[2]["segments"]]  # type: ignore[misc] # the sofa takes the chair's

    class Shared(Scan):
        def groups(self) -> list[dict[str, object]]:
            return groups

    found = open_scans(scan_miniatures.scannet(tmp_path, scan=Shared()))
    scan = found.scans[0].load()
    assert [found.class_names[label] for label in scan.labels] == ["sofa", "garbage bin"]
    both = Scan().boxes("office chair", "couch").bounds()
    np.testing.assert_allclose(scan.boxes.bounds()[0], [both[:, 0].min(axis=0), both[:, 1].max(axis=0)], atol=1e-5)


@pytest.mark.parametrize("aligned", [True, False])
def test_the_export_of_votenet(aligned: bool, tmp_path: Path) -> None:
    found = open_scans(scan_miniatures.votenet(tmp_path, aligned=aligned))
    assert (found.layout, [item.id for item in found.scans]) == ("scannet-votenet", list(VAL))
    scan = found.scans[0].load()
    assert isinstance(scan.shape, PointCloud)
    np.testing.assert_allclose(scan.shape.points, Scan().mesh().vertices, atol=1e-5)
    assert scan.shape.colors is not None
    assert np.allclose(scan.shape.colors, 0.4)
    assert [found.class_names[label] for label in scan.labels] == ["chair", "sofa", "garbage bin"]
    np.testing.assert_allclose(scan.boxes.bounds(), Scan().boxes(*KEPT).bounds(), atol=1e-6)
    assert scan.instances is not None
    assert scan.instances.tolist() == np.repeat([-1, 0, 1, -1, 2], 8).tolist()


def test_the_export_and_the_release_agree(tmp_path: Path) -> None:
    release = open_scans(scan_miniatures.scannet(tmp_path / "release")).scans[1].load()
    export = open_scans(scan_miniatures.votenet(tmp_path / "export") / "scannet_train_detection_data").scans[1].load()
    assert release.labels.tolist() == export.labels.tolist()
    np.testing.assert_allclose(release.boxes.bounds(), export.boxes.bounds(), atol=1e-5)


def test_lists_may_lie_beside_the_export(tmp_path: Path) -> None:
    root = scan_miniatures.votenet(tmp_path)
    (root / "meta_data").mkdir()
    (root / "meta_data" / "scannetv2_test.txt").write_text(f"{TRAIN}\n")
    assert [item.id for item in open_scans(root, split="test").scans] == [TRAIN]


def test_sun_rgbd_boxes_turn_counter_clockwise_with_full_lengths(tmp_path: Path) -> None:
    found = open_scans(scan_miniatures.sunrgbd(tmp_path))
    assert (found.name, found.layout, [item.id for item in found.scans]) == ("sunrgbd", "sunrgbd-votenet", ["000003", "000004"])
    scan = found.scans[0].load()
    assert [found.class_names[label] for label in scan.labels] == ["chair", "bed"]
    np.testing.assert_allclose(scan.boxes.sizes[0], (0.8, 0.6, 1.0))
    np.testing.assert_allclose(scan.boxes.yaws, (np.pi / 2, -0.25))
    np.testing.assert_allclose(scan.boxes.rotations()[0][:, 0], (0, 1, 0), atol=1e-12)  # the front of the chair, along its length
    np.testing.assert_allclose(scan.boxes.bounds()[0], [(0.7, 1.6, 0), (1.3, 2.4, 1)], atol=1e-12)
    assert scan.instances is None


def test_corners_are_those_of_votenet(tmp_path: Path) -> None:
    """`my_compute_box_3d` of its sunrgbd_utils, from half lengths and a heading that runs clockwise."""
    scan = open_scans(scan_miniatures.sunrgbd(tmp_path)).scans[0].load()
    center, (length, width, height), heading = np.array((0, 3, 0.3)), (1, 0.8, 0.3), 0.25
    cos, sin = np.cos(-heading), np.sin(-heading)
    corners = np.array([(x, y, z) for x in (-length, length) for y in (-width, width) for z in (-height, height)])
    theirs = corners @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T + center
    distances = np.linalg.norm(scan.boxes.corners()[1][:, None] - theirs, axis=2)
    assert distances.min(axis=0).max() < 1e-12
    assert len(set(distances.argmin(axis=0).tolist())) == 8


def test_sun_rgbd_in_one_folder_or_the_second_version(tmp_path: Path) -> None:
    root = scan_miniatures.sunrgbd(tmp_path / "v2", version=2)
    assert len(open_scans(root)) == 2
    folder = root / "sunrgbd_pc_bbox_votes_50k_v2_train"
    assert len(open_scans(folder, split="train")) == 2
    with pytest.raises(ConfigError, match="holds the train split. Pass --split train, or the folder above"):
        open_scans(folder)
    (folder / "train_data_idx.txt").write_text("1\n7\n")
    assert [item.id for item in open_scans(folder, split="train").scans] == ["000001"]
    with pytest.raises(ConfigError, match="SUN RGB-D has no test split"):
        open_scans(root, split="test")


def test_classes_have_numbers_and_wordings() -> None:
    classes = scan_classes("scannet")
    assert classes.numbers == (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
    assert classes.wordings("sofa") == ("sofa", "couch")
    assert classes.wordings("bed") == ("bed",)
    assert classes.catch_all == ("garbage bin",)
    assert classes.places(np.array([39, 3, 2, 40, 0, 28])).tolist() == [17, 0, -1, -1, -1, 13]
    ov3det = scan_classes("scannet-ov3det")
    assert dict(zip(ov3det.names, ov3det.numbers, strict=True)).items() > {("lamp", 35), ("bag", 37), ("toilet", 33)}
    for name in ("scannet", "scannet-ov3det", "sunrgbd"):
        chosen = scan_classes(name)
        assert len(chosen.names) == len(set(chosen.numbers))
        assert set(chosen.synonyms) <= set(chosen.names)
    with pytest.raises(ConfigError, match="Unknown classes of scans 'lvis'; expected one of scannet"):
        scan_classes("lvis")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "scanet"}, "Unknown data set of scans 'scanet'; expected one of scannet, sunrgbd. Did you mean 'scannet'?"),
        ({"split": "vall"}, "Unknown split 'vall'; expected one of train, val, test"),
        ({"name": "sunrgbd"}, "does not look like sunrgbd. Looked for: sunrgbd_pc_bbox"),
        ({"split": "test"}, "has no scan of the test split of scannet"),
        ({"classes": "sunrgbd"}, "'sunrgbd' are classes of sunrgbd, but .* is scannet. Leave them out."),
    ],
)
def test_wrong_options_are_explained(options: dict[str, str], message: str, tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    (root / "scannetv2_test.txt").write_text("scene0707_00\n")
    with pytest.raises(ConfigError, match=message):
        open_scans(root, **options)  # type: ignore[arg-type]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        open_scans(tmp_path / "absent")
    with pytest.raises(ConfigError, match="does not look like a data set of scans. Looked for: scans/ID"):
        open_scans(tmp_path)


def test_a_release_needs_the_table_of_labels(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path)
    (root / "scannetv2-labels.combined.tsv").unlink()
    with pytest.raises(ConfigError, match=r"has no scannetv2-labels\.combined\.tsv, which says the class"):
        open_scans(root)


def test_everything_in_the_scan_has_a_place() -> None:
    assert {thing.raw for thing in THINGS} <= set(scan_miniatures.NYU40)
