"""A published table of detection beside our cards: every published class, and ours under every choice of the grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.card import EvalCard
from basrelief.evaluate.detection.grid import IOUS
from basrelief.evaluate.detection.report import CLASS_TABLE, GRID_TABLE, SOURCE_TABLE
from basrelief.evaluate.result import Table

DETECTION_TABLES: Mapping[str, str] = {"3": "opendlign-3"}

Figure = float | None


@dataclass(frozen=True)
class DetectionRow:
    """Average precision at one overlap.

    Attributes:
        iou: The overlap from which a box counts as found.
        method: Name of the method in the paper, or our model.
        choices: Where a figure of ours is from: boxes and labels, or choices of the grid; `paper` for a published row.
        mean: Over the classes with true boxes, in percent.
        classes: Of each class of the table; None where there is no figure.
        note: Source of a figure, or why there is none.
    """

    iou: float
    method: str
    choices: str
    mean: Figure
    classes: tuple[Figure, ...]
    note: str


@dataclass(frozen=True)
class DetectionTable:
    """A published table, with our rows.

    Attributes:
        title: What it shows.
        source: Which table of which paper.
        classes: Classes that the paper prints.
        rows: Published and ours, those of IoU 0.25 first.
        notes: What is known about the published figures.
    """

    title: str
    source: str
    classes: tuple[str, ...]
    rows: tuple[DetectionRow, ...]
    notes: tuple[str, ...]


def detection_table(name: str, cards: Iterable[EvalCard] = ()) -> DetectionTable:
    """Put our cards beside a published table of detection.

    Args:
        name: Key of `DETECTION_TABLES`: `3` is OpenDlign's Table 3.
        cards: Our runs; others than of this data set and task are left out. The latest of each protocol counts.

    Raises:
        ConfigError: If there is no such table.
    """
    if name not in DETECTION_TABLES:
        raise ConfigError(unknown_choice("table", name, DETECTION_TABLES))
    text = (resources.files("basrelief.evaluate") / "tables" / f"{DETECTION_TABLES[name]}.json").read_text(encoding="utf-8")
    record = json.loads(text)
    ours = {card.protocol_hash: card for card in sorted(cards, key=lambda card: card.run.date) if _fits(card, record)}
    rows = tuple(row for iou in IOUS for row in _rows(record, list(ours.values()), iou))
    return DetectionTable(record["title"], record["source"], tuple(record["classes"]), rows, tuple(record["notes"]))


def _fits(card: EvalCard, record: Mapping[str, Any]) -> bool:
    return card.task == "detection" and card.protocol["data"]["name"] == record["dataset"]


def _rows(record: Mapping[str, Any], cards: list[EvalCard], iou: float) -> Iterator[DetectionRow]:
    """Each published row, followed by ours of that method; then our other models; then what others published."""
    listed = {row["recipe"] for row in record["rows"]}
    none = (None,) * len(record["classes"])
    for row in record["rows"]:
        figures = row[f"{iou}"]
        yield DetectionRow(iou, row["method"], "paper", figures["mean"], tuple(figures["classes"]), record["source"])
        mine = [card for card in cards if card.protocol["model"]["recipe"] == row["recipe"]]
        for card in mine:
            yield from _card_rows(card, record["classes"], iou)
        if not mine:
            command = f"basrelief evaluate {row['recipe']} {record['dataset']} --root {record['folder']} --task detection"
            yield DetectionRow(iou, row["recipe"], "ours", None, none, f"not run: {command}")
    for card in cards:
        if card.protocol["model"]["recipe"] not in listed:
            yield from _card_rows(card, record["classes"], iou)
    for other in record["others"]:
        if other[f"{iou}"] is not None:
            yield DetectionRow(iou, other["method"], "published", other[f"{iou}"], none, other["source"])


def _card_rows(card: EvalCard, classes: list[str], iou: float) -> Iterator[DetectionRow]:
    """The sources of boxes and labels of a card, then its grid; classes are known for the proposals' labels only."""
    model, column = card.protocol["model"]["recipe"], f"AP{100 * iou:.0f} %"
    tables = {table.title: table for table in card.tables}
    each = {row[0]: row for row in _named(tables[CLASS_TABLE], "class", column)}
    options = card.protocol["options"]
    note = f"{card.protocol['data']['shapes']} scans, boxes by {options['proposals']}, protocol {card.protocol_hash}"
    for source, mean in _named(tables[SOURCE_TABLE], "boxes and labels", column):
        figures = tuple(_number(each[name][1]) if name in each else None for name in classes) if source == "proposals" else ()
        yield DetectionRow(iou, model, f"ours: {source}", _number(mean), figures or (None,) * len(classes), note)
    for row in _named(tables[GRID_TABLE], "classes of a box", "score", "objectness", "temperature", column):
        choices = f"{row[0]} classes, {row[1]}, objectness {row[2]}, temperature {row[3]}"
        yield DetectionRow(iou, model, f"grid: {choices}", _number(row[4]), (None,) * len(classes), note)


def _named(table: Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    places = [table.columns.index(column) for column in columns]
    return (tuple(row[place] for place in places) for row in table.rows)


def _number(cell: object) -> Figure:
    return float(cell) if isinstance(cell, int | float) else None
