"""Words that a small model was trained on: which count as known, and messages about others."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from basrelief.encoders.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from basrelief.errors import WeightsError

KNOWN = Vocabulary(("mug", "dining table", "knife"), ("zebra", "fire truck", "berry", "dress"))


@pytest.mark.parametrize(
    "text",
    [
        "mug",
        "Mug",
        "a mug",
        "the mugs",
        "dining table",
        "table",
        "knives",
        "berries",
        "dresses",
        "a photo of a zebra",
        "mug and table",
        "fire-truck",
        "mug's",
    ],
)
def test_names_their_plurals_and_parts_are_known(text: str) -> None:
    assert KNOWN.unknown_words(text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("zeppelin", ("zeppelin",)), ("red mug", ("red",)), ("mgu", ("mgu",)), ("gizmo and gadget", ("gizmo", "gadget")), ("été", ("été",))],
)
def test_untrained_words_are_named(text: str, expected: tuple[str, ...]) -> None:
    assert KNOWN.unknown_words(text) == expected


def test_a_prefix_is_not_a_word() -> None:
    assert KNOWN.unknown_words("mu") == ("mu",)
    assert KNOWN.unknown_words("zebrafish") == ("zebrafish",)
    assert KNOWN.unknown_words("tables") == ()


def test_names_that_were_shown_come_first() -> None:
    assert KNOWN.names[:3] == ("mug", "dining table", "knife")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("mug", "zebra", "Dining Table"), (0.1 * math.log(2), 0.0, 0.1 * math.log(2))),
        (("mug", "zebra", "gizmo", "berry"), (-0.1 * math.log(3), 0.0, 0.0, 0.0)),
        (("mug", "zebra"), (0.0, 0.0)),
        (("mug", "knife"), (0.0, 0.0)),
        (("zebra", "gizmo"), (0.0, 0.0)),
        (("coffee mug", "mug", "knife"), (0.0, 0.1 * math.log(2), 0.1 * math.log(2))),
        ((), ()),
    ],
)
def test_names_that_were_shown_get_a_penalty_beside_fewer_others(names: tuple[str, ...], expected: tuple[float, ...]) -> None:
    assert replace(KNOWN, seen_class_penalty=0.1).class_penalties(names) == pytest.approx(expected)
    assert not any(KNOWN.class_penalties(names))


def test_a_seen_class_penalty_is_read_and_may_be_absent(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path, replace(KNOWN, seen_class_penalty=0.05), source="a test")
    found = read_vocabulary(tmp_path)
    assert found is not None
    assert found.seen_class_penalty == 0.05
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"seen": record["seen"], "text_only": record["text_only"]}), encoding="utf-8")
    assert read_vocabulary(tmp_path) == KNOWN


@pytest.mark.parametrize("seen_class_penalty", [-0.1, 1.5, "much", None])
def test_a_seen_class_penalty_that_is_no_cosine_is_refused(tmp_path: Path, seen_class_penalty: object) -> None:
    (tmp_path / "words.json").write_text(
        json.dumps({"seen": [], "text_only": [], "seen_class_penalty": seen_class_penalty}), encoding="utf-8"
    )
    with pytest.raises(WeightsError, match="words.json is damaged"):
        read_vocabulary(tmp_path)


def test_without_a_list_everything_is_known(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path) is None


def test_a_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(json.dumps({"source": "mine", "seen": ["mug"], "text_only": ["mug", "zebra"]}))
    found = read_vocabulary(tmp_path)
    assert found is not None
    assert found.names == ("mug", "zebra")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path, KNOWN, source="mine")
    assert read_vocabulary(tmp_path) == KNOWN
    assert json.loads(path.read_text())["source"] == "mine"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"seen": "mug", "text_only": []}', '{"seen": [1], "text_only": []}', '{"seen": ["mug"]}']
)
def test_a_damaged_list_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(text)
    with pytest.raises(WeightsError, match="words.json is damaged: "):
        read_vocabulary(tmp_path)
