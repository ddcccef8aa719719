"""Worker pool: results in order; an item that hangs, uses too much memory or crashes loses only itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from basrelief.errors import ConfigError, FileFormatError, GeometryError
from basrelief.limits import limits, use_limits
from basrelief.processes import Failure, WorkerPool, attempt


def double(number: int) -> int:
    if number == 3:
        raise GeometryError("three is no shape")
    return 2 * number


def deadly(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 6:
        os._exit(7)
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(number: int) -> int:
    if number == 1:
        time.sleep(60)
    if number == 2:
        re.match(r"(a+)+b", "a" * 60)  # C code that keeps the interpreter lock
    return number


def greedy(number: int) -> int:
    if number == 1:
        return int(np.ones(1 << 29, np.uint8).sum())
    if number == 2:
        return len([bytes(1 << 20) for _ in range(1 << 12)])
    if number == 3:
        try:
            bytes(1 << 34)
        except MemoryError as error:
            raise FileFormatError("The file cannot be read") from error
    return number


def greedy_torch(number: int) -> int:
    import torch

    return int(torch.ones(1 << 29, dtype=torch.uint8).sum()) if number else 0


def import_torch() -> None:
    import torch  # noqa: F401


def broken(number: int) -> int:
    raise KeyError(number)


def whereabouts(_: int) -> tuple[int, bool, str]:
    time.sleep(0.05)
    return os.getpid(), "torch" in sys.modules, os.environ["OMP_NUM_THREADS"]


def points_limit(_: int) -> int:
    return limits().points


def test_results_come_in_order_and_failures_in_their_place() -> None:
    for jobs in (0, 1, 2):
        with WorkerPool(jobs) as pool:
            assert list(pool.map(double, range(80))) == [Failure("three is no shape") if i == 3 else 2 * i for i in range(80)]
            assert list(pool.map(double, [])) == []
            assert list(pool.map(double, iter([7]))) == [14]
            assert pool.run(double, 4) == 8


def test_items_that_hang_end_at_the_deadline_and_the_others_go_on() -> None:
    with WorkerPool(2) as pool, use_limits(replace(limits(), seconds=0.5)):
        list(pool.map(double, range(4)))
        start = time.monotonic()
        found = list(pool.map(slow, range(8)))
        spent = time.monotonic() - start
    reason = "reading took longer than 0.5 s. Simplify or split the file, or raise the limit, e.g. BASRELIEF_LIMITS=seconds=60."
    assert found == [Failure(reason) if i in (1, 2) else i for i in range(8)]
    assert spent < 20


def test_a_large_file_has_more_time() -> None:
    with WorkerPool(1) as pool, use_limits(replace(limits(), seconds=0.2)):
        assert isinstance(pool.run(sleep_half, 0, size=32 << 20), Failure)
        assert pool.run(sleep_half, 0, size=32 << 25) == 0
        assert list(pool.map(sleep_half, [32 << 20, 32 << 25], size=int))[1] == 32 << 25


def sleep_half(number: int) -> int:
    time.sleep(0.5)
    return number


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
@pytest.mark.parametrize(
    ("call", "prepare", "bad"), [(greedy, None, (1, 2, 3)), pytest.param(greedy_torch, import_torch, (1, 2), marks=pytest.mark.slow)]
)
def test_items_that_exceed_the_memory_limit_fail_and_the_others_go_on(
    call: Callable[[int], int], prepare: Callable[[], None] | None, bad: tuple[int, ...]
) -> None:
    with WorkerPool(1, prepare=prepare) as pool, use_limits(replace(limits(), memory_bytes=1 << 28)):
        found = list(pool.map(call, [0, *bad, 0]))
    assert [found[0], found[-1]] == [0, 0]
    assert not any("The file cannot be read" in str(one) for one in found)  # the cause is told
    assert all("reading takes more memory than is available or than the limit memory_bytes allows" in one.reason for one in found[1:-1])  # type: ignore[union-attr]


def test_a_worker_that_dies_costs_its_own_item_and_no_other() -> None:
    with WorkerPool(2) as pool:
        found = list(pool.map(deadly, range(40)))
    told = {5: "SIGSEGV", 6: "exit code 7", 7: "killed, perhaps for lack of memory"}
    for number, one in enumerate(found):
        if number in told:
            assert one == Failure(f"the process that read it died: {told[number]}. Check the file with another program.")
        else:
            assert one == number


def test_a_worker_killed_while_it_waits_costs_nothing() -> None:
    with WorkerPool(1) as pool:
        found = pool.run(whereabouts, 0)
        for _ in range(3):
            assert not isinstance(found, Failure)
            os.kill(found[0], signal.SIGKILL)
            found = pool.run(whereabouts, 0)


def test_memory_that_runs_out_here_is_a_reason_too() -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError(12, "Cannot allocate memory")):

        def fail(_: int, error: Exception = error) -> int:
            raise error

        found = attempt(fail, 0)
        assert isinstance(found, Failure)
        assert found.reason.startswith("reading takes more memory")


def test_a_message_that_quotes_a_file_name_is_no_lack_of_memory() -> None:
    def fail(_: int) -> int:
        raise FileFormatError("Cannot read 'out of memory.ply'")

    assert attempt(fail, 0) == Failure("Cannot read 'out of memory.ply'")


def test_a_fault_of_ours_says_what_and_where() -> None:
    for jobs in (0, 1):
        with WorkerPool(jobs) as pool:
            (found,) = pool.map(broken, [1])
        assert isinstance(found, Failure)
        assert re.fullmatch(r"unexpected KeyError at test_processes\.py:\d+: 1\. Please report it with the file\.", found.reason)


def test_workers_are_few_reused_and_free_of_torch() -> None:
    with WorkerPool(2) as pool:
        found = [one for one in pool.map(whereabouts, range(8)) if not isinstance(one, Failure)]
        assert len({number for number, _, _ in found}) == 2
        assert {(torch, threads) for _, torch, threads in found} == {(False, "1")}
        again = [one for one in pool.map(whereabouts, range(8)) if not isinstance(one, Failure)]
    assert {number for number, *_ in again} <= {number for number, *_ in found}
    assert len(found) == len(again) == 8


def test_the_limits_in_force_hold_in_workers() -> None:
    for jobs in (0, 1):
        with WorkerPool(jobs) as pool:
            with use_limits(replace(limits(), points=7)):
                assert pool.run(points_limit, 0) == 7
            assert pool.run(points_limit, 0) == limits().points


def test_many_threads_may_run_at_once() -> None:
    with WorkerPool(2) as pool:
        found: dict[int, object] = {}

        def ask(number: int) -> None:
            found[number] = pool.run(double, number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {i: Failure("three is no shape") if i == 3 else 2 * i for i in range(20)}


def test_closing_ends_what_is_at_work() -> None:
    pool = WorkerPool(1)
    pool.run(double, 1)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(pool.run(slow, 2)))
    thread.start()
    time.sleep(0.3)
    start = time.monotonic()
    pool.close()
    thread.join()
    assert time.monotonic() - start < 2
    assert found == [Failure("reading was stopped")]


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with WorkerPool(2) as pool:
        results = pool.map(double, items())
        assert next(results) == 0
        assert len(taken) < 50


def test_without_jobs_nothing_is_taken_ahead() -> None:
    taken = []
    results = WorkerPool(0).map(double, (taken.append(i) or i for i in range(10)))
    next(results)
    assert taken == [0]


def test_fewer_than_no_jobs_are_refused() -> None:
    with pytest.raises(ConfigError, match="jobs is -1; it must be at least 0"):
        WorkerPool(-1)


PROGRAM = """
import os, re, sys, time
from basrelief.processes import WorkerPool

def work(kind):
    print(os.getpid(), flush=True)
    while True:
        time.sleep(1) if kind else re.match(r"(a+)+b", "a" * 60)

if __name__ == "__main__":
    with WorkerPool(2) as pool:
        list(pool.map(work, [0, 1, 0]))
"""
UNGUARDED = """
from basrelief.processes import WorkerPool
print(list(WorkerPool(1).map(abs, [-1])))
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program whose two workers are busy, one of them in C code."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        yield running
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


def _all_end(numbers: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE for number in numbers):
            return True
        time.sleep(0.05)
    return False


def _busy(program: subprocess.Popen[str]) -> list[int]:
    assert program.stdout is not None
    for _ in range(2):
        program.stdout.readline()
    return [child.pid for child in psutil.Process(program.pid).children(recursive=True)]


def test_workers_end_with_a_parent_that_is_killed(program: subprocess.Popen[str]) -> None:
    numbers = _busy(program)
    assert len(numbers) >= 2
    program.kill()
    assert _all_end(numbers, 20)


def test_ctrl_c_ends_everything_at_once(program: subprocess.Popen[str]) -> None:
    numbers = _busy(program)
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(20) != 0
    assert _all_end(numbers, 20)
    assert program.stderr is not None
    assert program.stderr.read().count("Traceback") == 1  # of the program itself, none of its workers


def test_a_script_without_main_guard_gets_a_clear_message(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "In a script, put the call under `if __name__ == '__main__':`, or use jobs=0." in done.stderr
