"""Find, run and compare commands and their output in Markdown."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Example:
    """A command of a ```console block with the output printed below it.

    Attributes:
        line: Where it stands in the document, from 1.
        command: What follows `$ `, without a comment; lines that end with a backslash are joined.
        output: The lines below, up to the next command; empty where the document leaves it out.
    """

    line: int
    command: str
    output: str


def documents(root: Path) -> list[Path]:
    """Return the Markdown documents that people write: those at the top and in docs/, without generated pages."""
    written = [path for path in (root / "docs").rglob("*.md") if "reference" not in path.parts]
    return sorted([*root.glob("*.md"), *written])


def examples(markdown: str) -> list[Example]:
    """Every command of every ```console block, in order."""
    found = []
    for block in _BLOCK.finditer(markdown):
        first = markdown[: block.start()].count("\n") + 2
        lines = block[1].replace("\\\n", "").splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            command = re.sub(r"\s+#.*", "", lines[start][2:])
            found.append(Example(first + start, command, "\n".join(lines[start + 1 : end]).strip()))
    return found


def run(example: Example, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a `basrelief ...` command in a folder, with this interpreter; stdout and stderr come together."""
    program, *arguments = shlex.split(example.command)
    if program != "basrelief":
        raise ValueError(f"The command {example.command!r} does not start with basrelief.")
    line = [sys.executable, "-c", "import sys; sys.argv[0] = 'basrelief'; from basrelief.cli import main; main()", *arguments]
    return subprocess.run(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)


def same_output(expected: str, actual: str) -> bool:
    """Whether two outputs differ in numbers and spacing only; a line `...` stands for any lines."""
    wanted, got = _plain(expected), _plain(actual)
    if "..." not in wanted:
        return wanted == got
    pattern = r"(?:.*\n)*".join(re.escape("".join(f"{line}\n" for line in part)) for part in _split(wanted))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in got)) is not None


def differences(markdown: str, folder: Path) -> list[str]:
    """Run every `basrelief ...` command of a document in a folder, in order; say where the output is another.

    Commands of other programs (`git`, `make`) are left out, and so is the output of a command that shows none.
    """
    found = []
    for example in examples(markdown):
        if example.command.split()[0] == "basrelief":
            done = run(example, folder)
            if done.returncode or (example.output and not same_output(example.output, done.stdout)):
                found.append(f"line {example.line}: {example.command} ended with {done.returncode} and printed\n{done.stdout}")
    return found


def _plain(output: str) -> list[str]:
    return [" ".join(_NUMBER.sub("0", line).split()) for line in output.strip().splitlines()]


def _split(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return parts
