"""Count modules, lines, public names, duplicated blocks and tests at git revisions, one column each.

    python tools/survey.py REVISION...

A revision may be `.` for the working tree. A duplicated block is a run of at least six lines that also stands elsewhere,
once spaces, comments, docstrings and imports are left out.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tarfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

BLOCK = 6
"""Equal lines in a row from which on a block counts as duplicated."""


def main(revisions: list[str]) -> int:
    """Print the table; return the exit code."""
    columns = [survey(read(revision, "src")) | survey_tests(read(revision, "tests")) for revision in revisions]
    print("".join(["| |", *(f" {'working tree' if revision == '.' else revision} |" for revision in revisions)]))
    print("|---" * (len(revisions) + 1) + "|")
    for name in columns[0]:
        print("".join([f"| {name} |", *(f" {column[name]:,} |" for column in columns)]))
    return 0


def read(revision: str, folder: str) -> dict[str, str]:
    """Return the text of each Python file below a folder, by path."""
    if revision == ".":
        return {str(path): path.read_text(encoding="utf-8") for path in sorted(Path(folder).rglob("*.py"))}
    packed = subprocess.run(["git", "archive", "--format=tar", revision, folder], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [member for member in archive if member.isfile() and member.name.endswith(".py")]
        opened = ((member.name, archive.extractfile(member)) for member in members)
        return {name: file.read().decode() for name, file in opened if file is not None}


def survey(files: Mapping[str, str]) -> dict[str, int]:
    """Return the figures of a tree."""
    code = {name: list(code_lines(text)) for name, text in files.items()}
    blocks = duplicated_blocks(code)
    return {
        "modules": len(files),
        "lines": sum(len(text.splitlines()) for text in files.values()),
        "lines of code": sum(map(len, code.values())),
        "public names": sum(map(public_names, files.values())),
        f"duplicated blocks of {BLOCK} lines or more": len(blocks),
        "lines in them": sum(length for _, _, length in blocks),
    }


def survey_tests(files: Mapping[str, str]) -> dict[str, int]:
    """Return the figures of the tests."""
    functions = sum(len(re.findall(r"^ *def test_", text, re.MULTILINE)) for text in files.values())
    return {"lines of tests": sum(len(text.splitlines()) for text in files.values()), "test functions": functions}


def public_names(text: str) -> int:
    """Return the number of names in `__all__`."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return len(ast.literal_eval(node.value))
    return 0


def code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Return line number and tokens of each line of code, without comments, docstrings and imports."""
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        string = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if string or isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))  # type: ignore[attr-defined]
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: defaultdict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped and token.start[0] not in left_out:
            lines[token.start[0]].append(token.string)
    return ((number, " ".join(tokens)) for number, tokens in sorted(lines.items()))


def duplicated_blocks(code: Mapping[str, list[tuple[int, str]]]) -> list[tuple[str, int, int]]:
    """Return (file, first line, length in lines of code) of each block that repeats an earlier one."""
    seen: set[tuple[str, ...]] = set()
    blocks = []
    for name, lines in code.items():
        start = 0
        while start + BLOCK <= len(lines):
            length = 0
            while start + length + BLOCK <= len(lines) and _window(lines, start + length) in seen:
                length += 1
            if length:
                blocks.append((name, lines[start][0], length + BLOCK - 1))
                start += length + BLOCK - 1
            else:
                seen.add(_window(lines, start))
                start += 1
    return blocks


def _window(lines: list[tuple[int, str]], start: int) -> tuple[str, ...]:
    return tuple(text for _, text in lines[start : start + BLOCK])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["."]))
