"""Packages import only from layers below them, and the contract notices when one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import REPOSITORY

LINT = "import sys; sys.argv[0] = 'lint-imports'; from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of this repository over the package in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    command = [sys.executable, "-c", LINT, "--no-cache", "--no-logo", "--config", str(REPOSITORY / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.safetensors"))
    return tmp_path / "src"


def test_the_layers_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("geometry/upwards.py", "from basrelief import models"),
        ("render/across.py", "import basrelief.encoders"),
        ("tasks/upwards.py", "def f() -> None:\n    from basrelief.models import Model"),
        ("attic/__init__.py", ""),
    ],
)
def test_an_import_upwards_or_a_package_without_a_layer_is_noticed(copy: Path, file: str, line: str) -> None:
    path = copy / "basrelief" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line + "\n", encoding="utf-8")
    done = lint(copy)
    assert done.returncode == 1, done.stdout
    assert f"basrelief.{path.parent.name}" in done.stdout + done.stderr
