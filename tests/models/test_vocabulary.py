"""Messages of `tiny` about unknown words; large models know all words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import basrelief as br
from basrelief.datasets import open_benchmark
from basrelief.evaluate.run import run_evaluation
from basrelief.models import Embedder, Model, get_recipe
from basrelief.shapes import CATEGORIES, write_library
from support import REPOSITORY
from support.small_models import small_encoder


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu")


def test_trained_names_are_known(tiny: Model) -> None:
    assert tiny.unknown_words(CATEGORIES) == {}
    assert tiny.unknown_words(["a chair", "Mugs", "dining table", "zebra"]) == {}


def test_unknown_words_are_reported_with_the_nearest_known(tiny: Model) -> None:
    found = tiny.unknown_words(["mug", "zeppelin", "gizmo", "zeppelin"])
    assert list(found) == ["zeppelin", "gizmo"]
    record = json.loads((REPOSITORY / "src/basrelief/models/tiny/words.json").read_text())
    assert set(found.values()) <= {*record["text_only"], *record["seen"]}


@pytest.mark.parametrize(
    ("typed", "meant"), [("tabel lamp", "table lamp"), ("motorcycel", "motorcycle"), ("refridgerator", "refrigerator")]
)
def test_a_typo_suggests_the_intended_name(typed: str, meant: str, tiny: Model) -> None:
    assert tiny.unknown_words([typed]) == {typed: meant}


def test_a_large_clip_reports_no_unknown_words() -> None:
    assert Model(get_recipe("opendlign-untuned"), small_encoder()).unknown_words(["zeppelin", "xyzzy"]) == {}


def test_the_list_has_the_counts_of_the_card() -> None:
    record = json.loads((REPOSITORY / "src/basrelief/models/tiny/words.json").read_text())
    card = (REPOSITORY / "src/basrelief/models/tiny/MODEL_CARD.md").read_text()
    assert f"{len(record['text_only']):,} names" in card
    assert f"all {len(record['seen'])} class names" in card
    assert set(CATEGORIES) <= set(record["seen"])


def test_an_evaluation_says_so(tiny: Model, tmp_path: Path) -> None:
    library = open_benchmark(write_library(tmp_path / "shapes", ("chair", "mug"), each=1), "folder")
    assert not run_evaluation(Embedder(tiny), library).result.notes
    odd = replace(library, labels=("chair", "zeppelin"))
    assert run_evaluation(Embedder(tiny), odd).result.notes == ("tiny does not know 1 of 2 labels: zeppelin.",)


def test_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from basrelief.cli import main

    def run(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["basrelief", "classify", str(REPOSITORY / "examples/shapes/mug.ply"), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        captured = capsys.readouterr()
        return captured.out, captured.err

    out, err = run("--labels", "mug,zeppelin", "--json")
    assert err.startswith("basrelief: tiny does not know 'zeppelin'; nearest known: '")
    assert json.loads(out)["unknown"] == ["zeppelin"]
    out, err = run("--labels", "mug,lamp", "--json")
    assert err == ""
    assert "unknown" not in json.loads(out)
