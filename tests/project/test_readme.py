"""Examples of the README and `examples/` run and print what they show."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import REPOSITORY
from support.console_examples import differences, documents

DOCUMENTS = [
    path
    for path in documents(REPOSITORY)
    if "```console" in path.read_text(encoding="utf-8") and "$ basrelief" in path.read_text(encoding="utf-8")
]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the examples in it, to be run in."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    return tmp_path


def first_quick(names: list[str], quick: str) -> list[object]:
    """Parameters of which all but one are slow: each command and each script starts a process of its own."""
    return [name if name == quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("document", first_quick([str(path.relative_to(REPOSITORY)) for path in DOCUMENTS], "README.md"))
def test_commands_print_what_a_document_says(document: str, copy: Path) -> None:
    assert differences((REPOSITORY / document).read_text(encoding="utf-8"), copy) == []


@pytest.mark.parametrize("document", ["README.md", "docs/use/index.md"])
def test_python_blocks_run(document: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    blocks = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, document, "exec"), {})


@pytest.mark.parametrize("script", first_quick([path.name for path in EXAMPLES], "classify.py"))
def test_examples_run(script: str, copy: Path) -> None:
    done = subprocess.run([sys.executable, f"examples/{script}"], cwd=copy, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.slow
def test_examples_print_the_same_as_before(copy: Path) -> None:
    def printed(name: str) -> list[str]:
        return subprocess.run(
            [sys.executable, f"examples/{name}"], cwd=copy, capture_output=True, text=True, timeout=120, check=True
        ).stdout.splitlines()

    assert printed("classify.py")[0].startswith("chair")
    assert printed("own_points.py") == ["table"]
    assert printed("similar.py") == ["armchair: chair.glb", "cup: mug.ply", "aircraft: airplane.stl"]
    assert printed("cross_modal.py") == [
        "something to drink from: mug.ply, table.obj",
        "like this vase: lamp.off, bicycle.glb",  # no vase is among the files; a mug would be nearer
        "like this vase, but a light: lamp.off, bicycle.glb",
        "furniture, but no table: chair.glb, lamp.off",
    ]
    assert printed("few_shot.py") == ["mug: mug", "lamp: lamp", "chair: chair"]
