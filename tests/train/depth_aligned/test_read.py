"""Reading depth-aligned images: ours in both layouts, and OpenDlign's as its code reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, FileFormatError
from basrelief.train import AlignedMaker, Workers, make_records
from basrelief.train.depth_aligned.draw import draw_views
from basrelief.train.depth_aligned.read import QUALITY, Thresholds, open_aligned, read_quality
from basrelief.train.records.make import record_key

from .conftest import QUICK, write_published


@pytest.mark.parametrize("layout", ["shards", "folders"])
def test_records_are_read_back(layout: str, library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=AlignedMaker(QUICK), layout=layout)
    found = open_aligned(tmp_path / "out")
    assert (len(found), found.views, found.labels) == (4, 10, ("chair", "mug"))
    by_key = {record_key(item): item for item in library.items}
    for row, key in enumerate(found.keys):
        item = by_key[key]
        drawn = draw_views(library.load(item), item.id, settings=QUICK)
        np.testing.assert_array_equal(found.depth(row), drawn.depth)
        np.testing.assert_array_equal(found.pictures(row), drawn.pictures)
        assert found.truth[row] == item.label
        assert found.kept(row).all()
    assert found.projection == {"name": "opendlign", "size": 48}


def test_the_number_of_processes_does_not_change_the_result(library: Benchmark, tmp_path: Path) -> None:
    for name, workers in (("one", Workers(1)), ("two", Workers(2))):
        make_records(library, tmp_path / name, maker=AlignedMaker(QUICK), workers=workers)
    one, two = ((tmp_path / name / "shard-000000.tar").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    found = open_aligned(write_published(tmp_path))
    assert (len(found), found.views) == (3, 10)
    assert found.labels == ("night stand", "sofa")
    assert list(found.truth) == [0, 1, 0]
    stored = np.load(tmp_path / "depth_map" / "id1+sofa_dm.npy")
    np.testing.assert_array_equal(found.depth(1), stored[..., 0])
    assert (found.pictures(1)[4] == 41).all()
    assert found.projection == {"name": "opendlign", "size": 24}


def test_names_without_a_class_have_no_label(tmp_path: Path) -> None:
    found = open_aligned(write_published(tmp_path, classes=False))
    assert found.labels == ()
    assert list(found.truth) == [-1, -1, -1]


def test_shares_are_bytes_again(tmp_path: Path) -> None:
    whole = open_aligned(write_published(tmp_path / "bytes"))
    shares = open_aligned(write_published(tmp_path / "shares", kind="float32"))
    for row in range(3):
        np.testing.assert_array_equal(whole.depth(row), shares.depth(row))


def test_maps_of_one_channel_are_read_too(tmp_path: Path) -> None:
    home = write_published(tmp_path)
    path = home / "depth_map" / "id0+night_stand_dm.npy"
    np.save(path, np.load(path)[..., 0])
    assert open_aligned(home).depth(0).shape == (10, 24, 24)


def test_maps_without_images_are_left_out(tmp_path: Path) -> None:
    home = write_published(tmp_path)
    np.save(home / "depth_map" / "alone_dm.npy", np.zeros((10, 24, 24), np.uint8))
    assert len(open_aligned(home)) == 3


def test_images_may_be_named_with_their_class(tmp_path: Path) -> None:
    home = write_published(tmp_path)
    (home / "depth_align_img" / "id0").rename(home / "depth_align_img" / "id0+night_stand")
    assert (open_aligned(home).pictures(0)[3] == 30).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 24), np.uint8), r"id2\+night_stand_dm.npy has shape \(10, 24\) and dtype uint8; expected maps \(V, H, W\)"),
        (np.zeros((10, 24, 24, 4), np.uint8), r"expected maps \(V, H, W\)"),
        (np.zeros((65, 4, 4), np.uint8), r"expected maps \(V, H, W\)"),
        (np.zeros((1, 1025, 4), np.uint8), r"expected maps \(V, H, W\)"),
        (np.zeros((10, 24, 24), np.complex64), r"expected maps \(V, H, W\)"),
        (np.full((10, 24, 24), 3.0), r"are neither bytes nor in \[0, 1\]\. Scale them"),
        (np.full((10, 24, 24), np.nan), r"are neither bytes nor in \[0, 1\]\. Scale them"),
    ],
)
def test_invalid_arrays_are_rejected(array: np.ndarray, message: str, tmp_path: Path) -> None:
    home = write_published(tmp_path)
    found = open_aligned(home)
    np.save(home / "depth_map" / "id2+night_stand_dm.npy", array)
    with pytest.raises(FileFormatError, match=message):
        found.depth(2)


def test_a_pickle_instead_of_an_array_is_rejected(tmp_path: Path) -> None:
    home = write_published(tmp_path)
    found = open_aligned(home)
    np.save(home / "depth_map" / "id2+night_stand_dm.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"id2\+night_stand_dm\.npy cannot be read as npy"):
        found.depth(2)


def test_folders_without_images_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no depth-aligned images \(records.json or depth_map\)\. Run basrelief train"):
        open_aligned(tmp_path)
    (tmp_path / "depth_map").mkdir()
    with pytest.raises(ConfigError, match="None of the 0 depth maps depth_map/ID_dm.npy has a folder depth_align_img/ID"):
        open_aligned(tmp_path)


def test_a_missing_image_is_reported(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=AlignedMaker(QUICK), layout="folders")
    found = open_aligned(tmp_path / "out")
    (tmp_path / "out" / found.keys[1] / "7.png").unlink()
    with pytest.raises(FileFormatError, match=r"Record '.*' has no readable 7\.png"):
        found.pictures(1)
    home = write_published(tmp_path / "published")
    (home / "depth_align_img" / "id0" / "7.png").unlink()
    with pytest.raises(FileFormatError, match="has no readable picture: "):
        open_aligned(home).pictures(0)


def test_training_uses_the_filter(tmp_path: Path) -> None:
    home = write_published(tmp_path)
    label, contour = [1.0] * 9 + [0.2], [0.1] + [0.9] * 9
    lines = [{"judge": "x", "label": 0.9, "contour": 0.65}, {"id": "id1+sofa", "label": label, "contour": contour}]
    (home / QUALITY).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = open_aligned(home)
    assert found.kept(1).tolist() == [False] + [True] * 8 + [False]
    assert found.kept(0).all(), "what was not judged is kept"


def test_a_truncated_line_is_ignored(tmp_path: Path) -> None:
    home = write_published(tmp_path)
    head = json.dumps({"judge": "x", "label": 0.9, "contour": 0.65})
    (home / QUALITY).write_text(head + '\n{"id": "id1+sofa", "lab')
    assert read_quality(home) == ({"judge": "x", "label": 0.9, "contour": 0.65}, {})
    (home / QUALITY).write_text(head + '\n{"id": "id1+sofa", "lab\n{"id": "id0", "label": [], "contour": []}\n')
    with pytest.raises(FileFormatError, match="quality.jsonl has a broken line"):
        read_quality(home)
    (home / QUALITY).write_text("junk")
    with pytest.raises(FileFormatError, match="quality.jsonl has a broken line: 'junk'. Remove the file"):
        open_aligned(home).kept(0)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_thresholds_are_in_the_unit_interval(value: float) -> None:
    for name in ("label", "contour"):
        with pytest.raises(ConfigError, match=rf"The {name} threshold is {value}; it must lie in \[0, 1\]"):
            Thresholds(**{name: value})
