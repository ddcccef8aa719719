"""Run `basrelief` commands like a user, each in its own session."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from outcomes import Outcome

_SECONDS = 300


def start(arguments: Sequence[str | os.PathLike[str]]) -> subprocess.Popen[bytes]:
    """Start a command in a new session, so that all its processes can be found by it.

    Args:
        arguments: After `basrelief`.

    Returns:
        The process; its output is piped.
    """
    command = [sys.executable, "-m", "basrelief", *(os.fspath(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def run(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end.

    Raises:
        subprocess.TimeoutExpired: If it takes five minutes.
    """
    process = start(arguments)
    try:
        out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def judge(name: str, done: subprocess.CompletedProcess[bytes], *, codes: Sequence[int] = (0, 1, 2), harm: str = "") -> Outcome:
    """Return the outcome of a command.

    Args:
        name: Of the try.
        done: The command that ended.
        codes: Exit codes that are as they should be.
        harm: What it did that it must not, or empty.

    Returns:
        The outcome: `traceback` where one was printed, `crash` where it died of a signal.
    """
    text = (done.stderr + done.stdout).decode("utf-8", "replace")
    if harm:
        return Outcome(name, "harm", message=harm)
    if b"Traceback (most recent call last)" in done.stderr:
        return Outcome(name, "traceback", message=text[-600:])
    if done.returncode not in codes:
        return Outcome(name, "crash" if done.returncode < 0 else "harm", message=f"exit code {done.returncode}: {text[-400:]}")
    return Outcome(name, "refused" if done.returncode else "read")


def alive(session: int) -> list[int]:
    """List the processes of a session that are still running.

    Args:
        session: Process that leads it.

    Returns:
        Their numbers, zombies left out.
    """
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(entry.name)) == session and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(entry.name))
    return found


def ended_within(session: int, seconds: float) -> float:
    """Wait until no process of a session runs.

    Args:
        session: Process that leads it.
        seconds: How long to wait.

    Returns:
        Seconds that it took, infinity if some still run.
    """
    begun = time.monotonic()
    while alive(session):
        if time.monotonic() - begun > seconds:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - begun


def indexed(database: Path) -> dict[str, tuple[str, bytes]]:
    """Read a library: content key and vector of every file, by path.

    Args:
        database: The library.

    Returns:
        The rows.

    Raises:
        ValueError: If a path stands there twice.
    """
    from basrelief.index import Index

    rows: dict[str, tuple[str, bytes]] = {}
    for batch in Index.open(database).tables.batches(["path", "content_hash", "vector"]):
        for row in batch.to_pylist():
            if row["path"] in rows:
                raise ValueError(f"{row['path']} stands in the library twice")
            rows[row["path"]] = (row["content_hash"], json.dumps(row["vector"]).encode())
    return rows
