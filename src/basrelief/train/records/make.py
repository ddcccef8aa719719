"""Make the records of a whole library: in parallel, resumable, with a list of failures and a cost estimate."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from basrelief.datasets import Benchmark, Item
from basrelief.errors import ConfigError, unknown_choice
from basrelief.io import split_row
from basrelief.output import append_text, size_text, to_json
from basrelief.processes import Failure, WorkerPool, attempt, batches
from basrelief.train.lock import hold_lock
from basrelief.train.records.store import LAYOUTS, Record, pack_shard, shard_name, write_folder, write_manifest
from basrelief.types import Progress, Shape

FAILED = "failed.jsonl"
SHAPES_PER_SHARD = 100
T = TypeVar("T")


@runtime_checkable
class RecordMaker(Protocol[T]):
    """Makes records: `draw` runs in worker processes, `finish` in this process, on several shapes at once."""

    @property
    def format(self) -> str:
        """Name of the format, for the manifest."""
        ...

    @property
    def batch_size(self) -> int:
        """Shapes per call of `finish`."""
        ...

    def manifest(self) -> dict[str, Any]:
        """Return the settings that affect the result, for the manifest."""
        ...

    @property
    def draw(self) -> Callable[[Shape, str], T]:
        """Function of a shape and its name for the worker processes; it must be picklable."""
        ...

    def finish(self, drawn: Sequence[tuple[str, T]]) -> list[Record]:
        """Return records, without `label.json`, of labels and drawn shapes."""
        ...


@dataclass(frozen=True)
class Workers:
    """How the work is divided.

    Attributes:
        jobs: Worker processes for drawing; 0 draws in this process, without a time or memory limit.
        rank: Index of this process among those that share the library, each on its own GPU or machine.
        world_size: Number of those processes.
    """

    jobs: int = 0
    rank: int = 0
    world_size: int = 1

    @classmethod
    def from_environment(cls, jobs: int, *, part: str | None = None) -> Workers:
        """Return the share of this process: as given, or as torchrun sets it (`RANK`, `WORLD_SIZE`).

        Args:
            jobs: Worker processes for drawing.
            part: `I/N` for part I, counted from 0, of N.

        Raises:
            ConfigError: If the part is not of that form.
        """
        try:
            rank, size = map(int, part.split("/") if part else (os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")))
        except ValueError:
            rank = size = 0
        if not 0 <= rank < size:
            raise ConfigError(f"{part!r} is not a part I/N with I from 0 to N - 1. Write, for example, 0/8 to 7/8.")
        return cls(jobs, rank, size)


@dataclass(frozen=True)
class CostEstimate:
    """Estimated cost of a library.

    Attributes:
        shapes: Shapes of the library.
        pictures: Pictures of all shapes.
        sampled: Shapes measured.
        failed: Number of those that failed.
        draw_seconds: Seconds of one core to draw all shapes.
        finish_seconds: Seconds of one GPU, or this process, to finish all shapes.
        bytes: Size on disk.
    """

    shapes: int
    pictures: int
    sampled: int
    failed: int
    draw_seconds: float
    finish_seconds: float
    bytes: int

    def hours(self, jobs: int) -> float:
        """Return the hours with a number of drawing processes, each on its own core; finishing runs in parallel."""
        return max(self.draw_seconds / max(jobs, 1), self.finish_seconds) / 3600

    def text(self, jobs: int, *, gpu: bool = False) -> str:
        """Return the estimate in one line, with a number of drawing processes; `gpu` if a GPU finishes the shapes."""
        finishing = f"{_duration(self.finish_seconds)} of one GPU, " if gpu else ""
        return (
            f"{self.shapes:,} shapes, {self.pictures:,} pictures, {size_text(self.bytes)}, {finishing}{_duration(3600 * self.hours(jobs))} "
            f"with {jobs} processes ({self.sampled} shapes measured, {self.failed} failed)"
        )


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds > 3600 else f"{seconds / 60:.1f} minutes"


def make_records(
    library: Benchmark,
    out: Path,
    *,
    maker: RecordMaker[T],
    layout: str = "shards",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[tuple[str, str]]:
    """Make the record of every shape of a library; existing records are kept.

    The result depends on the library and the maker alone, not on processes or interruptions.

    Args:
        library: From `open_benchmark`.
        out: Folder for the records; `failed.jsonl` in it lists the failures.
        maker: Makes a record.
        layout: `shards` (tar files of 100 shapes) or `folders` (one for each shape).
        workers: Number of processes, and this process's share; everything in this process when None.
        progress: Called after each shape.

    Returns:
        Name and reason of every failure, of this run and earlier ones.

    Raises:
        ConfigError: If the layout is unknown, the folder holds other records, or another run is writing this part.
    """
    if layout not in LAYOUTS:
        raise ConfigError(unknown_choice("layout", layout, LAYOUTS))
    workers = workers or Workers()
    data = f"{library.name} {library.fingerprint()}"
    write_manifest(out, {"format": maker.format, "layout": layout, **maker.manifest(), "labels": list(library.labels), "data": data})
    with _hold_part(out, workers), WorkerPool(workers.jobs) as pool:
        writer = _RecordWriter(library, out, maker, pool, progress)
        each = SHAPES_PER_SHARD if layout == "shards" else 1
        own = range(-(-len(library) // each))[workers.rank :: workers.world_size]
        if layout == "shards":
            for number in own:
                writer.shard(number)
        else:
            writer.fill(out, [library.items[number] for number in own])
    return read_failures(out)


@contextmanager
def _hold_part(out: Path, workers: Workers) -> Iterator[None]:
    """Lock this process's part of the records."""
    busy = f"Another run is writing records to {out}. Wait for it, or stop it."
    with hold_lock(out / f".part-{workers.rank}-of-{workers.world_size}.lock", busy=busy):
        yield


def estimate_cost(library: Benchmark, maker: RecordMaker[T], *, sample: int = 8) -> CostEstimate:
    """Make the records of a few shapes, evenly over the library, and extrapolate.

    Args:
        library: Shapes to draw.
        maker: Makes a record.
        sample: Number of shapes to measure.
    """
    step = max(1, len(library) // sample)
    chosen = library.items[::step][:sample]
    start = time.perf_counter()
    draw = _drawing(library, maker)
    drawn = [(item, attempt(draw, item)) for item in chosen]
    between = time.perf_counter()
    good = [(library.labels[item.label], d) for item, d in drawn if not isinstance(d, Failure)]
    records = [record for few in batches(iter(good), maker.batch_size) for record in maker.finish(few)]
    finished = time.perf_counter() - between
    size = sum(len(content) + 1024 for record in records for content in record.values())
    pictures = sum(bool(re.fullmatch(r"\d+\.png", name)) for name in records[0]) if records else 0
    failed, share = len(chosen) - len(good), len(library) / max(len(good), 1)
    seconds = (between - start) / len(chosen) * len(library)
    return CostEstimate(len(library), len(library) * pictures, len(chosen), failed, seconds, finished * share, int(size * share))


def read_failures(out: Path) -> list[tuple[str, str]]:
    """Return name and reason of every shape in `failed.jsonl`."""
    path = out / FAILED
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    found = {record["id"]: record["error"] for record in map(_parse_failure, lines) if record}
    return sorted(found.items())


def record_key(item: Item) -> str:
    """Return a file name for a shape: its simplified name and a hash of its id."""
    digest = hashlib.sha256(item.id.encode(errors="replace")).hexdigest()[:10]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", split_row(item.id)[0].with_suffix("").as_posix())[-60:].strip("-")
    return f"{plain}-{digest}"


def _drawing(library: Benchmark, maker: RecordMaker[T]) -> Callable[[Item], T]:
    """Return a picklable function that loads and draws an item."""
    return functools.partial(_draw, replace(library, items=library.items[:1], findings=()), maker.draw)


def _draw(library: Benchmark, draw: Callable[[Shape, str], T], item: Item) -> T:
    return draw(library.load(item), item.id)


class _RecordWriter(Generic[T]):
    """Writes the records of one run."""

    def __init__(self, library: Benchmark, out: Path, maker: RecordMaker[T], pool: WorkerPool, progress: Progress | None) -> None:
        self.library, self.out, self.maker, self.pool, self.progress = library, out, maker, pool, progress
        self.draw: Callable[[Item], T] = _drawing(library, maker)
        self.known = {name for name, _ in read_failures(out)}
        self.done = 0

    def shard(self, number: int) -> None:
        """Write the records of a shard to a folder, then pack it; an existing shard is kept."""
        items = self.library.items[number * SHAPES_PER_SHARD : (number + 1) * SHAPES_PER_SHARD]
        if (self.out / shard_name(number)).is_file():
            self._report(len(items))
            return
        work = self.out / f".{shard_name(number)}.work"
        self.fill(work, items)
        pack_shard(self.out, work, number=number, keys=map(record_key, items))

    def fill(self, folder: Path, items: Sequence[Item]) -> None:
        """Write the folders of shapes that are new and have not failed before."""
        left = [item for item in items if item.id not in self.known and not (folder / record_key(item)).is_dir()]
        self._report(len(items) - len(left))
        for few in batches(self._drawn(left), self.maker.batch_size):
            records = self.maker.finish([(self.library.labels[item.label], drawn) for item, drawn in few])
            for (item, _), record in zip(few, records, strict=True):
                label = json.dumps({"label": self.library.labels[item.label]}).encode()
                write_folder(folder, record_key(item), {"label.json": label, **record})
            self._report(len(few))

    def _drawn(self, items: Sequence[Item]) -> Iterator[tuple[Item, T]]:
        """Yield drawn shapes; list failures."""
        for item, drawn in zip(items, self.pool.map(self.draw, items), strict=True):
            if isinstance(drawn, Failure):
                _record_failure(self.out / FAILED, item, drawn.reason)
                self._report(1)
            else:
                yield item, drawn

    def _report(self, more: int) -> None:
        self.done += more
        if self.progress and more:
            self.progress(self.done, len(self.library))


def _record_failure(path: Path, item: Item, reason: str) -> None:
    cut = path.is_file() and not path.read_bytes().endswith(b"\n")  # truncated by a kill; its record is written again
    append_text(path, ("\n" if cut else "") + to_json({"id": item.id, "error": reason}) + "\n")


def _parse_failure(text: str) -> dict[str, str] | None:
    """Parse a line of the list; None if it was truncated by a kill."""
    try:
        found = json.loads(text)
        return {"id": str(found["id"]), "error": str(found["error"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
