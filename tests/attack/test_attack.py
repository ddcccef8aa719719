"""The short form of `tools/attack`: every kind of attack, a few tries each, and not one failure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import REPOSITORY

ATTACK = REPOSITORY / "tools" / "attack"
pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the attack measures memory by Linux's /proc")


def attack(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ATTACK), "--children", "1", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.parametrize("name", ["mutations", "pickles", "folders", "signals", "page"])
def test_no_try_of_the_short_attack_fails(tmp_path: Path, name: str) -> None:
    done = attack(tmp_path, "--short", "--only", name)
    row = next((line.split() for line in done.stdout.splitlines() if line.startswith(name)), [])
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    assert int(row[1].replace(",", "")) >= 4
    assert row[4:9] == ["0"] * 5


@pytest.mark.slow
def test_no_amplifier_harms(tmp_path: Path) -> None:
    done = attack(tmp_path, "--only", "amplifiers")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout


def test_a_failure_is_named_kept_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "tight").mkdir()
    command = [sys.executable, str(ATTACK), "--short", "--only", "mutations", "--children", "1"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"BASRELIEF_LIMITS": "memory_bytes=1", "PATH": ""},
    )
    assert done.returncode == 1
    assert re.search(r"mutations: MEMORY .*~\d+ ", done.stderr)
    assert all(file.name.startswith("mutations-") for file in (tmp_path / "attack-out").iterdir())
    assert any((tmp_path / "attack-out").iterdir())


def test_an_unknown_attack_is_named(tmp_path: Path) -> None:
    done = attack(tmp_path, "--only", "everything")
    assert (done.returncode, "--only must name one of corpora, amplifiers" in done.stderr) == (1, True)
