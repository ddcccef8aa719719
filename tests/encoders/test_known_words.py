"""Words a small model has met: what counts as known, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from basrelief.encoders.known_words import KnownWords, read_known_words, write_known_words
from basrelief.errors import WeightsError

KNOWN = KnownWords(("mug", "dining table", "knife"), ("zebra", "fire truck", "berry", "dress"))


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
    assert KNOWN.unmet(text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("zeppelin", ("zeppelin",)), ("red mug", ("red",)), ("mgu", ("mgu",)), ("gizmo and gadget", ("gizmo", "gadget")), ("été", ("été",))],
)
def test_words_that_were_never_read_are_named(text: str, expected: tuple[str, ...]) -> None:
    assert KNOWN.unmet(text) == expected


def test_a_beginning_is_no_word() -> None:
    assert KNOWN.unmet("mu") == ("mu",)
    assert KNOWN.unmet("zebrafish") == ("zebrafish",)
    assert KNOWN.unmet("tables") == ()


def test_names_that_were_shown_come_first() -> None:
    assert KNOWN.names[:3] == ("mug", "dining table", "knife")


def test_without_a_list_everything_is_known(tmp_path: Path) -> None:
    assert read_known_words(tmp_path) is None


def test_a_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(json.dumps({"source": "mine", "taught": ["mug"], "read": ["mug", "zebra"]}))
    found = read_known_words(tmp_path)
    assert found is not None
    assert found.names == ("mug", "zebra")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write_known_words(tmp_path, KNOWN, source="mine")
    assert read_known_words(tmp_path) == KNOWN
    assert json.loads(path.read_text())["source"] == "mine"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"taught": "mug", "read": []}', '{"taught": [1], "read": []}', '{"taught": ["mug"]}'])
def test_a_damaged_list_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(text)
    with pytest.raises(WeightsError, match="words.json must hold names under taught and read, but got"):
        read_known_words(tmp_path)
