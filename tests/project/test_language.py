"""Plain English: no metaphors, former names or archaic phrases in sources, docs, the README and names of tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import REPOSITORY
from support.console_examples import documents

SOURCE = REPOSITORY / "src" / "basrelief"
METAPHORS = ["room", "rooms", "door", "doors", "twin", "twins", "house", "houses", "desk", "strays", "handicap"]
SCENES = (
    "README.md",
    "scenes/",
    "cli/detect.py",
    "cli/evaluate.py",
    "evaluate/detection/",
    "evaluate/sources.py",
    "docs/research/rooms.md",
    "docs/research/detection.md",
    "docs/research/evaluation.md",
    "docs/research/index.md",
    "docs/use/scenes.md",
    "docs/use/index.md",
)
THINGS = {  # where these words are meant literally
    "room": (*SCENES, "shapes/"),
    "rooms": (*SCENES, "shapes/", "models/tiny/MODEL_CARD.md"),
    "door": (*SCENES, "shapes/", "models/tiny/MODEL_CARD.md"),
    "doors": (*SCENES, "shapes/"),
    "house": ("shapes/",),
    "houses": ("shapes/",),
    "desk": (*SCENES, "shapes/"),
}
PHRASES = [
    "what became of",
    "for want of",
    "gpu is left alone",
    "taken off",
    "not within reach",
    "obeyed unasked",
    "is to be had",
    "whose worth",
    "as they lie",
    "files alike",
    "in what it computes",
    "what is made of an",
    "or why there is nothing",
    "cut short in its making",
    "sure, or not",
    "made anew",
    "but got",
]
IN_TESTS = ["anew", "nought", "taught", "told so", "is told", "riddle", "worth", "strangers?"]
NAMES = {
    *("Asked", "Desk", "Effort", "Found", "Judge", "Look", "Reading", "Turns", "Watch", "Work", "Taught"),
    *("drop_strays", "strays", "handicap", "handicaps", "for_shots", "portrait", "told", "twins", "desk"),
}
METHODS = {
    "Model": {"ask", "on"},
    "Recipe": {"on"},
    "Tables": {"known", "there", "put", "tidy"},
    "TrainingRun": {"ask", "finish", "keep", "rows"},
}


def texts() -> Iterator[tuple[str, str]]:
    """Return name and text of everything that people read: sources, model cards, pages."""
    for path in sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.md")]):
        yield str(path.relative_to(SOURCE)), path.read_text(encoding="utf-8")
    for path in documents(REPOSITORY):
        if path.name == "README.md" or "docs" in path.relative_to(REPOSITORY).parts:
            yield str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")


def places(pattern: str, *, without: tuple[str, ...] = ()) -> list[str]:
    """Return file:line: text of each line that holds a pattern, in any case."""
    search = re.compile(pattern, re.IGNORECASE)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        if not name.startswith(without)
        for number, line in enumerate(text.splitlines(), start=1)
        if search.search(line)
    ]


@pytest.mark.parametrize("word", METAPHORS)
def test_no_metaphors(word: str) -> None:
    assert places(rf"(?<![\w-]){word}(?![\w-])", without=THINGS.get(word, ("/",))) == []


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_archaic_phrases(phrase: str) -> None:
    assert places(re.escape(phrase)) == []


def test_names_and_summaries_of_tests_are_plain() -> None:
    words = [*(word for word in METAPHORS if word != "desk"), *PHRASES, *IN_TESTS]
    pattern = re.compile(r"\b(?:" + "|".join(words) + r")\b", re.IGNORECASE)
    literal = re.compile(r"\b(?:rooms?|doors?)\b", re.IGNORECASE)
    found = []
    for path in sorted((REPOSITORY / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        found += [
            f"{path.relative_to(REPOSITORY)}: {text}"
            for text in [path.stem, *names, summary]
            for plain in [text.replace("_", " ")]
            if path.name != Path(__file__).name
            and pattern.search(literal.sub("", plain) if path.parent.name in ("shapes", "scenes", "support", "detection") else plain)
        ]
    assert found == []


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Return every name that a file defines or uses, with its line."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 0)


def test_former_names_are_gone() -> None:
    found = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(SOURCE)}:{line}: {name}" for name, line in identifiers(tree) if name in NAMES]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                methods = {child.name for child in node.body if isinstance(child, ast.FunctionDef)}
                found += [f"{path.relative_to(SOURCE)}: {node.name}.{name}" for name in methods & METHODS.get(node.name, set())]
    assert found == []


def test_pages_use_present_names() -> None:
    pattern = re.compile(r"\b(?:" + "|".join(NAMES - {"told", "desk"}) + r")\b")
    code = re.compile(r"(?<!`)`([^`\n]+)`")
    pages: list[Path] = [path for path in documents(REPOSITORY) if path.name != "CHANGELOG.md"]
    assert [
        f"{path.name}: {found}" for path in pages for found in code.findall(path.read_text(encoding="utf-8")) if pattern.search(found)
    ] == []
