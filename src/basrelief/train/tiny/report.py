"""Result of `tiny`'s training, and the files that report it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from PIL import Image

from basrelief.encoders import ClipEncoder
from basrelief.evaluate.confusion import confusion_picture
from basrelief.output import to_json, write_picture, write_text
from basrelief.render.chart import line_chart
from basrelief.train.config import settings_record
from basrelief.train.tiny.settings import TinySettings

_CURVE_POINTS = 12
_LOSSES = ("words", "pooled", "cross", "intra")


@dataclass(frozen=True, eq=False)
class TinyResult:
    """Result of a training.

    Attributes:
        encoder: The trained encoder.
        figures: Accuracies in [0, 1] and counts, by name.
        confusion: (C, C) number of held-out shapes of class r that were classified as c.
        names: The C class names.
    """

    encoder: ClipEncoder
    figures: Mapping[str, float]
    confusion: Int64[np.ndarray, "labels labels"]
    names: tuple[str, ...]


def write_report(result: TinyResult, out: Path, *, settings: TinySettings) -> None:
    """Write `result.json`, `curves.png` and `confusion.png`.

    Args:
        result: Of the training.
        out: Folder of the run.
        settings: Of the training.
    """
    record = {"model": result.encoder.fingerprint, "figures": dict(result.figures), "settings": settings_record(settings)}
    write_text(out / "result.json", to_json(record, indent=1) + "\n")
    write_picture(out / "curves.png", loss_curves(out / "vision" / "log.jsonl"))
    title = "Held-out packs: true class (rows) and predicted class (columns)"
    write_picture(out / "confusion.png", confusion_picture(result.confusion, result.names, title=title))


def loss_curves(log: Path) -> Image.Image:
    """Draw the losses of the image tower over the steps; each point is a mean since the one before.

    Args:
        log: `log.jsonl` of the training.
    """
    with log.open(encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["stage"] == "train"]
    parts = np.array_split(np.arange(len(records)), min(_CURVE_POINTS, len(records)))
    series = {name: [float(np.mean([records[i][name] for i in part])) for part in parts] for name in _LOSSES}
    return line_chart(series, [records[part[-1]]["step"] for part in parts], title="Losses of tiny's image tower", below="step")
