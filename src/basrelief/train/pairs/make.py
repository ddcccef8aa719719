"""Drawing the pairs of a whole library on all cores: planned, resumable, bad meshes listed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from basrelief.datasets import Benchmark, Item
from basrelief.errors import BasreliefError, ConfigError, unknown_choice
from basrelief.train.pairs.draw import DrawnPair, PairStyle, draw_pair
from basrelief.train.pairs.store import LAYOUTS, shard_name, write_folder, write_manifest, write_shard

FAILED = "failed.jsonl"
_AHEAD = 64
Progress = Callable[[int, int], None]
_Drawn = DrawnPair | str


@dataclass(frozen=True)
class Plan:
    """What a library will cost, from a measured sample.

    Attributes:
        shapes: In the library.
        pictures: All views of all.
        sampled: Shapes that were drawn to find out.
        failed: Of those, how many could not be.
        seconds: Of one process for all of them.
        bytes: On disk.
    """

    shapes: int
    pictures: int
    sampled: int
    failed: int
    seconds: float
    bytes: int

    def hours(self, jobs: int) -> float:
        """Hours with so many processes, each with a core of its own."""
        return self.seconds / 3600 / max(jobs, 1)


def make_pairs(
    library: Benchmark,
    out: Path,
    *,
    style: PairStyle | None = None,
    layout: str = "shards",
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[tuple[str, str]]:
    """Draw every shape of a library; what is there already is left as it is.

    The result depends on the library and the style alone, not on the number of processes or on interruptions.

    Args:
        library: From `open_benchmark`: ShapeNetCore as unpacked, or any tree of class folders.
        out: Folder for the pairs; `failed.jsonl` in it lists shapes that could not be drawn.
        style: How; the paper's way when None.
        layout: `shards` (tar files of 100 shapes) or `folders` (one for each shape).
        jobs: Processes.
        progress: Told after each shard or shape.

    Returns:
        Name and reason of every shape that could not be drawn, in this run or before.

    Raises:
        ConfigError: If the layout is unknown or the folder holds other pairs.
    """
    if layout not in LAYOUTS:
        raise ConfigError(unknown_choice("layout", layout, LAYOUTS))
    style = style or PairStyle()
    write_manifest(out, style, layout=layout, labels=library.labels, data=f"{library.name} {library.fingerprint()}")
    with _Workers(jobs, style) as workers:
        if layout == "shards":
            _make_shards(library, out, workers, progress)
        else:
            _make_folders(library, out, workers, progress)
    return read_failures(out)


def plan_pairs(library: Benchmark, *, style: PairStyle | None = None, sample: int = 8) -> Plan:
    """Draw a few shapes, evenly over the library, and work out the whole.

    Args:
        library: What is to be drawn.
        style: How.
        sample: How many shapes.
    """
    style = style or PairStyle()
    step = max(1, len(library) // sample)
    chosen = library.items[::step][:sample]
    start, size, failed, views = time.perf_counter(), 0, 0, 0
    for item in chosen:
        drawn = _draw(library, item, style)
        if isinstance(drawn, str):
            failed += 1
            continue
        views = len(drawn.pictures)
        size += sum(map(len, drawn.pictures)) + drawn.points.nbytes + 512 * (views + 2) * 2
    seconds = (time.perf_counter() - start) / len(chosen)
    good = len(chosen) - failed
    return Plan(
        len(library), len(library) * views, len(chosen), failed, seconds * len(library), int(size / good * len(library)) if good else 0
    )


def read_failures(out: Path) -> list[tuple[str, str]]:
    """What `failed.jsonl` lists."""
    path = out / FAILED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = {record["id"]: record["error"] for record in map(_record, lines) if record}
    return sorted(found.items())


def key_of(item: Item) -> str:
    """A file name for a shape: its own name where it is plain, and a hash of its whole id."""
    digest = hashlib.sha256(item.id.encode(errors="replace")).hexdigest()[:10]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(item.id.partition("#")[0]).with_suffix("").as_posix())[-60:].strip("-")
    return f"{plain}-{digest}"


def _make_shards(library: Benchmark, out: Path, workers: _Workers, progress: Progress | None) -> None:
    each = 100
    numbers = range(-(-len(library) // each))
    for number in numbers:
        items = library.items[number * each : (number + 1) * each]
        if not (out / shard_name(number)).is_file():
            drawn = list(zip(items, workers.drawn(library, items), strict=True))
            _note_failures(out, drawn)
            write_shard(out, number, ((key_of(i), library.labels[i.label], d) for i, d in drawn if isinstance(d, DrawnPair)))
        if progress:
            progress(min((number + 1) * each, len(library)), len(library))


def _make_folders(library: Benchmark, out: Path, workers: _Workers, progress: Progress | None) -> None:
    known = {name for name, _ in read_failures(out)}
    left = [item for item in library.items if item.id not in known and not (out / key_of(item)).is_dir()]
    done = len(library) - len(left)
    for item, drawn in zip(left, workers.drawn(library, left), strict=True):
        if isinstance(drawn, DrawnPair):
            write_folder(out, key_of(item), library.labels[item.label], drawn)
        else:
            _note_failures(out, [(item, drawn)])
        done += 1
        if progress:
            progress(done, len(library))


def _draw(library: Benchmark, item: Item, style: PairStyle) -> _Drawn:
    """One pair, or why there is none."""
    try:
        return draw_pair(library.load(item), item.id, style=style)
    except (BasreliefError, MemoryError, RuntimeError) as error:  # torch says RuntimeError when memory is short
        return str(error) or "out of memory"


def _note_failures(out: Path, drawn: Sequence[tuple[Item, _Drawn]]) -> None:
    lines = [json.dumps({"id": item.id, "error": reason}) for item, reason in drawn if isinstance(reason, str)]
    if lines:
        path = out / FAILED
        cut = path.is_file() and not path.read_bytes().endswith(b"\n")  # by a kill; its record is written again
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut else "") + "\n".join(lines) + "\n")


def _record(line: str) -> dict[str, str] | None:
    """A line of the list; one that was cut off by a kill is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class _Workers:
    """Processes of one thread each that draw; one that dies costs the mesh it drew and no other.

    They are fresh ones, because a fork of a process with torch may hang.
    """

    def __init__(self, jobs: int, style: PairStyle) -> None:
        self.jobs, self.style = jobs, style
        self._pool: Executor | None = None

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def drawn(self, library: Benchmark, items: Sequence[Item]) -> Iterator[_Drawn]:
        """Pairs in the order of the items, a few ahead of the one that is asked for."""
        if self.jobs <= 1:
            yield from (_draw(library, item, self.style) for item in items)
            return
        bare = replace(library, items=library.items[:1], findings=())  # workers need no list
        for start in range(0, len(items), _AHEAD):
            part = items[start : start + _AHEAD]
            pool = self._opened()
            for item, job in [(item, pool.submit(_draw, bare, item, self.style)) for item in part]:
                try:
                    yield job.result()
                except BrokenExecutor:
                    if self._pool is pool:
                        self._close()
                    yield self._alone(bare, item)

    def _alone(self, library: Benchmark, item: Item) -> _Drawn:
        """One mesh again after processes died, with nothing beside it: if they die again, it is the one."""
        try:
            return self._opened().submit(_draw, library, item, self.style).result()
        except BrokenExecutor:
            self._close()
            return "the process that drew it died, perhaps for want of memory"

    def _opened(self) -> Executor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,))
        return self._pool

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None
