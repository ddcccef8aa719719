"""Files, formats, orders and variants, each by itself; broken files beside good ones; the picture."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from basrelief.errors import BasreliefError, ConfigError, FileFormatError
from basrelief.evaluate import diagnose_maps
from basrelief.evaluate.doctor.maps.draft import likely_variants
from basrelief.evaluate.doctor.maps.order import describe_order, match_views
from basrelief.evaluate.doctor.maps.pairs import find_maps
from basrelief.evaluate.doctor.maps.read import foreground, read_cloud, read_maps
from basrelief.evaluate.doctor.maps.variants import ORIENTATIONS, Orientation, Variant, known_cameras, refinements
from basrelief.io import save
from evaluate.doctor.conftest import of
from support.hostile_pickles import MakesFolder
from support.small_models import box

from .conftest import SIZE, Publish, channels, cloud

MAPS = np.pad(np.full((10, 6, 6), 0.25, dtype=np.float32), ((0, 0), (1, 1), (1, 1)), constant_values=1)


def stored(tmp_path: Path, array: np.ndarray, name: str = "a+chair_dm.npy") -> Path:
    np.save(tmp_path / name, array)
    return tmp_path / name


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("maps", ["", "depth_map", "modelnet40/depth_map"])
@pytest.mark.parametrize("points", ["", "points", "depth_map", "points/chair"])
@pytest.mark.parametrize("name", ["chair_0001.txt", "chair_0001+chair.npy"])
def test_a_cloud_is_found_by_its_name(maps: str, points: str, name: str, tmp_path: Path) -> None:
    touch(tmp_path / maps / "chair_0001+chair_dm.npy")
    cloud = touch(tmp_path / points / name)
    ((home, files),) = find_maps(tmp_path).items()
    assert home == tmp_path / maps
    assert [(file.name, file.label, file.cloud) for file in files] == [("chair_0001+chair", "chair", cloud)]


def test_clouds_beside_the_given_folder_of_maps_are_found(tmp_path: Path) -> None:
    touch(tmp_path / "depth_map" / "7_dm.npy")
    cloud = touch(tmp_path / "points" / "7.ply")
    ((file,),) = find_maps(tmp_path / "depth_map").values()
    assert (file.cloud, file.label) == (cloud, "")


def test_clouds_elsewhere_are_found(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "7+mug_dm.npy")
    touch(tmp_path / "a" / "7.ply")
    cloud = touch(tmp_path / "b" / "7.ply")
    ((file,),) = find_maps(tmp_path / "a", tmp_path / "b").values()
    assert file.cloud == cloud


def test_the_class_decides_between_clouds_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path / "depth_map" / "7+night stand_dm.npy")
    cloud = touch(tmp_path / "points" / "night_stand" / "7.ply")
    touch(tmp_path / "points" / "mug" / "7.ply")
    ((file,),) = find_maps(tmp_path).values()
    assert file.cloud == cloud


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"Folder '.*' has no depth maps \(ID\+CLASS_dm\.npy\)\. Name the folder"),
        (["a.npy"], "has no depth maps"),
        (["7+mug_dm.npy"], r"None of the 1 depth maps has a point cloud below '.*': No point file is called '7'\. Name the folder"),
        (["m/7+mug_dm.npy", "a/7.ply", "b/7.ply"], r"2 point files are called '7'\."),
    ],
)
def test_why_nothing_can_be_compared(files: list[str], message: str, tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    for name in files:
        touch(home / name)
    with pytest.raises(ConfigError, match=message):
        find_maps(home)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Folder '.*away' not found\. Check the spelling\."):
        find_maps(tmp_path / "away")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (MAPS, "10 x 8 x 8, float32 up to 1, near dark, background 1"),
        (channels(MAPS).astype(np.float64), "10 x 8 x 8 x 3, float64 up to 1, near dark, background 1"),
        (1 - MAPS, "10 x 8 x 8, float32 up to 1, near bright, background 0"),
        ((MAPS * 255).astype(np.uint8), "10 x 8 x 8, 8-bit, near dark, background 255"),
        ((MAPS * 255).round(), "10 x 8 x 8, float32 of 256 levels up to 255, near dark, background 255"),
        ((MAPS * 65535).astype(np.uint16), "10 x 8 x 8, uint16 up to 65535, near dark, background 65535"),
        (MAPS.astype(np.float16), "10 x 8 x 8, float16 up to 1, near dark, background 1"),
        (MAPS[..., None] * np.float32([1, 0.5, 0.2]), "10 x 8 x 8 x 3, float32 up to 1, in colour"),
    ],
)
def test_how_maps_are_stored(array: np.ndarray, words: str, tmp_path: Path) -> None:
    found = read_maps(stored(tmp_path, array))
    assert str(found.format) == words
    assert foreground(found.image).sum() == 10 * 36
    assert found.image[:, 0].min() == 1
    if not found.format.colored:
        assert found.image == pytest.approx(MAPS, abs=3e-3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (MAPS * 2 - 1, r"a\+chair_dm\.npy holds values from -0\.5 to 1; expected \[0, 1\] or 0 to 255\. If they were normalised"),
        (np.full((10, 8, 8), np.nan), "holds values from nan to nan"),
        (MAPS[:, :7], "holds maps of 7 x 8 pixels; expected squares"),
        (np.zeros((10, 0, 0)), "expected squares"),
        (MAPS[0], r"expected maps \(V, H, W\)"),
        (np.zeros((65, 2, 2)), r"expected maps \(V, H, W\)"),
        (np.array(["a"]), r"expected maps \(V, H, W\)"),
    ],
)
def test_what_are_no_maps(array: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_maps(stored(tmp_path, array))


def test_a_mesh_is_no_cloud(tmp_path: Path) -> None:
    save(box(), tmp_path / "box.ply")
    with pytest.raises(BasreliefError, match=r"box\.ply holds a mesh; the maps were drawn from points\. Use the point cloud\."):
        read_cloud(tmp_path / "box.ply")


def test_there_are_48_orientations() -> None:
    assert len({orientation.matrix.tobytes() for orientation in ORIENTATIONS}) == 48
    assert [round(float(np.linalg.det(orientation.matrix))) for orientation in ORIENTATIONS] == [1] * 24 + [-1] * 24
    assert Orientation("y").axes == "x, -z, y"
    assert Orientation("z", 90).axes == "-y, x, z"
    assert str(Orientation("-x", 180, mirrored=True)) == "up axis -x, turned by 180 degrees, mirrored"


def test_every_known_variant_can_be_drawn() -> None:
    points = cloud("chair", 200)
    for base in known_cameras():
        for variant in refinements(base, 150):
            drawn = variant.draw(points, 32)
            assert drawn.shape == (10, 32, 32)
            assert drawn.min() >= 0
            assert drawn.max() == 1


def test_choices_of_points_are_smaller_than_the_clouds() -> None:
    counts = {variant.points for variant in refinements(Variant(), 4096)}
    assert counts == {None, 2048, 1024}


def test_the_right_orientation_is_among_the_likely_ones() -> None:
    points = [cloud(label) for label in ("chair", "airplane")]
    variant = Variant(orientation=Orientation("-y", 90))
    likely = likely_variants(points, [variant.draw(cloud, SIZE) for cloud in points], keep=4)
    assert len(likely) == 24
    assert variant in likely


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ((0, 1, 2, 3), "as the projection draws them"),
        ((3, 2, 1, 0), "reversed"),
        ((2, 3, 0, 1), "as the projection draws them, but starting with view 2"),
        ((1, 0, 2, 3), "view 1, 0, 2, 3"),
        ((0, 1, 2, -1), "view 0, 1, 2, none"),
    ],
)
def test_orders_are_found_and_named(order: tuple[int, ...], words: str) -> None:
    drawn = max(order) + 1
    cost = np.ones((len(order), drawn))
    for view, number in enumerate(order):
        if number >= 0:
            cost[view, number] = 0
    assert match_views(cost) == (order, 0)
    assert describe_order(order) == words


def test_views_that_look_alike_stay_in_order() -> None:
    assert match_views(np.full((3, 3), 0.1))[0] == (0, 1, 2)


def test_one_bad_file_does_not_stop_the_rest(publish: Publish, tmp_path: Path) -> None:
    home = publish(Variant())
    mark = tmp_path / "mark"
    (home / "depth_map" / "10+chair_dm.npy").write_bytes(pickle.dumps(MakesFolder(mark)))
    np.save(home / "depth_map" / "11+chair_dm.npy", np.array([MakesFolder(mark)], dtype=object), allow_pickle=True)
    (home / "depth_map" / "12+chair_dm.npy").write_bytes((home / "depth_map" / "0000+chair_dm.npy").read_bytes()[:3000])
    np.save(home / "depth_map" / "13+chair_dm.npy", np.full((10, SIZE, SIZE), np.inf))
    np.save(home / "depth_map" / "14+chair_dm.npy", np.ones((9, SIZE, SIZE)))
    np.save(home / "depth_map" / "15+mug_dm.npy", np.ones((10, SIZE, SIZE)))
    np.save(home / "depth_map" / "16+chair_dm.npy", np.ones((10, SIZE, SIZE)))
    for number in (10, 11, 12, 13, 14):
        np.save(home / "points" / f"{number}.npy", cloud("chair", 100))
    (home / "points" / "16.npy").write_bytes(b"junk")
    (diagnosis,) = diagnose_maps(home)
    assert not mark.exists()
    assert diagnosis.comparison.compared == 3
    assert {name[:2] for name, _ in diagnosis.comparison.failures} == {"10", "11", "12", "13", "14", "15", "16"}
    found = of(diagnosis.findings, "reading")
    assert found.level == "wrong"
    assert found.fact.startswith("7 of 10 shapes cannot be compared, e.g. ")
    assert of(diagnosis.findings, "projection").level == "ok"


def test_nothing_but_bad_files(publish: Publish) -> None:
    home = publish(Variant(), labels=("chair",), points=50)
    (home / "points" / "0000.npy").write_bytes(b"junk")
    (diagnosis,) = diagnose_maps(home)
    assert diagnosis.worst is None
    assert of(diagnosis.findings, "projection").fact == "No depth maps could be compared."


def test_the_sample_is_limited_and_seeded(publish: Publish) -> None:
    home = publish(Variant(), labels=("chair", "mug", "chair", "mug", "chair"), points=200)
    steps: list[tuple[int, int]] = []
    (first,) = diagnose_maps(home, sample=2, seed=1, progress=lambda done, total: steps.append((done, total)))
    (again,) = diagnose_maps(home, sample=2, seed=1)
    assert first.comparison == again.comparison
    assert (first.comparison.files, first.comparison.compared) == (5, 2)
    assert steps == [(done, 10) for done in range(1, 11)]


def test_the_picture_shows_where_maps_differ(publish: Publish) -> None:
    def nearer(maps: np.ndarray) -> np.ndarray:
        maps = maps.copy()
        maps[0, 20:28, 20:28] = 0
        return channels(maps)

    (diagnosis,) = diagnose_maps(publish(Variant(), store=nearer, points=900))
    assert diagnosis.worst is not None
    picture = np.asarray(diagnosis.sheet()).astype(int)
    reds = (picture[..., 0] - picture[..., 2] > 200).sum()
    blues = (picture[..., 2] - picture[..., 0] > 200).sum()
    assert reds > 500
    assert blues == 0
