"""Run readers in monitored child processes: time and memory of each file, and whether the process survives."""

from __future__ import annotations

import dataclasses
import functools
import json
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from outcomes import Outcome

from basrelief.index.read import FileOptions, import_readers, read_file
from basrelief.limits import limits
from basrelief.models.recipe import get_recipe
from basrelief.models.shape_input import ViewInput
from basrelief.processes import Failure, WorkerPool

_HERE = Path(__file__).parent
_LARGE = 32 << 20
_SCENE, _SCENE_PER_MB = 40, 15  # seconds of processor time to find boxes in a scan, and for each megabyte of it
_START = 30  # a worker that was killed is followed by another, which has to start
_GRACE = 120  # a hang is ended after this many seconds; what takes longer than the promise counts as one all the same


@dataclass(frozen=True)
class Job:
    """A file to read.

    Attributes:
        path: Of the file.
        seed: Of the mutation, None for the file as it is.
        draw: Whether to index the file instead of only loading it.
        reader: One of `scan_readers.READERS`, instead of loading it.
    """

    path: Path
    seed: int | None = None
    draw: bool = False
    reader: str = ""

    @property
    def name(self) -> str:
        """Name in the report."""
        return str(self.path) if self.seed is None else f"{self.path}~{self.seed}"


def read_all(jobs: Iterable[Job], *, children: int = 2, report: Callable[[int], None] | None = None) -> list[Outcome]:
    """Read files in child processes.

    Args:
        jobs: The files.
        children: Processes side by side.
        report: Told how many are done.

    Returns:
        An outcome for each job, in no particular order.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=_work, args=(waiting, outcomes, report)) for _ in range(children)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def read_in_workers(files: Sequence[Path], *, workers: int = 2) -> Iterator[Outcome]:
    """Index files in worker processes as `basrelief index` does: each file must be done or fail within its deadline.

    Args:
        files: The files.
        workers: Number of processes.

    Yields:
        An outcome for each file; its seconds are the time since the previous one.
    """
    recipe = get_recipe("tiny")
    options = FileOptions(ViewInput(recipe.drawers(0)))
    before = time.monotonic()
    with WorkerPool(workers, prepare=import_readers) as pool:
        results = pool.map(functools.partial(read_file, options=options), files, size=lambda path: path.stat().st_size)
        for path, result in zip(files, results, strict=True):
            seconds, before = time.monotonic() - before, time.monotonic()
            reason = result.reason if isinstance(result, Failure) else ""
            kind = "crash" if "died" in reason else "traceback" if reason.startswith("unexpected") else "refused" if reason else "read"
            late = seconds > _allowed(path) + _START
            yield Outcome(f"{path} in a worker", "hang" if late else kind, seconds, message=reason)


def _work(waiting: queue.SimpleQueue[Job], outcomes: list[Outcome], report: Callable[[int], None] | None) -> None:
    child = _Child()
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            break
        outcomes.append(child.read(job))
        if report:
            report(len(outcomes))
    child.close()


class _Child:
    """One process, replaced by a new one when it dies or hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, job: Job) -> Outcome:
        """Read one file."""
        process = self._started()
        start = time.monotonic()
        line = ""
        try:
            _stream(process.stdin).write(json.dumps({**dataclasses.asdict(job), "path": str(job.path)}) + "\n")
            _stream(process.stdin).flush()
            line = self._line(3 * _GRACE if job.reader else _GRACE)
        except (BrokenPipeError, TimeoutError):
            pass
        seconds = time.monotonic() - start
        if not line:
            hung = process.poll() is None and seconds >= _GRACE
            self.close()
            return Outcome(job.name, "hang" if hung else "crash", seconds, 0.0, f"exit code {process.returncode}")
        said = json.loads(line)
        kind = said["kind"]
        if job.reader:  # no reading with a deadline, but work that must be bounded on a busy machine, too
            seconds, allowed = said["processor_seconds"], _SCENE + _SCENE_PER_MB * job.path.stat().st_size / 2**20
        else:
            allowed = _allowed(job.path)
        if kind in ("read", "refused") and said["megabytes"] * 2**20 > limits().memory_bytes:
            kind = "memory"
        if kind in ("read", "refused") and seconds > allowed:
            kind = "hang"
        return Outcome(job.name, kind, seconds, said["megabytes"], said["message"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-X", "faulthandler", str(_HERE / "child.py")]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
            )
            if self._line(_GRACE).strip() != "ready":
                raise RuntimeError("the process that reads files did not start; run tools/attack/child.py by hand")
        return self._process

    def _line(self, seconds: float) -> str:
        """Read one line of the child; empty if it died."""
        if self._process is None:
            return ""
        out = _stream(self._process.stdout)
        if not select.select([out], [], [], seconds)[0]:
            raise TimeoutError
        return out.readline()


def _allowed(path: Path) -> float:
    """Return the seconds a file may take: the promised limit, more in proportion above 32 MB."""
    return limits().seconds * max(1.0, path.stat().st_size / _LARGE)


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process has no pipe")
    return stream
