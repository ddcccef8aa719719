"""The Makefile: its commands, and the message for an old interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import REPOSITORY

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has never been set up."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    return subprocess.run(["make", *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("target", ["demo", "test", "test-all", "lint", "docs", "bench"])
def test_every_target_sets_up_first(checkout: Path, target: str) -> None:
    steps = make(checkout, "--dry-run", target).stdout.splitlines()
    install = next(i for i, step in enumerate(steps) if "pip install" in step)
    assert "-c constraints.txt -e '.[dev,lidar,draco,cad,usd,fast,openvino,generate,index,app,train]'" in steps[install]
    used = [i for i, step in enumerate(steps) if step.startswith(".venv/bin/") and i != install] or [len(steps)]
    assert install < min(used)


def test_set_up_happens_once(checkout: Path) -> None:
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "pip install" not in make(checkout, "--dry-run", "test").stdout
    os.utime(stamp, (0, 0))
    assert "pip install" in make(checkout, "--dry-run", "test").stdout


def test_test_runs_lint_measures_and_the_suite(checkout: Path) -> None:
    steps = make(checkout, "--dry-run", "test").stdout
    for part in ("ruff check", "ruff format --check", "mypy", "lint-imports", "tools/measures.py", "-m pytest"):
        assert part in steps


def test_an_old_interpreter_gets_a_clear_message(checkout: Path) -> None:
    old = checkout / "old-python"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])" "$2"\n', encoding="utf-8"
    )
    old.chmod(0o755)
    done = make(checkout, "PYTHON=./old-python", "demo")
    assert done.returncode != 0
    assert "basrelief needs Python 3.11 or newer, but" in done.stderr
    assert "is 3.9. Name another: make PYTHON=python3.12" in done.stderr
    assert not (checkout / ".venv").exists()


def test_clean_removes_only_what_was_made(checkout: Path) -> None:
    for name in (".venv/bin", "demo-out", "src/__pycache__", "src/basrelief"):
        (checkout / name).mkdir(parents=True)
    assert make(checkout, "clean").returncode == 0
    assert sorted(p.name for p in checkout.rglob("*")) == ["Makefile", "basrelief", "constraints.txt", "pyproject.toml", "src"]


def test_ci_runs_make_test() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script
    assert script.splitlines()[-1] == "make test"
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)
    assert subprocess.run(["bash", "-n", str(REPOSITORY / ".ci" / "run")], check=False).returncode == 0
