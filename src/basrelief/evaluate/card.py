"""The eval card: figures, how they were made, and the paper's number beside them. One JSON file for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from basrelief.datasets import Benchmark
from basrelief.errors import FileFormatError
from basrelief.evaluate.protocol import Protocol, differences, paper_numbers
from basrelief.evaluate.result import Figure, Result, Table
from basrelief.models import EmbedStats, Model, PaperNumber
from basrelief.output import to_json
from basrelief.types import Finding

FORMAT = 1
_MAX_CARD_BYTES = 64_000_000
_LIBRARIES = ("basrelief", "numpy", "torch", "scikit-learn")


@dataclass(frozen=True)
class Cost:
    """What a run took; the one part of a card that differs from run to run.

    Attributes:
        date: When it ended, UTC, to the second.
        seconds: By the clock, reading and drawing included.
        shapes_per_second: Shapes that were read, drawn and encoded in this run, over the seconds that took; None where all came from the
            cache.
        peak_megabytes: Largest resident memory of the process; of the GPU where one was used. None where the system does not say.
        embedded: How many shapes those were, None in older cards.
    """

    date: str
    seconds: float
    shapes_per_second: float | None
    peak_megabytes: float | None
    embedded: int | None = None

    @property
    def speed(self) -> str:
        """Shapes a second in words, or why there is no figure."""
        if self.shapes_per_second is None:
            return "no speed: every shape came from the cache of a run before"
        of = "" if self.embedded is None else f" over {self.embedded:,} that were not in the cache"
        return f"{self.shapes_per_second:,.1f} shapes a second{of}"


@dataclass(frozen=True)
class EvalCard:
    """A figure with everything that is needed to trust it or to make it again.

    Attributes:
        title: One line.
        task: What was asked.
        protocol_hash: See `Protocol.hash`.
        protocol: See `Protocol.settings`.
        figures: The headline.
        tables: Details.
        paper: The paper's numbers for this recipe and data set.
        differences: Settings that differ from the paper's.
        labels: Class names.
        confusion: Triples: number of the right label, number of the answer, shapes.
        findings: What was checked about the data.
        failures: Shapes that could not be used, and why.
        notes: What a reader should know.
        command: What was typed.
        device: What it ran on.
        versions: Of Python and the libraries.
        licence: Of the weights.
        run: Date, time and memory.
        format: Version of this form.
    """

    title: str
    task: str
    protocol_hash: str
    protocol: Mapping[str, Any]
    figures: tuple[Figure, ...]
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
    run: Cost
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        """As JSON, keys in the order of the attributes; a figure that is no number is null."""
        return to_json(asdict(self), indent=1, ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> EvalCard:
        """Read what `to_json` wrote.

        Raises:
            FileFormatError: If it is another form.
        """
        try:
            record = json.loads(text)
            if record.pop("format") != FORMAT:
                raise ValueError("another format number")
            return cls(**_parts(record))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FileFormatError(f"card must be a JSON file written by basrelief evaluate, but got: {error}. Run it again.") from error

    @classmethod
    def read(cls, path: Path) -> EvalCard:
        """Read a card's file, at most 64 MB.

        Raises:
            FileFormatError: If the file is absent, too large or of another form.
        """
        try:
            with path.open("rb") as file:
                return cls.from_json(file.read(_MAX_CARD_BYTES).decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"card must be a readable file in UTF-8, but got {str(path)!r}: {error}. Check the path.") from error


def make_card(result: Result, protocol: Protocol, *, model: Model, benchmark: Benchmark, command: str, cost: Cost) -> EvalCard:
    """Put a result and its protocol together."""
    counts = () if result.confusion is None else result.confusion.nonzero()
    cells = zip(*(axis.tolist() for axis in counts), strict=True) if counts else ()
    which = " ".join(filter(None, (benchmark.name, benchmark.variant, benchmark.split)))
    return EvalCard(
        title=f"{model.name} on {which}, {protocol.task}",
        task=protocol.task,
        protocol_hash=protocol.hash,
        protocol=protocol.settings(),
        figures=result.figures,
        tables=result.tables,
        paper=paper_numbers(protocol),
        differences=differences(protocol),
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


def measured_cost(seconds: float, stats: EmbedStats, model: Model) -> Cost:
    """The cost of a run that has just ended.

    Args:
        seconds: Of the whole run.
        stats: What was embedded in it.
        model: What embedded.
    """
    speed = round(stats.shapes / max(stats.seconds, 1e-9), 2) if stats.shapes else None
    return Cost(datetime.now(UTC).isoformat(timespec="seconds"), round(seconds, 2), speed, _peak_megabytes(model), stats.shapes)


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
    """The attributes of a card from its JSON object."""
    parts = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    return parts | {
        "figures": tuple(Figure(**_numbers(one)) for one in record["figures"]),
        "tables": tuple(Table(one["title"], tuple(one["columns"]), _rows(one["rows"])) for one in record["tables"]),
        "paper": tuple(PaperNumber(**one) for one in record["paper"]),
        "findings": tuple(Finding(**one) for one in record["findings"]),
        "confusion": _rows(record["confusion"]),
        "failures": _rows(record["failures"]),
        "run": Cost(**record["run"]),
    }


def _numbers(record: dict[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in record.items()}


def _rows(rows: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in rows)
