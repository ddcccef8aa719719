"""The HTML page of a card."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from basrelief.datasets import Benchmark
from basrelief.evaluate import EvalCard, EvalOptions, FewShotOptions
from basrelief.evaluate.page import card_page
from basrelief.evaluate.result import Table
from basrelief.evaluate.run import run_evaluation
from basrelief.models import Embedder

VOID = {"meta", "img", "br", "hr", "link", "input"}


@pytest.fixture
def embedder(warm_embedder: Embedder) -> Embedder:
    return warm_embedder


class Reader(HTMLParser):
    """Follows tags, rows and texts; a tag that is closed in the wrong place is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
            assert dict(attrs).get("alt")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag == "h2":
            self.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).replace("<!doctype html>", ""))
    assert reader.open == []
    return reader


@pytest.mark.parametrize("task", ["zero-shot", "few-shot", "retrieval", "calibration"])
def test_every_page_is_well_formed_and_has_a_row_for_each_metric(task: str, embedder: Embedder, benchmark: Benchmark) -> None:
    card = run_evaluation(embedder, benchmark, options=EvalOptions(task=task, few_shot=FewShotOptions((1,), 2), directions=("text",))).card
    found = read(card_page(card))
    first = [row[0] for row in found.rows]
    for metric in card.metrics:
        assert any(metric.title in cell for cell in first), metric.title


def test_rows_of_a_table_are_as_wide_as_its_head(card: EvalCard) -> None:
    tables = re.findall(r"<table.*?</table>", card_page(card), flags=re.DOTALL)
    assert tables
    for table in tables:
        widths = {len(row) for row in read(table).rows}
        assert len(widths) == 1


def test_pictures_inside_are_pictures(card: EvalCard) -> None:
    images = read(card_page(card)).images
    assert images
    for source in images:
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture.load()


def test_metrics_are_shown_as_they_are(card: EvalCard) -> None:
    changed = replace(card, metrics=(replace(card.metrics[0], value=12.34, low=5.0, high=20.0, count=77),))
    (row,) = [row for row in read(card_page(changed)).rows if row and card.metrics[0].title in row[0]]
    assert any("12.3" in cell for cell in row)
    assert any("5.0" in cell and "20.0" in cell for cell in row)
    assert "77" in row[-1]


def test_cells_without_a_value_are_empty_and_numbers_are_not_texts(card: EvalCard) -> None:
    table = Table("mine", ("name", "number"), (("a", None), ("b", 1.25), ("c", 3)))
    rows = read(card_page(replace(card, tables=(table,)))).rows
    at = next(i for i, row in enumerate(rows) if row == ["name", "number"])
    assert [row[0] for row in rows[at + 1 : at + 4]] == ["a", "b", "c"]
    assert "None" not in "".join("".join(row) for row in rows)


def test_every_part_has_its_heading(card: EvalCard) -> None:
    headings = read(card_page(card)).headings
    for wanted in ("Command", "Run", "Protocol: model", "Protocol: data"):
        assert wanted in headings
    assert len(set(headings)) == len(headings)


def test_without_notes_there_is_no_empty_list(card: EvalCard) -> None:
    assert "Notes" not in read(card_page(replace(card, notes=()))).headings
    assert "Notes" in read(card_page(replace(card, notes=("one",)))).headings
