"""Published prompt lists: the two forms, the choice among several, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basrelief.datasets import PromptList, prompt_list
from basrelief.datasets.labels import label_set
from basrelief.datasets.prompt_list import split_dataset
from basrelief.errors import BasreliefError, ConfigError, FileFormatError
from support import parity_json, parity_path


def write(folder: Path, record: object) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def searched(**changes: Any) -> dict[str, Any]:
    entry = {"prompts": ["a map of a cat", "a map of a toy dog"], "view_weights": [0.5, 1, 0.25]} | changes
    return {"class_order": {"pets": ["cat", "toy_dog"]}, "best": {"pets": {"vit_b16": entry}}}


def test_searched_prompts(tmp_path: Path) -> None:
    found = PromptList.read(write(tmp_path, searched()))
    assert found == PromptList(
        labels=("cat", "toy dog"),
        prompts=(("a map of a cat",), ("a map of a toy dog",)),
        view_weights=(0.5, 1, 0.25),
        dataset="pets",
        backbone="vit_b16",
    )
    assert found.of("toy_dog") == found.of("toy dog") == ("a map of a toy dog",)


@pytest.mark.parametrize(
    ("prompts", "file", "dataset"),
    [
        ("best.json#modelnet40", "best.json", "modelnet40"),
        ("C#/best.json", "C#/best.json", None),
        ("C#/best.json#pets", "C#/best.json", "pets"),
        ("best#1.json", "best#1.json", None),
        ("best.json#", "best.json", None),
    ],
)
def test_a_data_set_is_split_from_the_name(prompts: str, file: str, dataset: str | None) -> None:
    assert split_dataset(prompts) == (Path(file), dataset)


def test_view_weights_may_be_absent(tmp_path: Path) -> None:
    record = searched()
    del record["best"]["pets"]["vit_b16"]["view_weights"]
    assert PromptList.read(write(tmp_path, record)).view_weights is None


def test_generated_sentences(tmp_path: Path) -> None:
    found = PromptList.read(write(tmp_path, {"cat": ["one", "two", "two"], "toy_dog": ["three"]}))
    assert found == PromptList(labels=("cat", "toy dog"), prompts=(("one", "two", "two"), ("three",)))


@pytest.mark.parametrize(("dataset", "size"), [("modelnet40", 40), ("ScanObjectNN", 15)])
@pytest.mark.parametrize(
    ("backbone", "key"),
    [("RN50/openai", "rn50"), ("RN101", "rn101"), ("ViT-B/16", None), ("ViT-B-16/openai", "vit_b16"), ("vit_b32", "vit_b32")],
)
def test_the_published_searched_prompts(dataset: str, size: int, backbone: str, key: str | None) -> None:
    path = parity_path("prompts_pointclipv2_best.json")
    if key is None:
        with pytest.raises(ConfigError, match="Unknown backbone 'ViT-B/16'; expected one of rn50, rn101, vit_b16, vit_b32"):
            PromptList.read(path, dataset=dataset, backbone=backbone)
        return
    found = PromptList.read(path, dataset=dataset, backbone=backbone)
    recorded = parity_json(path.name)["best"][dataset.lower()][key]
    assert found.labels == label_set(dataset.lower())
    assert len(found.prompts) == size
    assert [p for (p,) in found.prompts] == recorded["prompts"]
    assert found.view_weights == tuple(recorded["view_weights"])
    assert len(found.view_weights) == 10


def test_the_published_sentences() -> None:
    found = PromptList.read(parity_path("prompts_pointclipv2_gpt_scanobjectnn.json"))
    assert found.labels == label_set("scanobjectnn")
    assert {len(prompts) for prompts in found.prompts} == {1200}


def test_the_choice_must_be_named_when_there_are_several(tmp_path: Path) -> None:
    record = searched()
    record["best"]["cars"] = {}
    record["best"]["pets"]["rn50"] = {}
    path = write(tmp_path, record)
    with pytest.raises(ConfigError, match=r"This prompt list needs a dataset\. It holds pets, cars\."):
        PromptList.read(path)
    with pytest.raises(ConfigError, match=r"Unknown dataset 'pet'; expected one of pets, cars\. Did you mean 'pets'\?"):
        PromptList.read(path, dataset="pet")
    with pytest.raises(ConfigError, match=r"This prompt list needs a backbone\. It holds vit_b16, rn50\."):
        PromptList.read(path, dataset="pets")
    with pytest.raises(ConfigError, match=r"This prompt list needs a backbone\. It holds none\."):
        PromptList.read(path, dataset="cars")


def test_a_label_that_is_not_in_the_list() -> None:
    with pytest.raises(ConfigError, match=r"Unknown label 'cot'; expected one of cat, dog\. Did you mean 'cat'\?"):
        PromptList(("cat", "dog"), (("a cat",), ("a dog",))).of("cot")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], r"prompt list is list; expected a JSON object\. See PromptList.read"),
        ({"cat": ["a"], "dog": "b"}, r"the prompts of 'dog' is str; expected a JSON list\. See"),
        ({"cat": ["a"], "dog": [1]}, r"the prompts of 'dog' has entries that are not strings\. See"),
        ({"best": {}}, r"class_order is missing; expected a JSON object\. See"),
        ({"best": 1, "class_order": {}}, r"best is int; expected a JSON object\. See"),
        ({"best": {"pets": 1}, "class_order": {}}, r"pets is int; expected a JSON object\. See"),
        ({"best": {"pets": {"rn50": []}}, "class_order": {}}, r"rn50 is list; expected a JSON object\. See"),
        ({"best": {"pets": {"rn50": {}}}, "class_order": {}}, r"class_order of pets is missing; expected a JSON list\. See"),
        (searched(prompts=None), r"prompts is missing; expected a JSON list\. See"),
        (searched(view_weights=1), r"view_weights is int; expected a JSON list\. See"),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, record: object, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        PromptList.read(write(tmp_path, record))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (searched(prompts=["one"]), r"prompts has 1 entries for 2 labels\. Check the class order"),
        (searched(prompts=["one", " "]), r"The prompts of 'toy dog' are not a list of non-empty texts\. Check its entry"),
        (searched(view_weights=[1, -1]), r"view_weights is \[1, -1\]; expected numbers from 0 to 100\. Check the file"),
        (searched(view_weights=[float("nan")]), r"view_weights is \[nan\]; expected numbers from 0 to 100"),
        (searched(view_weights=["1"]), r"view_weights is \['1'\]; expected numbers from 0 to 100"),
        (searched(view_weights=[10**400]), r"view_weights is \[10"),
        (searched(view_weights=[True]), r"view_weights is \[True\]; expected numbers from 0 to 100"),
        (searched(view_weights=[]), r"view_weights is \[\]; expected numbers from 0 to 100"),
        ({"cat": ["a"], "dog": []}, r"The prompts of 'dog' are not a list of non-empty texts"),
        ({"toy dog": ["a"], "toy_dog": ["b"]}, r"Label 'toy dog' occurs twice"),
        ({"cat": ["a"]}, r"Need at least two labels, got 1"),
    ],
)
def test_content_that_cannot_be_used(tmp_path: Path, record: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptList.read(write(tmp_path, record))


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"Cannot read the prompt list '.*': No such file or directory\. Check the path"):
        PromptList.read(tmp_path / "nowhere.json")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, searched())
    monkeypatch.setattr(prompt_list, "MAX_FILE_BYTES", 20)
    with pytest.raises(FileFormatError, match=r"The prompt list '.*prompts.json' is larger than 20 bytes\. Split it"):
        PromptList.read(path)


@pytest.mark.parametrize("data", [b"", b"{", b'{"cat": ["\xff"]}', b"[" * 200_000, b"1" * 5000])
def test_a_file_that_is_not_json(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "prompts.json"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"The prompt list '.*prompts.json' is not JSON in UTF-8: .*\. Save it again"):
        PromptList.read(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["best", "class_order", "pets", "prompts", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(record=JSON)
def test_any_json_is_read_or_refused_by_our_errors(tmp_path: Path, record: object) -> None:
    try:
        found = PromptList.read(write(tmp_path, record))
    except BasreliefError:
        return
    assert len(found.labels) == len(found.prompts) >= 2
