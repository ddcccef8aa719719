"""The task `detection`: measure annotated scans one at a time, score them all, and write one card."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basrelief.datasets.scans.open import open_scans
from basrelief.datasets.scans.scan_set import ScanItem, ScanSet
from basrelief.errors import FileFormatError, GeometryError, MissingExtraError
from basrelief.evaluate.card import EvalCard, make_card, measured_cost
from basrelief.evaluate.detection.grid import ScanResults
from basrelief.evaluate.detection.measure import ScanMeasure
from basrelief.evaluate.detection.protocol import DetectionProtocol, default_protocol
from basrelief.evaluate.detection.record import RecordCache, ScanRecord
from basrelief.evaluate.detection.report import detection_result
from basrelief.evaluate.detection.rooms import room_scans
from basrelief.evaluate.protocol import describe_protocol
from basrelief.evaluate.result import Result
from basrelief.models import Model
from basrelief.models.embed import EmbedStats
from basrelief.types import Finding, Progress

ROOMS = "rooms"
"""Name of the data set of generated rooms."""


@dataclass(frozen=True, eq=False)
class ScanBenchmark:
    """Annotated scans as an eval card describes its data.

    Attributes:
        scans: The scans that are evaluated.
    """

    scans: ScanSet
    variant: str = ""
    up: str = "z"

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.scans)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.scans.name

    @property
    def layout(self) -> str:
        """How it lies on disk."""
        return self.scans.layout

    @property
    def split(self) -> str:
        """`train`, `val`, `test` or `all`."""
        return self.scans.split

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return self.scans.class_names

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was checked."""
        return self.scans.findings

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of classes, scans and the sizes of their main files: another copy has the same."""
        digest = hashlib.sha256("\0".join((self.split, *self.labels)).encode())
        for item in self.scans.scans:
            size = item.path.stat().st_size if item.path.is_file() else -1
            digest.update(f"\n{item.id}\0{size}".encode(errors="replace"))
        return digest.hexdigest()[:16]


def open_scan_benchmark(
    root: Path, name: str, *, split: str, protocol: DetectionProtocol | None = None, seeds: tuple[int, ...] = (), limit: int | None = None
) -> ScanBenchmark:
    """Open scans for an evaluation.

    Args:
        root: Folder of the unpacked data set; for generated rooms that of shapes to use, or `Path()` for generated ones.
        name: `scannet`, `sunrgbd`, `rooms`, or empty to recognise it.
        split: `train`, `val` or `test`.
        protocol: Its label set, or None for the data set's own.
        seeds: For `rooms`: seeds of the rooms.
        limit: Use the first scans only.

    Raises:
        ConfigError: If a name is unknown or there is no scan.
    """
    if name == ROOMS:
        found = room_scans(seeds, shapes=None if root == Path() else root)
    else:
        found = open_scans(root, name or None, split=split, classes=(protocol.classes or None) if protocol else None)
    return ScanBenchmark(dataclasses.replace(found, scans=found.scans[:limit]))


def evaluate_detection(
    model: Model,
    benchmark: ScanBenchmark,
    *,
    protocol: DetectionProtocol | None = None,
    seed: int = 0,
    keep: bool = True,
    command: str = "",
    progress: Progress | None = None,
) -> tuple[EvalCard, Result]:
    """Evaluate a model on annotated scans. A scan that cannot be read does not stop the others.

    Memory is that of one scan, and of the logits of all boxes.

    Args:
        model: Labels the boxes, with the settings to run with.
        benchmark: From `open_scan_benchmark`.
        protocol: Every choice; that of the data set when None.
        seed: Of every random choice.
        keep: Whether to use and keep what was measured of each scan, so that a stopped run resumes.
        command: Command line to record in the card.
        progress: Called after each scan with the number of scans done and of all.

    Raises:
        ConfigError: If a choice is wrong.
        WeightsNotFoundError: If the weights of the proposer are missing.
    """
    start = time.perf_counter()
    chosen = protocol or default_protocol(benchmark.name)
    measure = ScanMeasure(model, benchmark.scans.classes, chosen, benchmark.name, seed)
    options = chosen.settings() | {"background": list(measure.background)}
    described = describe_protocol(model, benchmark, task="detection", options=options, seed=seed)
    settings = _measured(described.model, measure) | {"seed": seed}
    known = RecordCache.shared(settings) if keep else RecordCache(settings, None)
    stats, records, failures = EmbedStats(), {}, []
    for done, item in enumerate(benchmark.scans.scans, start=1):
        try:
            records[item.id] = known.get(item) or _measure(item, measure, stats, known.put)
        except (FileFormatError, GeometryError, MissingExtraError) as error:
            failures.append((item.id, str(error)))
        if progress:
            progress(done, len(benchmark))
    results = ScanResults(tuple(records.values()), benchmark.labels, chosen, seed)
    catch_all, notes = benchmark.scans.classes.catch_all, _notes(model, measure, len(failures))
    result = detection_result(results, tuple(records), catch_all=catch_all, failures=failures, notes=notes)
    cost = measured_cost(model, stats, seconds=time.perf_counter() - start)
    return make_card(result, described, model=model, benchmark=benchmark, command=command, cost=cost), result


def _measure(item: ScanItem, measure: ScanMeasure, stats: EmbedStats, put: Callable[[ScanItem, ScanRecord], None]) -> ScanRecord:
    start = time.perf_counter()
    record = measure.measure(item.load())
    put(item, record)
    stats.shapes += len(record.objectness) + len(record.labels)
    stats.seconds += time.perf_counter() - start
    return record


def _measured(model: Mapping[str, Any], measure: ScanMeasure) -> dict[str, Any]:
    """What decides the record of a scan, the scan itself left out."""
    return {
        **model,
        **measure.protocol.measured_settings(),
        "dataset": measure.dataset,
        "labels": measure.classes.names,
        "known background": measure.background,
        "proposer": "" if measure.weights is None else _stamp(measure.weights),
    }


def _notes(model: Model, measure: ScanMeasure, failures: int) -> tuple[str, ...]:
    unknown = sorted(model.unknown_words(measure.classes.names))
    notes = [f"{model.name} does not know {len(unknown)} of {len(measure.classes)} classes: {', '.join(unknown)}."] if unknown else []
    if failures:
        notes.append(f"{failures} scans could not be used; their boxes are not counted.")
    return tuple(notes)


def _stamp(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return "no file"
    return f"{state.st_size} {state.st_mtime_ns}"
