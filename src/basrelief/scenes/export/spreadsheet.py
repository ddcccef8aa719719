"""CSV: one row for each box."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basrelief.output import write_text

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

_AXES = "xyz"
_FORMULA = tuple("=+-@\t\r\n＝＋－＠|%")


def save_csv(detections: Detections, path: Path) -> None:
    """Write one row for each box, UTF-8, with a header.

    Spreadsheets execute cells that start like a formula; such labels get an apostrophe in front, which they do not show.

    Raises:
        OutputError: If the file cannot be written.
    """
    rows = [_row(record) for record in detections.records()]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def harmless(cell: str) -> str:
    """Return text that a spreadsheet shows as it is: with an apostrophe in front if it could be taken for a formula."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else cell


def _row(record: dict[str, Any]) -> dict[str, Any]:
    ranked = list(record["probabilities"].items())[:2]
    second, probability = ranked[1] if len(ranked) > 1 else ("", "")
    triples = {"": record["center"], "size_": record["size"], "low_": record["bounds"][0], "high_": record["bounds"][1]}
    return {
        **{name: record[name] for name in ("id", "score", "objectness", "yaw", "points")},
        "label": harmless(record["label"]),
        "probability": record["probabilities"].get(record["label"], ""),
        "second_label": harmless(second),
        "second_probability": probability,
        "height_m": "" if record["height"] is None else record["height"],
        **{f"{prefix}{axis}": value for prefix, values in triples.items() for axis, value in zip(_AXES, values, strict=True)},
    }


_COLUMNS = (
    *("id", "label", "score", "objectness", "probability", "second_label", "second_probability"),
    *(f"{prefix}{axis}" for prefix in ("", "size_") for axis in _AXES),
    *("yaw", "height_m", "points"),
    *(f"{prefix}{axis}" for prefix in ("low_", "high_") for axis in _AXES),
)
