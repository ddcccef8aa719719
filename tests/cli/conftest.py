"""Runs a command in this process, and files to give it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from basrelief.cli import main
from basrelief.io import save
from support.small_models import ball, box


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["basrelief", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return Ended(int(code or 0), captured.out, captured.err)  # type: ignore[call-overload]

    return call


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "box.glb", tmp_path / "ball.ply"]
    save(box(), found[0])
    save(ball(), found[1])
    return found
