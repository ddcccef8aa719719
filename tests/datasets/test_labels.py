"""Label sets, and valid and invalid values of `--labels`."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.datasets import list_label_sets, parse_labels, read_labels_file
from basrelief.datasets.labels import MAX_FILE_BYTES, check_labels, label_set
from basrelief.errors import ConfigError
from support import parity_json, same_texts

SIZES = {
    "lvis": 1203,
    "modelnet10": 10,
    "modelnet40": 40,
    "omniobject3d": 216,
    "scannet": 18,
    "scannet-ov3det": 20,
    "scanobjectnn": 15,
    "shapenet55": 55,
    "sunrgbd": 10,
}


def test_the_sets_are_those_and_as_large_as_published() -> None:
    assert {name: len(label_set(name)) for name in list_label_sets()} == SIZES


@pytest.mark.parametrize("name", SIZES)
def test_a_set_is_in_order_readable_and_says_its_source(name: str) -> None:
    record = json.loads((resources.files("basrelief.datasets") / "labels" / f"{name}.json").read_text(encoding="utf-8"))
    assert record["name"] == name
    assert "arXiv:" in record["source"]
    labels = label_set(name)
    assert check_labels(labels) == labels == tuple(record["labels"])
    assert not any("_" in label or "  " in label for label in labels)


@pytest.mark.parametrize(
    ("name", "first", "last"), [("modelnet40", "airplane", "xbox"), ("scanobjectnn", "bag", "toilet"), ("lvis", "aerosol can", "zucchini")]
)
def test_class_order_is_the_published_one(name: str, first: str, last: str) -> None:
    labels = label_set(name)
    assert (labels[0], labels[-1]) == (first, last)


def test_modelnet10_is_part_of_modelnet40() -> None:
    assert set(label_set("modelnet10")) < set(label_set("modelnet40"))


def test_brackets_keep_lvis_names_apart() -> None:
    assert {"octopus (food)", "octopus (animal)"} < set(label_set("lvis"))


def test_sets_agree_with_the_recorded_lists() -> None:
    recorded = parity_json("labels.json")
    for name, key in {"modelnet40": "modelnet40", "scanobjectnn": "scanobjectnn", "omniobject3d": "OmniObject3D"}.items():
        assert same_texts(label_set(name), recorded[key])
    recorded = parity_json("prompts_clip2point.json")
    for name, key in {"modelnet40": "ModelNet40", "shapenet55": "ShapeNet55_validation"}.items():
        assert same_texts(label_set(name), recorded[key])
    assert same_texts([label.replace(" ", "_") for label in label_set("modelnet10")], recorded["ModelNet10"])


def test_lvis_agrees_with_the_names_by_category_id() -> None:
    """The hash is of the 1,203 names, by category id, that Detic's text features were recorded for."""
    recorded = "sha256:a1d2a8fc0edee18da637da195e9211546b9e5d409910a67c556c3bab2945a615"
    assert same_texts(label_set("lvis"), recorded)


def test_unknown_set_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"Unknown label set 'modelnet41'; expected one of lvis, modelnet10, .*\. Did you mean 'modelnet40'\?"
    ):
        label_set("modelnet41")


def test_names_are_stripped() -> None:
    assert check_labels([" chair", "night stand "]) == ("chair", "night stand")


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=2, unique=True))
def test_typed_names_come_back(names: list[str]) -> None:
    assert parse_labels(" , ".join(names)) == tuple(names)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("chair", r"Labels are a list of names here, got the string 'chair'\. Pass a list"),
        (["chair", 3], r"Labels are strings, got int\. Convert"),
        (["chair", " "], r"One of the labels is empty\. Remove it"),
        (["chair", "ta\x1bble"], r"Label 'ta\\x1bble' holds control characters\. Remove"),
        (["chair"], r"Need at least two labels, got 1\. Add one"),
        ([], r"Need at least two labels, got 0"),
        (["chair", "table", " chair"], r"Label 'chair' occurs twice\. Remove one"),
    ],
)
def test_wrong_labels_are_explained(labels: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_labels(labels)


def test_a_set_by_name() -> None:
    assert parse_labels("scanobjectnn") == label_set("scanobjectnn")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_with_comments_blank_lines_and_a_byte_order_mark(tmp_path: Path, kind: type) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeff# furniture\nchair\r\n\n  coffee table \n  # more\nC# manual, printed\n".encode())
    assert read_labels_file(kind(file)) == ("chair", "coffee table", "C# manual, printed")


def test_more_names_than_a_path_can_hold() -> None:
    names = tuple(f"thing {i}" for i in range(2000))
    assert parse_labels(",".join(names)) == names
    assert parse_labels("\r\n".join(names) + "\n") == names


def test_the_rules_hold_for_files_and_typed_names(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("chair\n# table\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="Need at least two labels, got 1"):
        read_labels_file(file)
    with pytest.raises(ConfigError, match="One of the labels is empty"):
        parse_labels("chair,,table")


@pytest.mark.parametrize("name", ["nowhere.txt", "folder/nowhere"])
def test_a_missing_file_is_reported_as_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"Labels file '.*nowhere.*' not found\. Check the path"):
        read_labels_file(tmp_path / name)


def test_typed_text_is_never_taken_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("secret.txt", "secret,words", "first\nsecond"):
        Path(name).write_text("root\npassword\n", encoding="utf-8")
    for text in ("secret.txt", "./secret.txt", str(tmp_path / "secret.txt"), "/etc/passwd"):
        with pytest.raises(ConfigError, match="Need at least two labels"):
            parse_labels(text)
    assert parse_labels("secret,words") == ("secret", "words")
    assert parse_labels("first\nsecond") == ("first", "second")


def test_one_word_is_neither_a_list_nor_a_set() -> None:
    start = "Need at least two labels, got"
    with pytest.raises(ConfigError, match=rf"{start} 'modelnet4'\. Did you mean 'modelnet40'\?"):
        parse_labels("modelnet4")
    with pytest.raises(ConfigError, match=rf"{start} 'chair'\. Separate them by commas, or name a label set: lvis, modelnet10, "):
        parse_labels("chair")


def test_a_folder_is_no_labels_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder, not a labels file\. Pass a text file"):
        read_labels_file(tmp_path)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"chair\nt\xe4ble\n")
    with pytest.raises(ConfigError, match=r"Labels file '.*labels.txt' is not UTF-8, see byte 7\. Convert it"):
        read_labels_file(file)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match=r"Labels file '.*' is larger than 1,000,000 bytes\. Split the list"):
        read_labels_file(file)


def test_a_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("chair\ntable\n", encoding="utf-8")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"Labels file '.*' cannot be read: Permission denied\. Check its permissions"):
        read_labels_file(file)
