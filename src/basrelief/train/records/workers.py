"""Processes that draw, one shape each at a time; one that dies costs the shape it drew and no other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from basrelief.datasets import Benchmark, Item
from basrelief.errors import BasreliefError, ConfigError
from basrelief.types import Shape

T = TypeVar("T")
Draw = Callable[[Shape, str], T]
"""What is made of a shape and its name; it must survive pickling."""
_AHEAD = 64


@dataclass(frozen=True)
class Failed:
    """Why there is nothing of a shape."""

    reason: str


class Workers(Generic[T]):
    """Processes of one thread each; with one job the work is done here.

    They are fresh ones, because a fork of a process with torch may hang.
    """

    def __init__(self, jobs: int, draw: Draw[T]) -> None:
        self.jobs, self.draw = jobs, draw
        self._pool: Executor | None = None

    def __enter__(self) -> Workers[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def drawn(self, library: Benchmark, items: Sequence[Item]) -> Iterator[T | Failed]:
        """What is drawn, in the order of the items, a few ahead of the one that is asked for."""
        if self.jobs <= 1:
            yield from (draw_item(library, item, self.draw) for item in items)
            return
        bare = replace(library, items=library.items[:1], findings=())  # workers need no list
        for start in range(0, len(items), _AHEAD):
            part = items[start : start + _AHEAD]
            pool = self._opened()
            for item, job in [(item, pool.submit(draw_item, bare, item, self.draw)) for item in part]:
                try:
                    yield job.result()
                except BrokenExecutor:
                    if self._pool is pool:
                        self._close()
                    yield self._alone(bare, item)

    def _alone(self, library: Benchmark, item: Item) -> T | Failed:
        """One shape again after processes died, with nothing beside it: if they die again, it is the one."""
        try:
            return self._opened().submit(draw_item, library, item, self.draw).result()
        except BrokenExecutor:
            self._close()
            return Failed("the process that drew it died, perhaps for want of memory")

    def _opened(self) -> Executor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,))
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


def _started() -> bool:
    """What a process says when it has started."""
    return True


def draw_item(library: Benchmark, item: Item, draw: Draw[T]) -> T | Failed:
    """What is drawn of one shape, or why there is nothing."""
    try:
        return draw(library.load(item), item.id)
    except (BasreliefError, MemoryError, RuntimeError) as error:  # torch says RuntimeError when memory is short
        return Failed(str(error) or "out of memory")
