"""Logs and warnings of libraries are dropped during reading, without changing global state."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path

import pytest

from basrelief.errors import FileFormatError
from basrelief.io.checks import _NOISY, parser_errors

HERE = Path("a.ply")


def state() -> object:
    loggers = [logging.getLogger(name) for name in (*_NOISY, "trimesh.deep.down", "laspy.lib")]
    return list(warnings.filters), warnings.showwarning, [(logger.level, list(logger.filters), logger.disabled) for logger in loggers]


def test_log_lines_and_warnings_are_dropped_inside_and_kept_outside(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("laspy.below")
    with parser_errors(HERE, "ply"):
        logger.error("inside")
        logging.getLogger("trimesh").critical("inside")
        logging.getLogger("basrelief").error("ours")
        warnings.warn("inside", RuntimeWarning, stacklevel=1)
    logger.error("outside")
    assert [record.message for record in caplog.records] == ["ours", "outside"]
    with pytest.warns(RuntimeWarning, match="outside"):
        warnings.warn("outside", RuntimeWarning, stacklevel=1)


def test_nothing_is_left_changed() -> None:
    before = state()
    with parser_errors(HERE, "ply"), parser_errors(HERE, "ply"):
        pass
    assert state() == before
    with pytest.raises(FileFormatError), parser_errors(HERE, "ply"):
        raise ValueError
    assert state() == before


def test_two_loads_that_overlap_leave_nothing_changed() -> None:
    """The first to begin ends first: what it restores must not be what the second found."""
    before = state()
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with parser_errors(HERE, "ply"):
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with parser_errors(HERE, "ply"):
            second_in.set()
            first_out.wait(10)
            warnings.warn("still silent", RuntimeWarning, stacklevel=1)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state() == before


def test_many_loads_side_by_side() -> None:
    before = state()

    def load() -> None:
        for _ in range(200):
            with parser_errors(HERE, "ply"):
                warnings.warn("silent", RuntimeWarning, stacklevel=1)
                logging.getLogger("trimesh").error("silent")

    failed: list[object] = []
    hook, threading.excepthook = threading.excepthook, failed.append
    try:
        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = hook
    assert not failed
    assert state() == before


def test_other_threads_keep_their_warnings_while_one_reads(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def other() -> None:
        logging.getLogger("trimesh").error("from another thread")
        try:
            warnings.warn("from another thread", RuntimeWarning, stacklevel=1)
        except RuntimeWarning as warning:
            heard.append(str(warning))

    with parser_errors(HERE, "ply"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert [record.message for record in caplog.records] == ["from another thread"]
    assert heard == ["from another thread"]
