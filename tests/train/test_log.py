"""The log of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from basrelief.train.log import Log


def test_the_log_is_json_lines(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.write(stage="one", value=1 / 3)
    log.write(stage="two", step=2)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["stage"] for r in records] == ["one", "two"]
    assert records[0]["value"] == 0.3333
    assert all(r["seconds"] >= 0 for r in records)


def test_the_log_can_be_echoed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Log(tmp_path / "log.jsonl", echo=True).write(stage="seen")
    assert '"stage": "seen"' in capsys.readouterr().err
