"""Every layout: detection, order of items, up axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import Benchmark, dataset_card, open_benchmark
from basrelief.datasets.labels import label_set
from basrelief.datasets.layouts.registry import LAYOUTS
from basrelief.errors import ConfigError, FileFormatError
from basrelief.types import Mesh
from support import dataset_miniatures

CARDS = {
    "modelnet-off": "modelnet40",
    "modelnet-h5": "modelnet40",
    "modelnet-txt": "modelnet40",
    "scanobjectnn": "scanobjectnn",
    "omniobject3d": "omniobject3d",
    "shapenet-core": "shapenet55",
    "shapenet55-npy": "shapenet55",
    "objaverse-lvis": "objaverse-lvis",
    "openshape-modelnet40": "modelnet40",
    "openshape-scanobjectnn": "scanobjectnn",
    "openshape-lvis": "objaverse-lvis",
}


def opened(root: Path, name: str | None = None, **options: str) -> Benchmark:
    return open_benchmark(root, name, strict=False, **options)  # type: ignore[arg-type]


def test_every_layout_has_a_miniature() -> None:
    assert set(dataset_miniatures.WRITERS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", dataset_miniatures.WRITERS)
def test_a_layout_is_found_and_named(layout: str, tmp_path: Path) -> None:
    found = opened(dataset_miniatures.WRITERS[layout](tmp_path / "set"))
    assert found.layout == layout
    assert found.name == CARDS.get(layout, "set")
    assert len({item.id for item in found.items}) == len(found)
    assert not any(str(tmp_path) in item.id for item in found.items)


@pytest.mark.parametrize("layout", CARDS)
def test_a_layout_is_found_by_the_name_of_its_data_set(layout: str, tmp_path: Path) -> None:
    assert opened(dataset_miniatures.WRITERS[layout](tmp_path / "set"), CARDS[layout]).layout == layout


@pytest.mark.parametrize("layout", sorted(set(dataset_miniatures.WRITERS) - {"opendlign-depth-maps"}))
def test_shapes_stand_up_in_the_world_frame(layout: str, tmp_path: Path) -> None:
    found = opened(dataset_miniatures.WRITERS[layout](tmp_path / "set"))
    shape = found.load(found.items[0])
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    extent = np.ptp(points, axis=0)
    if layout != "objaverse-lvis":  # its box is 1 x 2 x 3 in the world frame
        assert extent.argmax() == 2
    assert extent[2] > 1.4 * extent[0]


@pytest.mark.parametrize("layout", sorted(set(dataset_miniatures.WRITERS) - {"opendlign-depth-maps"}))
def test_reading_twice_gives_the_same(layout: str, tmp_path: Path) -> None:
    root = dataset_miniatures.WRITERS[layout](tmp_path / "set")
    one, two = opened(root), opened(root)
    assert one == two
    assert one.fingerprint() == two.fingerprint()


def test_modelnet_is_in_the_published_class_order(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.modelnet_off(tmp_path))
    assert found.labels == label_set("modelnet40")
    assert [item.label for item in found.items] == list(range(40))
    assert found.items[found.labels.index("night stand")].id == "night_stand/test/night_stand_0002.off"
    assert found.up == "z"


def test_modelnet10_is_recognised_by_its_classes(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.modelnet_off(tmp_path, classes=label_set("modelnet10")))
    assert found.name == "modelnet10"
    assert opened(tmp_path, "modelnet40").name == "modelnet40"


def test_off_files_of_other_classes_are_a_folder_of_ones_own(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.modelnet_off(tmp_path / "mine", classes=("chair", "gizmo")))
    assert (found.name, found.labels) == ("mine", ("chair", "gizmo"))


def test_the_aligned_copy_is_a_variant(tmp_path: Path) -> None:
    assert opened(dataset_miniatures.modelnet_off(tmp_path / "ModelNet40_manually_aligned")).variant == "aligned"


def test_the_training_split_is_another(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_off(tmp_path, train=2)
    train, test = opened(root, split="train"), opened(root)
    assert (len(train), len(test)) == (80, 40)
    assert not {i.id for i in train.items} & {i.id for i in test.items}
    assert train.fingerprint() != test.fingerprint()


def test_hdf5_files_are_read_in_the_order_of_their_list(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path)
    found = opened(root)
    assert found.items[0].id == "ply_data_test0.h5#0"
    assert found.items[41].id == "ply_data_test1.h5#0"
    assert [item.label for item in found.items[38:42]] == [38, 39, 0, 0]
    (root / "test_files.txt").write_text("x/ply_data_test1.h5\n")
    assert len(opened(root)) == 41


def test_normals_are_not_taken_for_colours(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.modelnet_txt(tmp_path))
    shape = found.load(found.items[0])
    assert shape.colors is None
    assert found.items[0].id == "airplane/airplane_0002.txt"


@pytest.mark.parametrize(
    ("variant", "file", "rows"),
    [
        ("OBJ_ONLY", "main_split_nobg/test_objectdataset.h5", 17),
        ("OBJ_BG", "main_split/test_objectdataset.h5", 17),
        ("PB_T50_RS", "main_split/test_objectdataset_augmentedrot_scale75.h5", 38),
        ("PB_T25_R", "main_split/test_objectdataset_augmented25rot.h5", 32),
        ("OBJ_ONLY@split1", "split1_nobg/test_objectdataset.h5", 17),
    ],
)
def test_variants_of_scanobjectnn_are_files(variant: str, file: str, rows: int, tmp_path: Path) -> None:
    found = opened(dataset_miniatures.scanobjectnn(tmp_path), variant=variant)
    assert found.items[0].id == f"{file}#0"
    assert found.variant == variant
    assert len(found) == rows
    assert found.labels[found.items[3].label] == "cabinet"


def test_scanobjectnn_is_obj_only_unless_said_and_says_so(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.scanobjectnn(tmp_path))
    assert found.variant == "OBJ_ONLY"
    assert any("OBJ_ONLY test" in finding.fact for finding in found.findings)
    assert opened(tmp_path / "h5_files").variant == "OBJ_ONLY"


def test_scanobjectnn_says_which_file_is_missing(tmp_path: Path) -> None:
    root = dataset_miniatures.scanobjectnn(tmp_path)
    with pytest.raises(ConfigError, match="has no main_split/test_objectdataset_augmentedrot.h5, which PB_T50_R needs"):
        opened(root, variant="PB_T50_R")
    with pytest.raises(ConfigError, match="Unknown variant 'OBJ_ONYL'; expected one of OBJ_ONLY, OBJ_BG, .*. Did you mean 'OBJ_ONLY'?"):
        opened(root, variant="OBJ_ONYL")
    with pytest.raises(ConfigError, match="Unknown variant 'OBJ_BG@split9'; expected one of OBJ_BG@main_split, .*"):
        opened(root, variant="OBJ_BG@split9")
    with pytest.raises(ConfigError, match="Unknown split 'val'; expected one of train, test"):
        opened(root, split="val")


def test_omniobject_has_a_variant_for_each_number_of_points(tmp_path: Path) -> None:
    root = dataset_miniatures.omniobject(tmp_path, classes=("apple", "toy_car"))
    assert opened(root).variant == "4096"
    assert opened(root, variant="1024").items[0].id == "1024/apple/apple_001.ply"
    assert opened(root / "4096").variant == "4096"
    with pytest.raises(ConfigError, match="Unknown variant '16384'; expected one of 1024, 4096"):
        opened(root, variant="16384")


def test_shapenet_names_its_synsets(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.shapenet_core(tmp_path))
    assert found.labels == label_set("shapenet55")
    by_label = {found.labels[item.label]: item.id for item in found.items}
    assert by_label["airplane"].startswith("02691156/")
    assert by_label["cellular telephone"].startswith("02992529/")
    assert found.split == "all"


def test_shapenet55_has_lists(tmp_path: Path) -> None:
    root = dataset_miniatures.shapenet55(tmp_path)
    assert opened(root).items[0].id == "shapenet_pc/02691156-test0.npy"
    assert opened(root, split="train").items[0].id == "shapenet_pc/02691156-train0.npy"
    with pytest.raises(ConfigError, match="has no ShapeNet-55/val.txt"):
        opened(root, split="val")


def test_objaverse_classes_are_sorted_and_absent_shapes_counted(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.objaverse(tmp_path, absent=2))
    assert found.labels == ("thing x", "thing y", "thing z")
    assert len(found) == 3
    assert any(finding.fact == "2 shapes of the list are missing in glbs/." for finding in found.findings)
    assert found.up is None
    assert found.load(found.items[0]).origin.up == "y"  # type: ignore[union-attr]


def test_openshape_classes_follow_the_features_file(tmp_path: Path) -> None:
    plain = opened(dataset_miniatures.openshape_modelnet(tmp_path / "a"))
    assert plain.labels == ("airplane", "chair", "night stand")
    assert [plain.labels[i.label] for i in plain.items] == ["chair", "airplane", "night stand"]
    with_order = opened(dataset_miniatures.openshape_modelnet(tmp_path / "b", order=True))
    assert with_order.labels == ("night stand", "airplane", "chair")
    assert [with_order.labels[i.label] for i in with_order.items] == ["chair", "airplane", "night stand"]


def test_openshape_clouds_are_turned_not_mirrored(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.openshape_modelnet(tmp_path))
    shape = found.load(found.items[0])
    assert not isinstance(shape, Mesh)
    stored = dataset_miniatures.tall(up="y")
    turned = np.stack([stored[:, 0], -stored[:, 2], stored[:, 1]], axis=1)
    np.testing.assert_allclose(shape.points, turned, atol=1e-6)
    assert shape.colors is not None
    np.testing.assert_allclose(shape.colors, 100 / 255, atol=1e-6)


def test_openshape_scanobjectnn_says_that_splits_are_mixed(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.openshape_scanobjectnn(tmp_path))
    assert (found.split, found.variant) == ("all", "OBJ_ONLY")
    assert any("not the 581 of the test split" in finding.fact for finding in found.findings)
    assert [item.label for item in found.items[13:17]] == [13, 14, 0, 1]


def test_openshape_lvis_finds_clouds_below_the_list(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.openshape_lvis(tmp_path, absent=1))
    assert found.labels == ("ax", "zebra")
    assert [found.labels[i.label] for i in found.items] == ["zebra", "ax", "ax"]
    assert any(finding.fact == "1 shapes of the list are missing." for finding in found.findings)


def test_depth_maps_are_no_shapes(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.depth_maps(tmp_path))
    assert found.kind == "depth_maps"
    assert found.labels == ("chair", "night stand")
    assert found.load_depth_maps(found.items[1]).shape == (10, 8, 8)
    with pytest.raises(FileFormatError, match=r"holds depth maps, not a shape\. Use load_depth_maps\."):
        found.load(found.items[0])
    assert any(finding.fact == "1 depth maps have no class in their name and are left out." for finding in found.findings)


def test_shapes_are_no_depth_maps(tmp_path: Path) -> None:
    found = opened(dataset_miniatures.class_folders(tmp_path))
    with pytest.raises(FileFormatError, match=r"holds a shape, not depth maps\. Use load\."):
        found.load_depth_maps(found.items[0])


@pytest.mark.parametrize("array", [np.zeros((8, 8)), np.zeros((99, 8, 8)), np.zeros((2, 2000, 8)), np.array(["a"] * 8).reshape(2, 2, 2)])
def test_depth_maps_of_another_form_are_an_error(array: np.ndarray, tmp_path: Path) -> None:
    found = opened(dataset_miniatures.depth_maps(tmp_path))
    np.save(found.items[0].path, array)
    with pytest.raises(FileFormatError, match=r"has shape .*; expected maps \(V, H, W\)"):
        found.load_depth_maps(found.items[0])


@pytest.mark.parametrize(("kind", "split", "count"), [("class", "all", 4), ("class/split", "test", 6), ("split/class", "test", 6)])
def test_class_folders_of_all_kinds(kind: str, split: str, count: int, tmp_path: Path) -> None:
    found = opened(dataset_miniatures.class_folders(tmp_path, kind=kind))
    assert (found.split, len(found), found.labels) == (split, count, ("lamp", "office chair"))
    assert found.up is None


def test_a_folder_is_a_folder_when_it_is_called_so(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_off(tmp_path / "ModelNet40")
    found = opened(root, "folder")
    assert (found.layout, found.name) == ("class-folders", "ModelNet40")
    assert len(found) == 40


@pytest.mark.parametrize("name", ["modelnet10", "modelnet40", "scanobjectnn", "omniobject3d", "objaverse-lvis", "shapenet55"])
def test_cards_are_whole(name: str) -> None:
    card = dataset_card(name)
    assert card.name == name
    assert card.source and card.licence and card.title
    assert card.class_names or card.classes
    assert card.default_variant in card.counts


def test_published_counts() -> None:
    assert dataset_card("modelnet40").count("", "test") == 2468
    assert dataset_card("scanobjectnn").count("OBJ_ONLY", "test") == 581
    assert dataset_card("scanobjectnn").count("PB_T50_RS", "test") == 2882
    assert dataset_card("omniobject3d").count("4096", "all") == 5911
    assert dataset_card("objaverse-lvis").count("", "all") == 46832
    assert dataset_card("objaverse-lvis").classes == 1156


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    root = dataset_miniatures.class_folders(tmp_path)
    (root / "lamp").rename(root / "train")
    found = opened(root)
    assert (found.labels, found.split, len(found)) == (("office chair", "train"), "all", 4)
