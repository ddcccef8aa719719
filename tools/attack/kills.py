"""Signals: a killed run leaves no process and loses nothing; Ctrl-C ends it quickly."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from commands import alive, ended_within, indexed, judge, run, start
from outcomes import Outcome

from basrelief.io import save
from basrelief.shapes import make_shape

_SOON = 2.0
_SHAPES = ("chair", "mug", "table", "lamp", "car")
_FILES, _FEW_FILES = 60, 16


def attack_by_signals(folder: Path, *, kills: int, seed: int) -> Iterator[Outcome]:
    """Kill and interrupt `basrelief index` at random moments.

    Args:
        folder: Empty; for files and libraries.
        kills: How often it is killed, and half as often interrupted.
        seed: Of the moments.

    Yields:
        An outcome for each signal, and one for the library that comes of it.
    """
    dice = random.Random(seed)
    home = folder / "home"
    home.mkdir()
    for i in range(_FILES if kills > 2 else _FEW_FILES):
        save(make_shape(_SHAPES[i % len(_SHAPES)], seed=900_000 + i), home / f"{i}.glb")
    begun = time.monotonic()
    whole = run("index", home, "--db", folder / "whole.lance")
    yield judge("index without a signal", whole, codes=(0,))
    length = time.monotonic() - begun
    database = folder / "killed.lance"
    for number in range(kills):
        yield _hit(home, database, signal.SIGKILL, dice.uniform(0.05, 1.0) * length, f"kill {number}")
        if number % 2 == 0:
            yield _hit(home, folder / f"stopped-{number}.lance", signal.SIGINT, dice.uniform(0.3, 0.9) * length, f"interrupt {number}")
    last = run("index", home, "--db", database)
    try:
        same = indexed(database) == indexed(folder / "whole.lance")
        harm = "" if same else "its rows differ from those of a run that was not killed"
    except ValueError as error:
        harm = str(error)
    yield judge(f"the library after {kills} kills", last, codes=(0,), harm=harm)


def _hit(home: Path, database: Path, number: signal.Signals, moment: float, name: str) -> Outcome:
    """Start an indexing run, send it a signal, and check what is left."""
    process = start(["index", home, "--db", database, "--jobs", "2"])
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    took = ended_within(process.pid, 30)
    left = alive(process.pid)
    for one in left:
        os.kill(one, signal.SIGKILL)
    _, errors = process.communicate()
    if left or took > _SOON:
        return Outcome(name, "hang", took, message=f"{len(left)} processes after {took:.1f} s, {moment:.1f} s into the run")
    if b"Traceback (most recent call last)" in errors:
        return Outcome(name, "traceback", took, message=errors.decode("utf-8", "replace")[-500:])
    return Outcome(name, "read", took)
