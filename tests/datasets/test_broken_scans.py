"""Broken and hostile files of scans: an error of that scan, with the reason; the other scans still load."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import open_scans
from basrelief.errors import FileFormatError
from basrelief.limits import limits, use_limits
from support import scan_miniatures
from support.scan_miniatures import VAL, Scan

Break = Callable[[Path, str], object]
SEGMENTS = "_vh_clean_2.0.010000.segs.json"


def write(suffix: str, text: str) -> Break:
    return lambda folder, name: (folder / f"{name}{suffix}").write_text(text)


def remove(suffix: str) -> Break:
    return lambda folder, name: (folder / f"{name}{suffix}").unlink()


def groups(**changes: object) -> str:
    """The objects of a scan, the second one changed."""
    listed = Scan().groups()
    listed[1] = {key: value for key, value in (listed[1] | changes).items() if value is not None}
    return json.dumps({"segGroups": listed})


BROKEN: dict[str, tuple[Break, str]] = {
    "no objects": (remove(".aggregation.json"), "is missing. Download it; scans of the test split have no annotations"),
    "no segments": (remove(SEGMENTS), "is missing. Download it"),
    "cut json": (write(".aggregation.json", '{"segGroups": ['), "is not JSON in UTF-8"),
    "deep json": (write(".aggregation.json", "[" * 100_000), "is not JSON in UTF-8"),
    "a list": (write(".aggregation.json", "[]"), "has no list segGroups"),
    "no group": (write(".aggregation.json", '{"segGroups": [5]}'), "has an object without objectId or label"),
    "text for a number": (write(".aggregation.json", groups(objectId="1")), "has an object without objectId or label"),
    "a truth for a number": (write(".aggregation.json", groups(objectId=True)), "has an object without objectId or label"),
    "a negative number": (write(".aggregation.json", groups(objectId=-1)), "has an object without objectId or label"),
    "a huge number": (write(".aggregation.json", groups(objectId=10**30)), "has an object without objectId or label"),
    "no label": (write(".aggregation.json", groups(label=None)), "has an object without objectId or label"),
    "another label": (write(".aggregation.json", groups(label="gizmo" * 99)), "has an object of the unknown category 'gizmogizmo"),
    "no segments of an object": (write(".aggregation.json", groups(segments=None)), "has no list segments"),
    "segments of fractions": (write(".aggregation.json", groups(segments=[1.5])), "has segment ids that are not whole numbers"),
    "huge segments": (write(".aggregation.json", groups(segments=[10**40])), "has segment ids that are not whole numbers"),
    "unknown segments": (write(".aggregation.json", groups(segments=[5])), "names a segment that no vertex has"),
    "too few vertices": (write(SEGMENTS, '{"segIndices": [1, 2]}'), "has segments of 2 vertices, but the mesh has 40"),
    "no vertices": (write(SEGMENTS, '{"segIndices": []}'), "has segments of 0 vertices, but the mesh has 40"),
    "no list": (write(SEGMENTS, '{"segIndices": "1, 2"}'), "has no list segIndices"),
    "a wrong number of values": (write(".txt", "axisAlignment = 1 0 0"), "has 3 numbers; expected 16"),
    "words": (write(".txt", "axisAlignment = one two"), "axisAlignment of .* is 'one two'; expected 16 numbers"),
    "a scale": (write(".txt", f"axisAlignment = {'2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1'}"), "is not a rotation with a translation"),
    "a reflection": (write(".txt", f"axisAlignment = {'-1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1'}"), "is not a rotation with a translation"),
    "nan": (write(".txt", f"axisAlignment = {'nan 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1'}"), "is not a rotation with a translation"),
    "huge": (write(".txt", f"axisAlignment = {'1e300 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1'}"), "is not a rotation with a translation"),
    "far away": (write(".txt", f"axisAlignment = {'1 0 0 1e300 0 1 0 0 0 0 1 0 0 0 0 1'}"), "are not finite in float32"),
    "no mesh": (write("_vh_clean_2.ply", "no mesh"), "_vh_clean_2.ply"),
    "an empty mesh": (write("_vh_clean_2.ply", ""), "is empty"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_scan_is_an_error_of_that_scan(name: str, tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    broken, message = BROKEN[name]
    broken(root / "scans" / VAL[0], VAL[0])
    found = open_scans(root)
    with pytest.raises(FileFormatError, match=f"Scan {VAL[0]} cannot be used: .*{message}"):
        found.scans[0].load()
    assert len(found.scans[1].load().boxes) == 3


def test_scans_without_annotations_are_found_before_they_are_read(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    (root / "scans" / VAL[0] / f"{VAL[0]}.aggregation.json").unlink()
    found = [f for f in open_scans(root).findings if f.check == "annotations"]
    assert [(f.level, f.fact) for f in found] == [("wrong", f"1 of 2 scans have no .aggregation.json file, e.g. {VAL[0]}.")]


def test_an_object_without_segments_and_one_that_lost_all_are_left_out(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    (root / "scans" / VAL[0] / f"{VAL[0]}.aggregation.json").write_text(groups(segments=[]))
    assert len(open_scans(root).scans[0].load().boxes) == 2


def test_annotations_are_bounded(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    with use_limits(replace(limits(), json_values=20)), pytest.raises(FileFormatError, match="declares 44 values of JSON; at most 20"):
        open_scans(root).scans[0].load()
    with use_limits(replace(limits(), list_bytes=300)), pytest.raises(FileFormatError, match="is larger than 300 bytes"):
        open_scans(root).scans[0].load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raw_category\tnyu40id\nchair\tfive\n", "cannot be read as a table: invalid literal"),
        ("a,b\n1,2\n", "has no columns raw_category and nyu40id, separated by tabs"),
        ("", "has no columns raw_category"),
        ("raw_category\tnyu40id\n" + "x" * 200_000 + "\t5\n", "cannot be read as a table: field larger"),
        ("raw_category\tnyu40id\nchair\t" + "9" * 5000 + "\n", "cannot be read as a table: Exceeds the limit"),
    ],
)
def test_a_broken_table_of_labels_is_an_error_of_the_set(text: str, message: str, tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    (root / "scannetv2-labels.combined.tsv").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        open_scans(root)


def test_a_scan_that_links_elsewhere_is_not_read(tmp_path: Path) -> None:
    outside = scan_miniatures.scannet(tmp_path / "outside", names=VAL)
    root = scan_miniatures.scannet(tmp_path / "root", names=VAL[:1])
    (root / "scans" / VAL[1]).symlink_to(outside / "scans" / VAL[1])
    assert [item.id for item in open_scans(root).scans] == [VAL[0]]
    (tmp_path / "secret.txt").write_text("axisAlignment = password\n")
    meta = root / "scans" / VAL[0] / f"{VAL[0]}.txt"
    meta.unlink()
    meta.symlink_to(tmp_path / "secret.txt")
    with pytest.raises(FileFormatError, match="is not a regular file inside the data set") as refused:
        open_scans(root).scans[0].load()
    assert "password" not in str(refused.value)


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch basrelief-was-here",)


def arrays(suffix: str, values: object) -> Break:
    return lambda folder, name: np.save(folder / f"{name}{suffix}", np.asarray(values))


ARRAYS: dict[str, tuple[Break, str]] = {
    "no boxes": (remove("_bbox.npy"), "_bbox.npy is missing. Export the scan again"),
    "boxes of words": (arrays("_bbox.npy", [["a"] * 7]), "expected numbers .N, 7."),
    "boxes of six numbers": (arrays("_bbox.npy", np.zeros((2, 6))), "has shape .2, 6. and dtype float64; expected numbers .N, 7."),
    "negative sizes": (arrays("_bbox.npy", [[0, 0, 0, -1, 1, 1, 5]]), "has negative sizes"),
    "sizes that are no numbers": (arrays("_bbox.npy", [[0, 0, 0, np.nan, 1, 1, 5]]), "sizes of boxes has shape"),
    "half a class": (arrays("_bbox.npy", [[0, 0, 0, 1, 1, 1, 5.5]]), "has values that are not whole numbers"),
    "no class": (arrays("_bbox.npy", [[0, 0, 0, 1, 1, 1, np.nan]]), "has values that are not whole numbers"),
    "infinite class": (arrays("_bbox.npy", [[0, 0, 0, 1, 1, 1, np.inf]]), "has values that are not whole numbers"),
    "a pickle": (
        lambda folder, name: np.save(folder / f"{name}_bbox.npy", np.array([Bomb()], dtype=object), allow_pickle=True),
        "cannot be read as npy",
    ),
    "a bare pickle": (
        lambda folder, name: (folder / f"{name}_ins_label.npy").write_bytes(pickle.dumps(Bomb())),
        "cannot be read as npy",
    ),
    "few instances": (arrays("_ins_label.npy", [1, 2]), "has 2 numbers for 40 points"),
    "a table of instances": (arrays("_ins_label.npy", np.zeros((40, 2))), "expected numbers .N,."),
    "few labels": (arrays("_sem_label.npy", []), "has 0 numbers for 40 points"),
    "no points": (arrays("_vert.npy", np.zeros((0, 6))), "points is empty"),
    "points that are no numbers": (arrays("_vert.npy", np.full((40, 6), np.nan)), "of points are not finite"),
    "flat points": (arrays("_vert.npy", np.zeros((40, 2))), "expected numbers .N, 6."),
    "a cut file": (lambda folder, name: os.truncate(folder / f"{name}_vert.npy", 200), "cannot be read as npy"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_broken_export_is_an_error_of_that_scan(name: str, tmp_path: Path) -> None:
    root = scan_miniatures.votenet(tmp_path)
    broken, message = ARRAYS[name]
    broken(root / "scannet_train_detection_data", VAL[0])
    found = open_scans(root)
    with pytest.raises(FileFormatError, match=f"Scan {VAL[0]} cannot be used: .*{message}"):
        found.scans[0].load()
    assert len(found.scans[1].load().boxes) == 3
    assert not Path("basrelief-was-here").exists()


def test_an_export_without_boxes_or_colours_is_fine(tmp_path: Path) -> None:
    root = scan_miniatures.votenet(tmp_path)
    arrays("_bbox.npy", np.zeros((0, 7)))(root / "scannet_train_detection_data", VAL[0])
    arrays("_vert.npy", np.random.default_rng(0).random((40, 3)))(root / "scannet_train_detection_data", VAL[0])
    scan = open_scans(root).scans[0].load()
    assert (len(scan.boxes), scan.shape.colors) == (0, None)
    assert scan.instances is not None
    assert (scan.instances == -1).all()


def test_arrays_are_bounded(tmp_path: Path) -> None:
    root = scan_miniatures.votenet(tmp_path)
    with use_limits(replace(limits(), points=30)), pytest.raises(FileFormatError, match="declares 40 rows; at most 30"):
        open_scans(root).scans[0].load()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0, 0, 1, 1, 1, 0, 10], "has a class that is not one of 0 to 9"),
        ([0, 0, 0, 1, 1, 1, 0, -1], "has a class that is not one of 0 to 9"),
        ([0, 0, 0, 1, -1, 1, 0, 1], "has negative sizes"),
        ([0, 0, 0, 1, 1, 1, np.inf, 1], "yaws of boxes has shape"),
    ],
)
def test_broken_boxes_of_sun_rgbd(row: list[float], message: str, tmp_path: Path) -> None:
    root = scan_miniatures.sunrgbd(tmp_path)
    np.save(root / "sunrgbd_pc_bbox_votes_50k_v1_val" / "000003_bbox.npy", np.array([row]))
    found = open_scans(root)
    with pytest.raises(FileFormatError, match=f"Scan 000003 cannot be used: .*{message}"):
        found.scans[0].load()
    assert len(found.scans[1].load().boxes) == 2


def test_a_broken_list_of_sun_rgbd(tmp_path: Path) -> None:
    root = scan_miniatures.sunrgbd(tmp_path)
    (root / "val_data_idx.txt").write_text("1\ntwo\n")
    with pytest.raises(FileFormatError, match=r"val_data_idx\.txt has lines that are no whole numbers"):
        open_scans(root)


def test_a_long_table_of_labels_is_refused(tmp_path: Path) -> None:
    root = scan_miniatures.scannet(tmp_path, names=VAL)
    (root / "scannetv2-labels.combined.tsv").write_text("raw_category\tnyu40id\n" + "chair\t5\n" * 100_000)
    with pytest.raises(FileFormatError, match="declares 100,001 lines; at most 100,000"):
        open_scans(root)
