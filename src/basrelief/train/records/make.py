"""Making the records of a whole library: planned, on all cores and several GPUs, resumable, bad shapes listed."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from basrelief.datasets import Benchmark, Item
from basrelief.errors import ConfigError, unknown_choice
from basrelief.output import append_text, to_json
from basrelief.processes import Failure, WorkerPool, attempt, batches
from basrelief.train.lock import hold_lock
from basrelief.train.records.store import LAYOUTS, Record, pack_shard, shard_name, write_folder, write_manifest
from basrelief.types import Shape

FAILED = "failed.jsonl"
SHAPES_PER_SHARD = 100
T = TypeVar("T")
Progress = Callable[[int, int], None]


@runtime_checkable
class RecordMaker(Protocol[T]):
    """How records are made: drawn in worker processes, then finished, several at once, in this one."""

    @property
    def format(self) -> str:
        """Name of what is made, in the manifest."""
        ...

    @property
    def together(self) -> int:
        """Shapes that are finished at once."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, for the manifest."""
        ...

    @property
    def draw(self) -> Callable[[Shape, str], T]:
        """What processes do with a shape and its name; it must survive pickling."""
        ...

    def finish(self, drawn: Sequence[tuple[str, T]]) -> list[Record]:
        """Records of labels and what was drawn, without `label.json`."""
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


@dataclass(frozen=True)
class CostEstimate:
    """What a library will cost, from a measured sample.

    Attributes:
        shapes: In the library.
        pictures: All views of all, not counting what lies beside them.
        sampled: Shapes that were drawn to find out.
        failed: Of those, how many could not be.
        draw_seconds: Of one core for drawing all of them.
        finish_seconds: Of one GPU, or this process, for finishing all of them.
        bytes: On disk.
    """

    shapes: int
    pictures: int
    sampled: int
    failed: int
    draw_seconds: float
    finish_seconds: float
    bytes: int

    def hours(self, jobs: int) -> float:
        """Hours with so many drawing processes, each with a core of its own; finishing goes on beside them."""
        return max(self.draw_seconds / max(jobs, 1), self.finish_seconds) / 3600


def make_records(
    library: Benchmark,
    out: Path,
    *,
    maker: RecordMaker[T],
    layout: str = "shards",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[tuple[str, str]]:
    """Make the record of every shape of a library; what is there already is left as it is.

    The result depends on the library and the maker alone, not on the number of processes or on interruptions.

    Args:
        library: From `open_benchmark`.
        out: Folder for the records; `failed.jsonl` in it lists shapes of which there is none.
        maker: How a record is made.
        layout: `shards` (tar files of 100 shapes) or `folders` (one for each shape).
        workers: How many processes, and which part is this one's; all of it when None.
        progress: Told after each shape.

    Returns:
        Name and reason of every shape of which there is no record, in this run or before.

    Raises:
        ConfigError: If the layout is unknown, the folder holds other records, or another run is making this part of them.
    """
    if layout not in LAYOUTS:
        raise ConfigError(unknown_choice("layout", layout, LAYOUTS))
    workers = workers or Workers()
    data = f"{library.name} {library.fingerprint()}"
    write_manifest(out, {"format": maker.format, "layout": layout, **maker.settings(), "labels": list(library.labels), "data": data})
    with _hold_part(out, workers), WorkerPool(workers.jobs) as pool:
        filling = _RecordWriter(library, out, maker, pool, progress)
        each = SHAPES_PER_SHARD if layout == "shards" else 1
        own = range(-(-len(library) // each))[workers.rank :: workers.world_size]
        if layout == "shards":
            for number in own:
                filling.shard(number)
        else:
            filling.fill(out, [library.items[number] for number in own])
    return read_failures(out)


@contextmanager
def _hold_part(out: Path, workers: Workers) -> Iterator[None]:
    """Keep a second run from the same part."""
    busy = f"records must be made by one run at a time, but got another at work in {out}. Wait for it, or stop it."
    with hold_lock(out / f".part-{workers.rank}-of-{workers.world_size}.lock", busy=busy):
        yield


def estimate_cost(library: Benchmark, maker: RecordMaker[T], *, sample: int = 8) -> CostEstimate:
    """Make the records of a few shapes, evenly over the library, and work out the whole.

    Args:
        library: What is to be drawn.
        maker: How.
        sample: How many shapes.
    """
    step = max(1, len(library) // sample)
    chosen = library.items[::step][:sample]
    start = time.perf_counter()
    draw = _drawing(library, maker)
    drawn = [(item, attempt(draw, item)) for item in chosen]
    between = time.perf_counter()
    good = [(library.labels[item.label], d) for item, d in drawn if not isinstance(d, Failure)]
    records = [record for few in batches(iter(good), maker.together) for record in maker.finish(few)]
    finished = time.perf_counter() - between
    size = sum(len(content) + 1024 for record in records for content in record.values())
    pictures = sum(bool(re.fullmatch(r"\d+\.png", name)) for name in records[0]) if records else 0
    failed, share = len(chosen) - len(good), len(library) / max(len(good), 1)
    seconds = (between - start) / len(chosen) * len(library)
    return CostEstimate(len(library), len(library) * pictures, len(chosen), failed, seconds, finished * share, int(size * share))


def read_failures(out: Path) -> list[tuple[str, str]]:
    """What `failed.jsonl` lists."""
    path = out / FAILED
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    found = {record["id"]: record["error"] for record in map(_line, lines) if record}
    return sorted(found.items())


def record_key(item: Item) -> str:
    """A file name for a shape: its own name where it is plain, and a hash of its whole id."""
    digest = hashlib.sha256(item.id.encode(errors="replace")).hexdigest()[:10]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(item.id.partition("#")[0]).with_suffix("").as_posix())[-60:].strip("-")
    return f"{plain}-{digest}"


def _drawing(library: Benchmark, maker: RecordMaker[T]) -> Callable[[Item], T]:
    """What a process does with an item; it needs no list of the others."""
    return functools.partial(_draw, replace(library, items=library.items[:1], findings=()), maker.draw)


def _draw(library: Benchmark, draw: Callable[[Shape, str], T], item: Item) -> T:
    return draw(library.load(item), item.id)


class _RecordWriter(Generic[T]):
    """The work of one run."""

    def __init__(self, library: Benchmark, out: Path, maker: RecordMaker[T], pool: WorkerPool, progress: Progress | None) -> None:
        self.library, self.out, self.maker, self.pool, self.progress = library, out, maker, pool, progress
        self.draw: Callable[[Item], T] = _drawing(library, maker)
        self.known = {name for name, _ in read_failures(out)}
        self.done = 0

    def shard(self, number: int) -> None:
        """Fill a folder with the shapes of a shard, then pack it; a shard that is there is left as it is."""
        items = self.library.items[number * SHAPES_PER_SHARD : (number + 1) * SHAPES_PER_SHARD]
        if (self.out / shard_name(number)).is_file():
            self._tell(len(items))
            return
        work = self.out / f".{shard_name(number)}.work"
        self.fill(work, items)
        pack_shard(self.out, work, number=number, keys=map(record_key, items))

    def fill(self, folder: Path, items: Sequence[Item]) -> None:
        """Write the folders of shapes that are neither there nor known to fail."""
        left = [item for item in items if item.id not in self.known and not (folder / record_key(item)).is_dir()]
        self._tell(len(items) - len(left))
        for few in batches(self._good(left), self.maker.together):
            records = self.maker.finish([(self.library.labels[item.label], drawn) for item, drawn in few])
            for (item, _), record in zip(few, records, strict=True):
                label = json.dumps({"label": self.library.labels[item.label]}).encode()
                write_folder(folder, record_key(item), {"label.json": label, **record})
            self._tell(len(few))

    def _good(self, items: Sequence[Item]) -> Iterator[tuple[Item, T]]:
        """What could be drawn; the rest is noted."""
        for item, drawn in zip(items, self.pool.map(self.draw, items), strict=True):
            if isinstance(drawn, Failure):
                _note(self.out / FAILED, item, drawn.reason)
                self._tell(1)
            else:
                yield item, drawn

    def _tell(self, more: int) -> None:
        self.done += more
        if self.progress and more:
            self.progress(self.done, len(self.library))


def _note(path: Path, item: Item, reason: str) -> None:
    cut = path.is_file() and not path.read_bytes().endswith(b"\n")  # by a kill; its record is written again
    append_text(path, ("\n" if cut else "") + to_json({"id": item.id, "error": reason}) + "\n")


def _line(text: str) -> dict[str, str] | None:
    """A line of the list; one that was cut off by a kill is none."""
    try:
        found = json.loads(text)
        return {"id": str(found["id"]), "error": str(found["error"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
