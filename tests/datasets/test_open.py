"""Opening data sets: what is checked against the card, and what is refused."""

from __future__ import annotations

import gzip
import json
import pickle
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.datasets.card import dataset_card, list_datasets
from basrelief.datasets.labels import label_set
from basrelief.datasets.layouts import base
from basrelief.errors import ConfigError, FileFormatError
from basrelief.limits import limits, use_limits
from support import dataset_miniatures


def finding(benchmark: Benchmark, check: str) -> tuple[str, str]:
    """Level and fact of a check."""
    return next((f.level, f.fact) for f in benchmark.findings if f.check == check)


def test_a_whole_data_set_has_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.datasets.card.DatasetCard.count", lambda *_: 40)
    found = open_benchmark(dataset_miniatures.modelnet_off(tmp_path))
    assert {f.level for f in found.findings} == {"ok"}
    assert finding(found, "count") == ("ok", "40 shapes, as expected.")
    assert finding(found, "labels") == ("ok", "The 40 labels of ModelNet40, in its order.")


def test_a_wrong_count_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_off(tmp_path)
    with pytest.raises(ConfigError, match=r"The data set does not match its card: 40 shapes, 2,468 expected in ModelNet40 test\. Unpack"):
        open_benchmark(root)
    assert finding(open_benchmark(root, strict=False), "count") == ("wrong", "40 shapes, 2,468 expected in ModelNet40 test.")


def test_missing_and_foreign_classes_are_named(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_off(tmp_path, classes=("chair", "gizmo", "night_stand"))
    level, fact = finding(open_benchmark(root, "modelnet10", strict=False), "labels")
    assert level == "wrong"
    assert fact == "'gizmo' not in 'bathtub', 'bed', 'desk', 'dresser', 'monitor' and 3 more missing from the 10 labels of ModelNet10."


def test_another_class_order_of_numbered_files_is_an_error(tmp_path: Path) -> None:
    names = list(label_set("modelnet40"))
    names[1], names[2] = names[2], names[1]
    root = dataset_miniatures.modelnet_h5(tmp_path, names=names)
    level, fact = finding(open_benchmark(root, strict=False), "class order")
    assert level == "wrong"
    assert fact == "class 1 is 'bed', 'bathtub' expected: another class order than ModelNet40's."
    with pytest.raises(ConfigError, match="Every label would be wrong"):
        open_benchmark(root)


def test_another_class_order_of_named_files_loses_nothing(tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_modelnet(tmp_path, classes=label_set("modelnet40"), order=True)
    level, fact = finding(open_benchmark(root, strict=False), "class order")
    assert level == "ok"
    assert fact.endswith("Labels are taken by name, so nothing is lost.")


def test_too_few_classes_of_a_set_without_a_label_list(tmp_path: Path) -> None:
    found = open_benchmark(dataset_miniatures.objaverse(tmp_path), strict=False)
    assert finding(found, "labels") == ("wrong", "3 classes, 1,156 expected (Objaverse-LVIS).")


def test_an_unknown_count_is_a_warning(tmp_path: Path) -> None:
    found = open_benchmark(dataset_miniatures.scanobjectnn(tmp_path), variant="PB_T25_R")
    assert finding(found, "count")[0] == "warning"


def test_a_folder_of_ones_own_cannot_be_checked_and_says_so(tmp_path: Path) -> None:
    found = open_benchmark(dataset_miniatures.class_folders(tmp_path / "mine"))
    assert finding(found, "data card")[0] == "warning"
    assert found.name == "mine"


def test_checksums_are_compared_where_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path)
    card = miniatures_card({"shape_names.txt": "0" * 64})
    monkeypatch.setattr("basrelief.datasets.open.dataset_card", lambda _: card)
    level, fact = finding(open_benchmark(root, strict=False), "checksum")
    assert level == "wrong"
    assert fact.startswith("shape_names.txt has SHA-256 ")
    assert fact.endswith(", 000000000000 expected.")


def miniatures_card(checksums: dict[str, str]) -> object:
    from dataclasses import replace

    return replace(dataset_card("modelnet40"), checksums=checksums)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "modelnet4"}, "Unknown dataset 'modelnet4'; expected one of .*modelnet40.*. Did you mean 'modelnet40'?"),
        ({"split": "tst"}, "Unknown split 'tst'; expected one of train, val, test. Did you mean 'test'?"),
    ],
)
def test_wrong_names_are_explained(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_benchmark(tmp_path, **options)  # type: ignore[arg-type]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=".*absent.* is not a folder"):
        open_benchmark(tmp_path / "absent")


@pytest.mark.parametrize("name", [None, *(name for name in list_datasets() if dataset_card(name).kind == "shapes")])
def test_a_folder_that_looks_like_nothing_says_what_was_looked_for(name: str | None, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(ConfigError, match=r"does not look like .*\. Looked for: "):
        open_benchmark(tmp_path, name)


@pytest.mark.parametrize("name", ["scannet", "sunrgbd"])
def test_a_data_set_of_scans_is_none_of_shapes(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is a data set of scans.*open_scans"):
        open_benchmark(tmp_path, name)


def test_a_set_of_another_name_is_not_taken_for_it(tmp_path: Path) -> None:
    root = dataset_miniatures.scanobjectnn(tmp_path)
    with pytest.raises(ConfigError, match=r"does not look like modelnet40. .*Looked for: .*shape_names\.txt"):
        open_benchmark(root, "modelnet40")


def test_an_empty_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no shapes of the val split"):
        open_benchmark(dataset_miniatures.modelnet_off(tmp_path), split="val", strict=False)


def test_a_limit_meets_every_class(tmp_path: Path) -> None:
    found = open_benchmark(dataset_miniatures.modelnet_off(tmp_path, test=3), strict=False)
    assert {item.label for item in found.limited(40).items} == set(range(40))
    assert len(found.limited(50)) == 50
    assert found.limited(50).fingerprint() != found.fingerprint()
    assert found.limited(10_000) == found
    with pytest.raises(ConfigError, match="limit is 0; it must be at least 1"):
        found.limited(0)


def test_counts_are_by_name(tmp_path: Path) -> None:
    found = open_benchmark(dataset_miniatures.class_folders(tmp_path))
    assert found.counts() == {"lamp": 2, "office chair": 2}


def test_another_copy_has_the_same_fingerprint(tmp_path: Path) -> None:
    one = open_benchmark(dataset_miniatures.modelnet_off(tmp_path / "a"), strict=False)
    two = open_benchmark(dataset_miniatures.modelnet_off(tmp_path / "b"), strict=False)
    assert one.fingerprint() == two.fingerprint()
    (tmp_path / "b" / "airplane" / "test" / "airplane_0002.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert open_benchmark(tmp_path / "b", strict=False).fingerprint() != one.fingerprint()


# Files from strangers


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    dataset_miniatures.write_off(secret / "a.off")
    root = dataset_miniatures.class_folders(tmp_path / "set")
    (root / "linked").symlink_to(secret)
    (root / "lamp" / "linked.off").symlink_to(secret / "a.off")
    found = open_benchmark(root)
    assert found.labels == ("lamp", "office chair")
    assert len(found) == 4


@pytest.mark.parametrize("line", ["../../secret_0001", "/etc/passwd_1", "../x_1"])
def test_lists_cannot_name_files_outside(line: str, tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_txt(tmp_path)
    (root / "modelnet40_test.txt").write_text(line + "\n")
    with pytest.raises(FileFormatError, match="modelnet40_test.txt names .*; expected a known class"):
        open_benchmark(root, strict=False)


def test_shapenet_lists_cannot_name_files_outside(tmp_path: Path) -> None:
    root = dataset_miniatures.shapenet55(tmp_path / "set")
    (root / "ShapeNet-55" / "test.txt").write_text("02691156-/../../../secret.npy\n")
    with pytest.raises(FileFormatError, match="The list names .*, which is outside the data set"):
        open_benchmark(root, strict=False)


def test_a_line_of_another_form_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.shapenet55(tmp_path)
    (root / "ShapeNet-55" / "test.txt").write_text("99999999-a.npy\n")
    with pytest.raises(FileFormatError, match="test.txt names '99999999-a.npy'; expected SYNSET-ID.npy"):
        open_benchmark(root, strict=False)


@pytest.mark.parametrize("label", [[[40]], [[-1]], [[0.5]]])
def test_labels_out_of_range_are_another_data_set(label: list[list[float]], tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path, rows=1)
    with h5py.File(root / "ply_data_test0.h5", "w") as file:
        file["data"] = np.zeros((1, 8, 3), dtype=np.float32)
        file["label"] = np.array(label)
    with pytest.raises(FileFormatError, match="has labels (from .*; expected 0 to 39|that are not whole numbers)"):
        open_benchmark(root, strict=False)


def test_an_hdf5_file_without_labels_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path, rows=1)
    with h5py.File(root / "ply_data_test0.h5", "w") as file:
        file["data"] = np.zeros((1, 8, 3), dtype=np.float32)
    with pytest.raises(FileFormatError, match=r"ply_data_test0.h5 has \['data'\]; expected `data` and `label`"):
        open_benchmark(root, strict=False)


def test_fewer_labels_than_shapes_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.scanobjectnn(tmp_path)
    with h5py.File(root / "h5_files/main_split_nobg/test_objectdataset.h5", "w") as file:
        file["data"] = np.zeros((3, 8, 3), dtype=np.float32)
        file["label"] = np.zeros(2, dtype=np.int64)
    with pytest.raises(FileFormatError, match="has 2 labels for 3 shapes"):
        open_benchmark(root, strict=False)


def test_a_broken_hdf5_file_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.scanobjectnn(tmp_path)
    (root / "h5_files/main_split_nobg/test_objectdataset.h5").write_bytes(b"not an h5 file")
    with pytest.raises(FileFormatError, match="cannot be read as h5"):
        open_benchmark(root, strict=False)


def test_a_list_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    root = dataset_miniatures.objaverse(tmp_path)
    with gzip.open(root / "lvis-annotations.json.gz", "wb") as file:
        file.write(b" " * 100_000)
    with use_limits(replace(limits(), list_bytes=1000)), pytest.raises(FileFormatError, match="is larger than 1,000 bytes"):
        open_benchmark(root, strict=False)


@pytest.mark.parametrize(
    "content", [b"junk", gzip.compress(b"[1]", mtime=0), gzip.compress(b'{"a": [1]}', mtime=0), gzip.compress(b"{", mtime=0)]
)
def test_a_broken_annotation_list_is_an_error(content: bytes, tmp_path: Path) -> None:
    root = dataset_miniatures.objaverse(tmp_path)
    (root / "lvis-annotations.json.gz").write_bytes(content)
    with pytest.raises(
        FileFormatError, match="lvis-annotations.json.gz.* is not (JSON|a JSON object of lists)|Cannot read .*lvis-annotations"
    ):
        open_benchmark(root, strict=False)


@pytest.mark.parametrize("content", ["{}", "[3]", '[{"name": "x"}]', "[", '[{"category": 4}]'])
def test_a_broken_split_list_is_an_error(content: str, tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_modelnet(tmp_path)
    (root / "meta_data/modelnet40/test_split.json").write_text(content)
    with pytest.raises(
        FileFormatError, match="test_split.json (holds a dict|has an entry without a text 'category')|'test_split.json' is not JSON"
    ):
        open_benchmark(root, strict=False)


def test_a_split_list_of_another_features_file_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_modelnet(tmp_path, order=True)
    (root / "meta_data/modelnet40/test_split.json").write_text(json.dumps([{"category": "dragon"}]))
    with pytest.raises(FileFormatError, match=r"test_split.json names class 'dragon', which cat_name_pt_feat.npy lacks"):
        open_benchmark(root, strict=False)


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_scanobjectnn(tmp_path)
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (mark,)  # type: ignore[return-value]

    with (root / "scanobjectnn/xyz_label.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(Hostile(), file)
    with pytest.raises(FileFormatError, match="xyz_label.npy is a pickle that names pathlib"):
        open_benchmark(root, strict=False)
    assert not mark.exists()


def test_an_object_of_another_form_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.openshape_scanobjectnn(tmp_path)
    np.save(root / "scanobjectnn/xyz_label.npy", np.array({"xyz": 3}, dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="xyz_label.npy lacks the arrays `xyz` and `label`"):
        open_benchmark(root, strict=False)


def test_lists_are_bounded_and_utf8(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match="'list.txt' is not UTF-8 \\(byte 0\\)"):
        base.read_lines(path)
    with (
        use_limits(replace(limits(), list_bytes=1)),
        pytest.raises(FileFormatError, match="'list.txt' is larger than 1 bytes"),
    ):
        base.read_lines(path)
    with pytest.raises(FileFormatError, match="Cannot read 'absent.txt': No such file or directory"):
        base.read_lines(tmp_path / "absent.txt")


def test_a_list_of_unknown_classes_is_an_error(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_txt(tmp_path)
    (root / "modelnet40_test.txt").write_text("gizmo_0001\n")
    with pytest.raises(FileFormatError, match="modelnet40_test.txt names 'gizmo_0001'; expected a known class"):
        open_benchmark(root, strict=False)
    with pytest.raises(ConfigError, match="has no modelnet40_val.txt"):
        open_benchmark(root, split="val", strict=False)


def test_an_axis_that_is_given_is_that_of_every_shape(tmp_path: Path) -> None:
    root = dataset_miniatures.class_folders(tmp_path / "mine")
    found = open_benchmark(root, up="y")
    assert found.up == "y"
    assert finding(found, "up axis") == ("ok", "y: given by the caller.")
    origin = found.load(found.items[0]).origin
    assert origin is not None
    assert origin.up == "y"
    with pytest.raises(ConfigError, match="Unknown up axis 'up'; expected one of auto, x, y, z, .*"):
        open_benchmark(root, up="up")
