"""Run the examples in docstrings."""

from __future__ import annotations

import ast
import doctest
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import REPOSITORY

SOURCE = REPOSITORY / "src"


def examples(path: Path) -> Iterator[doctest.DocTest]:
    """Return the docstrings of a file that hold examples, each as one test."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                name = getattr(node, "name", path.stem)
                yield doctest.DocTestParser().get_doctest(text, {}, name, str(path), getattr(node, "lineno", 1))


CASES = [case for path in sorted(SOURCE.rglob("*.py")) for case in examples(path)]


def test_the_public_api_has_examples() -> None:
    assert {"load", "load_model", "classify", "render_depth"} <= {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{Path(case.filename).stem}.{case.name}")
def test_examples_in_docstrings(case: doctest.DocTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    report = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags).run(case, out=report.write)
    assert result.failed == 0, report.getvalue()
