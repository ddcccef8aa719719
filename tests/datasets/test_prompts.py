"""Template sets: equal to the published ones, and filled with labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.datasets import photo_templates, templates
from basrelief.datasets.labels import label_set
from basrelief.datasets.prompts import fill_template, list_templates
from basrelief.errors import ConfigError
from support import parity_json, same_texts

EIGHTY = ("clip", "opendlign", "opendlign-scanobjectnn")


@pytest.mark.parametrize(
    ("recorded", "name"),
    [("modelnet40", "opendlign"), ("scanobjectnn", "opendlign-scanobjectnn"), ("OmniObject3D", "opendlign"), ("shapenet_64", "clip")],
)
def test_composed_templates_equal_the_published_list(recorded: str, name: str) -> None:
    assert same_texts(templates(name), parity_json("templates.json")[recorded])


def test_every_recorded_list_is_composed() -> None:
    for texts in parity_json("templates.json").values():
        assert any(same_texts(templates(name), texts) for name in EIGHTY)


def test_single_templates_equal_the_published_ones() -> None:
    pointclip = parity_json("prompts_pointclip.json")
    for name, recorded in (
        ("pointclip", pointclip["zero_shot"]["ModelNet40"]),
        ("pointclip-fewshot", pointclip["few_shot"]["ModelNet40"]),
        ("clip2point", parity_json("prompts_clip2point.json")["template"]),
    ):
        (template,) = templates(name)
        assert same_texts(template, recorded), name


def test_the_embedded_model_reads_the_name_alone() -> None:
    assert templates("name") == ("a {}",)


def test_ulips_templates_equal_the_published_list() -> None:
    texts = templates("ulip")
    assert same_texts(texts, "sha256:141e0de0abac88d912d46be8d60f506e91be08171c54fa29b48e349404a8a1cf")
    assert len(set(texts)) == 64
    assert [text for text in texts if not text.endswith(".")] == ["a black and white photo of a {}"]


def test_the_label_alone() -> None:
    assert templates("label") == ("{}",)


def test_labels_are_filled_as_pointclip_fills_them() -> None:
    (template,) = templates("pointclip")
    raw_names = [label.replace(" ", "_") for label in label_set("modelnet40")]
    assert same_texts(raw_names, parity_json("prompts_pointclip.json")["class_names"]["ModelNet40"])
    for raw, label in zip(raw_names, label_set("modelnet40"), strict=True):
        assert fill_template(template, raw) == fill_template(template, label) == template.format(raw.replace("_", " "))


@pytest.mark.parametrize("name", EIGHTY)
def test_eighty_templates_with_their_places_for_the_label(name: str) -> None:
    texts = templates(name)
    places = 1 if name == "clip" else 2
    assert len(texts) == 80
    assert all(text.count("{}") == places and text.endswith(".") and "  " not in text for text in texts)


@pytest.mark.parametrize("name", EIGHTY)
def test_no_template_is_there_twice(name: str) -> None:
    assert len(set(templates(name))) == 80


def test_the_scanobjectnn_list_differs_in_one_place() -> None:
    pairs = zip(templates("opendlign"), templates("opendlign-scanobjectnn"), strict=True)
    assert [(a.removesuffix(".") + ", 3D.", b) for a, b in pairs if a != b] == [(templates("opendlign-scanobjectnn")[16],) * 2]


def test_every_photo_template_but_four_exists_with_both_articles() -> None:
    texts = set(templates("clip"))
    definite = {text for text in texts if re.search(r"\bthe\b", text)}
    assert len(definite) == 38
    assert texts - definite - {re.sub(r"\bthe\b", "a", text) for text in definite} == {
        "a photo of many {}.",
        "a photo of my {}.",
        "a photo of one {}.",
        "itap of my {}.",
    }


def test_the_grammar_is_smaller_than_the_lists() -> None:
    source = Path(photo_templates.__file__).read_bytes()
    spelled_out = sum(len(text) for name in EIGHTY for text in templates(name))
    assert len(source) < spelled_out / 4


def test_template_names_are_sorted() -> None:
    assert list_templates() == tuple(sorted(list_templates()))
    assert all(templates(name) for name in list_templates())


def test_unknown_template_set() -> None:
    with pytest.raises(
        ConfigError, match=r"Unknown template set 'openalign'; expected one of clip, clip2point, .*\. Did you mean 'opendlign'\?"
    ):
        templates("openalign")


def test_fill_uses_every_place() -> None:
    assert fill_template("a {}, a silhouette of a {}.", "night_stand") == "a night stand, a silhouette of a night stand."


@given(st.text(st.characters(exclude_characters="_"), min_size=1))
def test_fill_takes_any_label_literally(label: str) -> None:
    assert fill_template("<{}>", label) == f"<{label}>"


def test_a_template_without_a_place() -> None:
    with pytest.raises(ConfigError, match=r"Template 'a chair' has no \{\}\. Put \{\} where the label goes\."):
        fill_template("a chair", "chair")
