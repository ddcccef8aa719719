"""Worker processes for untrusted files, with a deadline and a memory limit, that end with their parent.

`ProcessPoolExecutor` has none of these, and one crashed worker breaks the pool. pebble has deadlines, but no memory limits and no workers
that die with their parent, and its workers share one locked pipe, so that a killed worker can block the others; wrapping it would take as
much code as this pool. Here each worker has its own pipe and its own thread in the parent.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from basrelief.checks import check_at_least
from basrelief.errors import BasreliefError, ConfigError
from basrelief.limits import VARIABLE, Limits, limits, use_limits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

S = TypeVar("S")
T = TypeVar("T")
_AHEAD = 32
_START_SECONDS = 180.0  # for importing torch on a slow, busy machine; a task's deadline starts afterwards
_GRACE_SECONDS = 2.0
_MEMORY_WORDS = (
    "out of memory",
    "allocate memory",
    "unable to allocate",
    "memory allocation",
    "bad_alloc",
    "failed to map segment",
    "start new thread",
)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Failure:
    """The reason why an item has no result.

    Attributes:
        reason: A sentence for the user.
    """

    reason: str


class WorkerPool:
    """A pool of worker processes, each handling one item at a time; a context manager.

    An item that takes longer than `Limits.reading_seconds`, needs more than `Limits.memory_bytes`, crashes its worker or raises becomes a
    `Failure`; other items continue in other workers or a new one. Workers use the limits of the caller of `map` or `run`. Memory is limited
    only on systems with `RLIMIT_AS` and `/proc` (Linux).

    Workers start on demand and compute with one thread each. They are spawned, because forking a process with torch may hang, so scripts
    need `if __name__ == "__main__":`. They ignore Ctrl-C and end with this process, however it ends.

    Attributes:
        jobs: Number of workers; with 0, items are handled in this process, without deadline or memory limit.
        prepare: Called once in each worker, e.g. to import modules before the deadline of the first item starts.
    """

    def __init__(self, jobs: int, *, prepare: Callable[[], object] | None = None) -> None:
        check_at_least("jobs", jobs, 0, "Use 0 to work in this process.")
        self.jobs, self.prepare = jobs, prepare
        self._threads = ThreadPoolExecutor(jobs, "basrelief-worker") if jobs else None
        self._own = threading.local()  # one worker per thread
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, func: Callable[[S], T], items: Iterable[S], *, size: Callable[[S], int] | None = None) -> Iterator[T | Failure]:
        """Call `func` on each item, working a few items ahead; yield results in order.

        Args:
            func: The function; it and the items must be picklable if there are workers.
            items: Its arguments.
            size: Returns the bytes read for an item, which extend its deadline.
        """
        if self._threads is None:
            yield from (attempt(func, item) for item in items)
            return
        waiting: deque[Future[T | Failure]] = deque()
        for item in items:
            waiting.append(self._submit(self._threads, func, item, size(item) if size else 0))
            if len(waiting) >= max(_AHEAD, 2 * self.jobs):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def run(self, func: Callable[[S], T], item: S, *, size: int = 0) -> T | Failure:
        """Call `func` on one item and wait for the result; thread-safe.

        Args:
            func: The function; it and the item must be picklable if there are workers.
            item: Its argument.
            size: Bytes read for the item, which extend its deadline.
        """
        if self._threads is None:
            return attempt(func, item)
        return self._submit(self._threads, func, item, size).result()

    def close(self) -> None:
        """Kill the workers; pending items become failures."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _submit(self, threads: ThreadPoolExecutor, func: Callable[[S], T], item: S, size: int) -> Future[T | Failure]:
        chosen = limits()
        task = pickle.dumps((func, item, chosen))
        return threads.submit(self._call, task, chosen.reading_seconds(size))

    def _call(self, task: bytes, seconds: float) -> T | Failure:
        """Run a task in this thread's worker. Linux ends a worker with its starting thread; these threads live as long as the pool."""
        for _ in range(2):  # the first worker may have ended while idle
            worker = self._ready_worker()
            if worker is None or worker.begin(task):
                break
        result = worker.result(seconds) if worker else Failure("")
        if self._closed and isinstance(result, Failure):
            return Failure("reading was stopped")
        return cast("T | Failure", result)

    def _ready_worker(self) -> _Worker | None:
        """Return this thread's worker, or a new one if it ended; None if the pool was closed meanwhile."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is not None:
            if worker.receive(_START_SECONDS):
                return worker
            with self._lock:
                self._workers.discard(worker)
            worker.stop()
        _block_interrupts()
        with self._lock:
            if self._closed:
                return None
            worker = self._own.worker = _Worker(self.prepare)
            self._workers.add(worker)
        if not worker.receive(_START_SECONDS) and not self._closed:
            raise ConfigError(
                "A worker process ended as soon as it was started. "
                "In a script, put the call under `if __name__ == '__main__':`, or use jobs=0."
            )
        return worker


class _Worker:
    """A process and its pipe. It sends `ready`, receives a task, sends `begun` and then the result, and repeats."""

    def __init__(self, prepare: Callable[[], object] | None) -> None:
        self.ended = False
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, prepare), daemon=True)
        self.process.start()
        other.close()

    def begin(self, task: bytes) -> bool:
        """Send a task; return whether it began, after its imports."""
        with suppress(OSError):  # a broken pipe means that the worker died, which `receive` reports
            self.pipe.send_bytes(task)
        return bool(self.receive(_START_SECONDS))

    def result(self, seconds: float) -> object:
        """Wait for the result of the current task; kill the worker if it takes longer than `seconds`."""
        if reply := self.receive(seconds):
            return pickle.loads(reply)
        if self.process.is_alive() and not self.ended:
            self.process.kill()
            return Failure(
                f"reading took longer than {seconds:.3g} s. Simplify or split the file, or raise the limit, e.g. {VARIABLE}=seconds=60."
            )
        return Failure(f"the process that read it died: {self._death()}. Check the file with another program.")

    def receive(self, seconds: float) -> bytes:
        """Wait for a message; return an empty one on timeout or if the worker ended."""
        try:
            return self.pipe.recv_bytes() if self.pipe.poll(seconds) else b""
        except (EOFError, OSError):
            self.ended = True
            return b""

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def _death(self) -> str:
        self.process.join(_GRACE_SECONDS)
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return "killed, perhaps for lack of memory"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _block_interrupts() -> None:
    """Block SIGINT in this thread, so that processes it starts never receive Ctrl-C."""
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # otherwise it starts with the first process, which removes the block again
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def _serve(pipe: Connection, prepare: Callable[[], object] | None) -> None:
    """Run tasks until the pipe closes; runs in the worker."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, if a task imports it
    if prepare is not None:
        prepare()
    start, exhausted = 0, False
    while not exhausted:
        pipe.send_bytes(b"ready")
        try:
            task = pipe.recv_bytes()
        except EOFError:
            return
        loaded = attempt(pickle.loads, task)  # imports the modules of the function
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(1)
        start = start or _virtual_bytes()
        pipe.send_bytes(b"begun")
        if isinstance(loaded, Failure):
            reply = pickle.dumps(loaded)
        else:
            reply, exhausted = _reply(*loaded)
            exhausted = exhausted or _virtual_bytes() > start + loaded[2].memory_bytes  # it kept too much memory
        pipe.send_bytes(reply)


def _reply(func: Callable[[S], T], item: S, chosen: Limits) -> tuple[bytes, bool]:
    """Run a task within its limits.

    Returns:
        The pickled result or failure, and whether memory ran out, after which the process cannot be trusted (half-done imports).
    """
    _limit_memory(_virtual_bytes() + chosen.memory_bytes)
    try:
        with use_limits(chosen):
            return pickle.dumps(func(item)), False
    except Exception as error:
        _limit_memory(None)
        return pickle.dumps(Failure(_reason(error))), _out_of_memory(error)
    finally:
        _limit_memory(None)


def _virtual_bytes() -> int:
    """Return the size of this process's address space; 0 if unknown."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _limit_memory(size: int | None) -> None:
    """Limit the address space of this process, or remove the limit; a no-op outside Linux."""
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = hard if size is None or not _virtual_bytes() else size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_with_parent() -> None:
    """Make this worker end with its parent: through the kernel on Linux, even inside C code, elsewhere through a thread."""
    parent = multiprocessing.parent_process()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is not None and os.getppid() != parent.pid:  # the parent ended already
            os._exit(1)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
    os._exit(1)


def batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` rows, the last one shorter; rows are consumed lazily."""
    remaining = iter(rows)
    while few := list(islice(remaining, size)):
        yield few


def attempt(func: Callable[[S], T], item: S) -> T | Failure:
    """Call `func` on `item`, returning a `Failure` instead of raising."""
    try:
        return func(item)
    except Exception as error:
        return Failure(_reason(error))


def _reason(error: Exception) -> str:
    """Describe an exception for the user, with its location if it is not one of basrelief's."""
    if _out_of_memory(error):
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        detail = " ".join(str(cause).split())[:200] or "out of memory"
        return f"reading takes more memory than is available or than the limit memory_bytes allows: {detail}. Simplify or split the file."
    if isinstance(error, BasreliefError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"unexpected {type(error).__name__} at {where}: {' '.join(str(error).split())[:200]}. Please report it with the file."


def _out_of_memory(error: BaseException | None) -> bool:
    """Return whether an exception or its cause means out of memory, in the words of NumPy, torch, Pillow, lxml or the system."""
    if error is None or isinstance(error, MemoryError):
        return error is not None
    ours = isinstance(error, BasreliefError)  # such a message may quote the file
    return (not ours and any(words in str(error).lower() for words in _MEMORY_WORDS)) or _out_of_memory(error.__cause__)
