"""Processes that do one thing to many: in order, a few ahead, and none lost when one dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from basrelief.errors import ConfigError, GeometryError
from basrelief.processes import Failed, Processes, attempt


def double(number: int) -> int:
    if number == 3:
        raise GeometryError("three is no shape")
    return 2 * number


def short_of_memory(number: int) -> int:
    raise MemoryError if number else RuntimeError("can't allocate memory")


def broken(number: int) -> int:
    raise KeyError(number)


def deadly(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def process(_: int) -> tuple[int, int]:
    import torch

    time.sleep(0.05)
    return os.getpid(), torch.get_num_threads()


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_and_failures_in_their_place(jobs: int) -> None:
    with Processes(jobs) as processes:
        assert list(processes.each(double, range(80))) == [Failed("three is no shape") if i == 3 else 2 * i for i in range(80)]
        assert list(processes.each(double, [])) == []
        assert list(processes.each(double, iter([7]))) == [14]


def test_memory_that_runs_out_is_a_reason() -> None:
    assert attempt(short_of_memory, 0) == Failed("can't allocate memory")
    assert attempt(short_of_memory, 1) == Failed("out of memory")


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        list(Processes(1).each(broken, [1]))


def test_one_that_dies_costs_its_own_item_and_no_other() -> None:
    with Processes(2) as processes:
        found = list(processes.each(deadly, range(40)))
    assert found == [Failed("the process that read it died, perhaps for want of memory") if i == 5 else i for i in range(40)]


def test_a_process_has_one_thread_and_is_another_one() -> None:
    with Processes(2) as processes:
        found = [one for one in processes.each(process, range(8)) if not isinstance(one, Failed)]
    assert {threads for _, threads in found} == {1}
    assert os.getpid() not in {number for number, _ in found}
    assert len(found) == 8


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with Processes(2) as processes:
        results = processes.each(double, items())
        assert next(results) == 0
        assert len(taken) < 50


def test_with_one_job_nothing_is_taken_ahead() -> None:
    taken = []
    results = Processes(1).each(double, (taken.append(i) or i for i in range(10)))
    next(results)
    assert taken == [0]


def test_processes_that_cannot_start_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures.process import BrokenProcessPool

    import basrelief.processes as module

    class Dead:
        def __init__(self, *_: object, **__: object) -> None: ...

        def submit(self, *_: object) -> Dead:
            return self

        def result(self) -> None:
            raise BrokenProcessPool("died")

        def shutdown(self, *, cancel_futures: bool) -> None: ...

    monkeypatch.setattr(module, "ProcessPoolExecutor", Dead)
    with pytest.raises(ConfigError, match="under `if __name__ == '__main__':`, or use 1 job"):
        list(Processes(2).each(double, [1]))
