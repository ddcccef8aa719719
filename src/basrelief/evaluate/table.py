"""Published tables beside our eval cards: the paper's numbers, ours, and why a row has none of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.card import EvalCard
from basrelief.models import get_recipe, list_models

TABLES: Mapping[str, str] = {"1": "opendlign-1"}
_TOPS = ("top1", "top3", "top5")

Numbers = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class TableRow:
    """One method on one data set.

    Attributes:
        training: 3D data that the method was trained on.
        method: Name of the method in the paper.
        recipe: Name of our model.
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
    record = table_record(name, datasets)
    best = _best(cards)
    ready = {model.name: model.ready for model in list_models()}
    return [
        _row(row, dataset, best.get((row["recipe"], dataset)), ready, record=record)
        for dataset in record["datasets"]
        for row in record["rows"]
    ]


def table_record(name: str, datasets: Sequence[str] = ()) -> dict[str, Any]:
    """Read a published table and what is known about running it.

    Args:
        name: Key of `TABLES`.
        datasets: Data sets to keep, in the table's order; all of them when empty.

    Raises:
        ConfigError: If there is no such table or it has no such data set.
    """
    if name not in TABLES:
        raise ConfigError(unknown_choice("table", name, TABLES))
    text = (resources.files("basrelief.evaluate") / "tables" / f"{TABLES[name]}.json").read_text(encoding="utf-8")
    record: dict[str, Any] = json.loads(text)
    for dataset in datasets:
        if dataset not in record["datasets"]:
            raise ConfigError(unknown_choice("dataset", dataset, record["datasets"]))
    return record | {"datasets": [dataset for dataset in record["datasets"] if not datasets or dataset in datasets]}


def evaluate_command(record: Mapping[str, Any], row: Mapping[str, Any], dataset: str) -> str:
    """Return the command that measures a row of a `table_record` on a data set."""
    prompts = row.get("prompts", {})
    listed = f" --prompts {prompts['file']}#{dataset}" if dataset in prompts.get("datasets", ()) else ""
    trained = f" --checkpoint {trained_file(row['recipe'])}" if "train" in row else ""
    return f"basrelief evaluate {row['recipe']} {dataset} --root {record['data'][dataset]['folder']}{listed}{trained}"


def trained_file(recipe: str) -> str:
    """Return where the commands of a plan write the weights of a point network that nobody publishes."""
    return f"runs/{recipe}/point.safetensors"


def published_figures(row: Mapping[str, Any], dataset: str, *, source: str) -> Numbers:
    """Return the paper's top-1, top-3 and top-5 of a row of a `table_record`."""
    numbers = {n.metric: n.value for n in get_recipe(row["recipe"]).numbers if n.dataset == dataset and n.source == source}
    return _three([numbers.get(top) for top in _TOPS])


def _best(cards: Iterable[EvalCard]) -> dict[tuple[str, str], EvalCard]:
    """The card to show for each recipe and data set."""
    found: dict[tuple[str, str], EvalCard] = {}
    for card in sorted(cards, key=lambda c: (not c.differences, c.run.date)):
        if card.task == "zero-shot":
            found[card.protocol["model"]["recipe"], card.protocol["data"]["name"]] = card
    return found


def _row(row: Mapping[str, Any], dataset: str, card: EvalCard | None, ready: Mapping[str, bool], *, record: Mapping[str, Any]) -> TableRow:
    paper = published_figures(row, dataset, source=record["source"])
    ours = (None, None, None) if card is None else _three([f.value for top in _TOPS for f in card.metrics if f.name == top])
    why = _why(card, row, dataset, ready, record=record) if any(paper) else "the paper has no number"
    return TableRow(row["training"], row["method"], row["recipe"], dataset, paper, ours, why)


def _why(card: EvalCard | None, row: Mapping[str, Any], dataset: str, ready: Mapping[str, bool], *, record: Mapping[str, Any]) -> str:
    if card is not None:
        return "; ".join(card.differences)
    if "train" in row:
        return f"nobody publishes its weights: --plan says how to train them; then {evaluate_command(record, row, dataset)}"
    if not ready[row["recipe"]]:
        return f"weights not on this machine: basrelief models fetch {row['recipe']}"
    return f"not run: {evaluate_command(record, row, dataset)}"


def _three(values: Sequence[float | None]) -> Numbers:
    padded = (*values, None, None, None)
    return padded[0], padded[1], padded[2]
