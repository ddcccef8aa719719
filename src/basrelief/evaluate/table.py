"""Published tables beside our eval cards: the paper's numbers, ours, and why a row has none of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.card import EvalCard
from basrelief.models import Recipe, get_recipe, list_models

TABLES: Mapping[str, str] = {"1": "opendlign-1"}
_TOPS = ("top1", "top3", "top5")

Numbers = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class TableRow:
    """One method on one data set.

    Attributes:
        training: 3D data that the method was trained on.
        method: Name of the method in the paper.
        recipe: Name of our model, or empty.
        dataset: Name of the data set.
        paper: Published top-1, top-3 and top-5 in percent; None where the paper, or our record of it, has no number.
        ours: The same from our card; None throughout if it was not run.
        why: Why there is no number of ours, or how its protocol differs; empty for a run under the paper's protocol.
    """

    training: str
    method: str
    recipe: str
    dataset: str
    paper: Numbers
    ours: Numbers
    why: str


def published_table(name: str, cards: Iterable[EvalCard] = (), *, datasets: Sequence[str] = ()) -> list[TableRow]:
    """Put our cards beside a published table.

    Args:
        name: Key of `TABLES`: `1` is OpenDlign's Table 1.
        cards: Our runs; of several for one row, one under the paper's protocol wins, then the latest.
        datasets: Data sets to show; all data sets of the table when empty.

    Returns:
        Rows in the table's order, grouped by data set.

    Raises:
        ConfigError: If there is no such table or it has no such data set.
    """
    if name not in TABLES:
        raise ConfigError(unknown_choice("table", name, TABLES))
    text = (resources.files("basrelief.evaluate") / "tables" / f"{TABLES[name]}.json").read_text(encoding="utf-8")
    record = json.loads(text)
    for dataset in datasets:
        if dataset not in record["datasets"]:
            raise ConfigError(unknown_choice("dataset", dataset, record["datasets"]))
    best = _best(cards)
    ready = {model.name: model.ready for model in list_models()}
    return [
        _row(row, dataset, best.get((row.get("recipe", ""), dataset)), ready, source=record["source"])
        for dataset in record["datasets"]
        if not datasets or dataset in datasets
        for row in record["rows"]
    ]


def _best(cards: Iterable[EvalCard]) -> dict[tuple[str, str], EvalCard]:
    """The card to show for each recipe and data set."""
    found: dict[tuple[str, str], EvalCard] = {}
    for card in sorted(cards, key=lambda c: (not c.differences, c.run.date)):
        if card.task == "zero-shot":
            found[card.protocol["model"]["recipe"], card.protocol["data"]["name"]] = card
    return found


def _row(row: Mapping[str, Any], dataset: str, card: EvalCard | None, ready: Mapping[str, bool], *, source: str) -> TableRow:
    recipe = row.get("recipe", "")
    paper = _published(get_recipe(recipe), dataset, source) if recipe else _three(row["numbers"].get(dataset, ()))
    ours = (None, None, None) if card is None else _three([f.value for top in _TOPS for f in card.metrics if f.name == top])
    why = _why(card, recipe, dataset, ready) if any(paper) else "the paper has no number"
    return TableRow(row["training"], row["method"], recipe, dataset, paper, ours, why)


def _published(recipe: Recipe, dataset: str, source: str) -> Numbers:
    numbers = {n.metric: n.value for n in recipe.numbers if n.dataset == dataset and n.source == source}
    return _three([numbers.get(top) for top in _TOPS])


def _why(card: EvalCard | None, recipe: str, dataset: str, ready: Mapping[str, bool]) -> str:
    if card is not None:
        return "; ".join(card.differences)
    if not recipe:
        return "no recipe yet"
    if not ready[recipe]:
        return "weights not on this machine: basrelief models"
    return f"not run: evaluate {recipe} {dataset} --root DIR"


def _three(values: Sequence[float | None]) -> Numbers:
    padded = (*values, None, None, None)
    return padded[0], padded[1], padded[2]
