"""`tools/attack`: a few hostile files in the fast suite, the short form of every attack in the slow one."""

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


def check_row(done: subprocess.CompletedProcess[str], name: str, *, tries: int) -> None:
    """Check the row of an attack in the printed table: the number of tries, and no failure of any kind."""
    row = next((line.split() for line in done.stdout.splitlines() if line.startswith(name)), [])
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    assert int(row[1].replace(",", "")) >= tries
    assert row[4:9] == ["0"] * 5


@pytest.mark.parametrize("name", ["mutations", "pickles"])
def test_a_few_hostile_files_do_no_harm(tmp_path: Path, name: str) -> None:
    check_row(attack(tmp_path, "--only", name, f"--{name}", "40"), name, tries=40)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mutations", "pickles", "scans", "folders", "signals", "page"])
def test_no_try_of_the_short_attack_fails(tmp_path: Path, name: str) -> None:
    check_row(attack(tmp_path, "--short", "--only", name), name, tries=4)


@pytest.mark.slow
def test_amplifiers_do_no_harm(tmp_path: Path) -> None:
    done = attack(tmp_path, "--only", "amplifiers")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout


def test_a_failure_is_named_and_its_file_kept(tmp_path: Path) -> None:
    command = [sys.executable, str(ATTACK), "--only", "mutations", "--mutations", "20", "--children", "1"]
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
    assert {file.name.split("-")[0] for file in (tmp_path / "attack-out").iterdir()} == {"mutations"}


def test_an_unknown_attack_is_named(tmp_path: Path) -> None:
    done = attack(tmp_path, "--only", "everything")
    assert (done.returncode, "--only must name one of corpora, amplifiers" in done.stderr) == (1, True)
