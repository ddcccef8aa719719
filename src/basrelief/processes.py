"""Processes that do one thing to many; one that dies costs the item it had and no other."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from basrelief.errors import BasreliefError, ConfigError

S = TypeVar("S")
T = TypeVar("T")
_AHEAD = 32


@dataclass(frozen=True)
class Failed:
    """Why there is nothing of an item."""

    reason: str


class Processes:
    """Processes of one thread each; with one job the work is done here.

    They are fresh ones, because a fork of a process with torch may hang.

    Attributes:
        jobs: How many.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: Executor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def each(self, call: Callable[[S], T], items: Iterable[S]) -> Iterator[T | Failed]:
        """What is made of each item, in their order, a few ahead of the one that is asked for.

        Args:
            call: Must survive pickling where there are several jobs.
            items: What it is given.
        """
        if self.jobs <= 1:
            yield from (attempt(call, item) for item in items)
            return
        waiting: deque[tuple[S, Future[T | Failed]]] = deque()
        for item in items:
            waiting.append((item, self._submit(call, item)))
            if len(waiting) >= _AHEAD:
                yield from self._next(call, waiting)
        while waiting:
            yield from self._next(call, waiting)

    def _next(self, call: Callable[[S], T], waiting: deque[tuple[S, Future[T | Failed]]]) -> Iterator[T | Failed]:
        """The first result; when processes died, all that was asked for, each item with nothing beside it."""
        try:
            result = waiting[0][1].result()
        except BrokenExecutor:
            self._close()
            while waiting:
                yield self._again(call, *waiting.popleft())
        else:
            waiting.popleft()
            yield result

    def _again(self, call: Callable[[S], T], item: S, job: Future[T | Failed]) -> T | Failed:
        """What came of a job; if its process died, the item once more: if that one dies, too, it is the item."""
        try:
            return job.result()
        except BrokenExecutor:
            pass
        try:
            return self._submit(call, item).result()
        except BrokenExecutor:
            self._close()
            return Failed("the process that read it died, perhaps for want of memory")

    def _submit(self, call: Callable[[S], T], item: S) -> Future[T | Failed]:
        try:
            return self._opened().submit(attempt, call, item)
        except BrokenExecutor:
            self._close()
            return self._opened().submit(attempt, call, item)

    def _opened(self) -> Executor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=_begin)
            try:
                self._pool.submit(_started).result()
            except BrokenExecutor as error:
                self._close()
                raise ConfigError(
                    "jobs must be processes that can start, but got some that died at once. "
                    "In a script, put the call under `if __name__ == '__main__':`, or use 1 job."
                ) from error
        return self._pool

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None


def _begin() -> None:
    """One thread; Ctrl-C is for the process that asked."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _started() -> bool:
    """What a process says when it has started."""
    return True


def batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Rows in lists of so many, the last one shorter; no more are taken than are asked for."""
    remaining = iter(rows)
    while few := list(islice(remaining, size)):
        yield few


def attempt(call: Callable[[S], T], item: S) -> T | Failed:
    """What is made of an item, or why there is nothing."""
    try:
        return call(item)
    except (BasreliefError, MemoryError, RuntimeError) as error:  # torch says RuntimeError when memory is short
        return Failed(str(error) or "out of memory")
