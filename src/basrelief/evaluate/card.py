"""The eval card: metrics, the protocol behind them, and the paper's numbers beside them, as one JSON file."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from basrelief.errors import FileFormatError
from basrelief.evaluate.protocol import EvaluatedData, Protocol, paper_differences, published_numbers
from basrelief.evaluate.result import Metric, Result, Table
from basrelief.models import Model, PaperNumber
from basrelief.models.embed import EmbedStats
from basrelief.output import to_json
from basrelief.types import Finding

FORMAT = 2
_MAX_CARD_BYTES = 64_000_000
_LIBRARIES = ("basrelief", "numpy", "torch", "scikit-learn")


@dataclass(frozen=True)
class RunCost:
    """Time and memory of a run; the only part of a card that differs when a command is repeated.

    Attributes:
        date: When it ended, UTC, to the second.
        seconds: Wall time, reading and rendering included.
        shapes_per_second: Shapes read, rendered and encoded in this run, over the seconds that took; None if all came from the cache.
        peak_megabytes: Peak resident memory of the process, or of the GPU if one was used; None if the system does not report it.
        embedded: Number of shapes read, rendered and encoded in this run.
    """

    date: str
    seconds: float
    shapes_per_second: float | None
    peak_megabytes: float | None
    embedded: int

    @property
    def speed(self) -> str:
        """Shapes per second in words, or why there is none."""
        if self.shapes_per_second is None:
            return "speed unknown: every shape came from the cache of an earlier run"
        return f"{self.shapes_per_second:,.1f} shapes per second over {self.embedded:,} that were not in the cache"


@dataclass(frozen=True)
class EvalCard:
    """The metrics of an evaluation with everything needed to trust or repeat them.

    Attributes:
        title: One line: model, data set, task.
        task: Name of the task.
        protocol_hash: See `Protocol.hash`.
        protocol: See `Protocol.settings`.
        metrics: The headline numbers.
        tables: Details.
        paper: Published numbers of this model on this data set.
        differences: Settings that differ from the paper's.
        labels: Class names.
        confusion: Non-zero cells of the confusion matrix: index of the label, index of the prediction, number of shapes.
        findings: Checks of the data set.
        failures: Id and error of each shape that could not be used.
        notes: Remarks for the reader.
        command: The command line.
        device: Device it ran on.
        versions: Versions of Python and the libraries.
        licence: Licence of the weights.
        run: Date, time and memory.
        format: Version of the JSON format.
    """

    title: str
    task: str
    protocol_hash: str
    protocol: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    tables: tuple[Table, ...]
    paper: tuple[PaperNumber, ...]
    differences: tuple[str, ...]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, int, int], ...]
    findings: tuple[Finding, ...]
    failures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    command: str
    device: str
    versions: Mapping[str, str]
    licence: str
    run: RunCost
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        """Return the card as JSON, keys in the order of the attributes; NaN becomes null."""
        return to_json(asdict(self), indent=1, ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> EvalCard:
        """Parse what `to_json` returned.

        Raises:
            FileFormatError: If the text is no card of this format version.
        """
        try:
            record = json.loads(text)
            if record.pop("format") != FORMAT:
                raise ValueError("it has another format version")
            return cls(**_parts(record))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FileFormatError(
                f"The file is no eval card of this version of basrelief: {error}. Run basrelief evaluate again."
            ) from error

    @classmethod
    def find(cls, folder: Path) -> tuple[list[EvalCard], list[str]]:
        """Read every `card.json` one level below a folder.

        Returns:
            The cards in the order of the folder names, and one message for each card that could not be read.
        """
        cards, errors = [], []
        for file in sorted(folder.glob("*/card.json")) if folder.is_dir() else ():
            try:
                cards.append(cls.read(file))
            except FileFormatError as error:
                errors.append(f"{file.parent.name}: {error}")
        return cards, errors

    @classmethod
    def read(cls, path: Path) -> EvalCard:
        """Read a card from a file of at most 64 MB.

        Raises:
            FileFormatError: If the file is absent, too large, or no card of this format version.
        """
        try:
            with path.open("rb") as file:
                return cls.from_json(file.read(_MAX_CARD_BYTES).decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"Cannot read card {str(path)!r}: {error}. Check the path.") from error


def make_card(result: Result, protocol: Protocol, *, model: Model, benchmark: EvaluatedData, command: str, cost: RunCost) -> EvalCard:
    """Put result, protocol and run cost together."""
    counts = () if result.confusion is None else result.confusion.nonzero()
    cells = zip(*(axis.tolist() for axis in counts), strict=True) if counts else ()
    which = " ".join(filter(None, (benchmark.name, benchmark.variant, benchmark.split)))
    return EvalCard(
        title=f"{model.name} on {which}, {protocol.task}",
        task=protocol.task,
        protocol_hash=protocol.hash,
        protocol=protocol.settings(),
        metrics=result.metrics,
        tables=result.tables,
        paper=published_numbers(protocol),
        differences=paper_differences(protocol),
        labels=benchmark.labels,
        confusion=tuple((r, c, int(result.confusion[r, c])) for r, c in cells) if result.confusion is not None else (),
        findings=benchmark.findings,
        failures=result.failures,
        notes=result.notes,
        command=command,
        device=_device(model),
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        licence=model.recipe.licence,
        run=cost,
    )


def measured_cost(model: Model, stats: EmbedStats, *, seconds: float) -> RunCost:
    """Return the cost of a run that has just ended.

    Args:
        model: What embedded.
        stats: Counts the shapes of this run only.
        seconds: Wall time of the whole run.
    """
    speed = round(stats.shapes / max(stats.seconds, 1e-9), 2) if stats.shapes else None
    return RunCost(datetime.now(UTC).isoformat(timespec="seconds"), round(seconds, 2), speed, _peak_megabytes(model), stats.shapes)


def _peak_megabytes(model: Model) -> float | None:
    import torch

    if model.encoder.device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(model.encoder.device) / 1e6, 1)
    try:
        import resource
        import sys
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _device(model: Model) -> str:
    import torch

    device = model.encoder.device
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"


def _parts(record: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a card from its JSON object."""
    parts = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    return parts | {
        "metrics": tuple(Metric(**_numbers(one)) for one in record["metrics"]),
        "tables": tuple(Table(one["title"], tuple(one["columns"]), _rows(one["rows"])) for one in record["tables"]),
        "paper": tuple(PaperNumber(**one) for one in record["paper"]),
        "findings": tuple(Finding(**one) for one in record["findings"]),
        "confusion": _rows(record["confusion"]),
        "failures": _rows(record["failures"]),
        "run": RunCost(**record["run"]),
    }


def _numbers(record: dict[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in record.items()}


def _rows(rows: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in rows)
