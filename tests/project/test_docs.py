"""Documents: their commands run, their names and links exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import basrelief
from support import REPOSITORY
from support.console_examples import Example, differences, documents, examples, run, same_output

MARKDOWN = """text
```console
$ basrelief --version
basrelief 9.9.9
$ basrelief models \\
    --json  # all of them
```
```python
$ not this
```
"""


def test_commands_are_found_with_their_output_and_place() -> None:
    assert examples(MARKDOWN) == [
        Example(3, "basrelief --version", "basrelief 9.9.9"),
        Example(5, "basrelief models     --json", ""),
    ]


def test_a_command_is_run(tmp_path: Path) -> None:
    done = run(examples(MARKDOWN)[0], tmp_path)
    assert done.returncode == 0
    assert done.stdout.strip() == f"basrelief {basrelief.__version__}"


def test_other_programs_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The command 'rm -r x' does not start with basrelief"):
        run(Example(1, "rm -r x", ""), tmp_path)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("chair  0.91", "chair 0.9", True),
        ("chair  0.91", "table  0.91", False),
        ("a\nb", "a", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...", "a\nb", True),
        ("...\nb", "a\nc", False),
        ("a 1,000 x", "a 2 x", True),
        ("(+x)", "(+x)\n", True),
    ],
)
def test_outputs_are_compared_but_for_numbers(expected: str, actual: str, same: bool) -> None:
    assert same_output(expected, actual) is same


def test_a_document_that_drifted_is_found(tmp_path: Path) -> None:
    true = "```console\n$ make demo\n$ basrelief --version\nbasrelief 1\n$ basrelief --help\n```\n"
    assert differences(true, tmp_path) == []
    (drifted,) = differences(true.replace("basrelief 1", "version 1"), tmp_path)
    assert drifted.startswith("line 3: basrelief --version ended with 0 and printed\nbasrelief ")
    (failed,) = differences("```console\n$ basrelief fly\n```\n", tmp_path)
    assert failed.startswith("line 2: basrelief fly ended with 2 and printed\nUsage: basrelief")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make (?:PYTHON=\S+ )?([a-z]+)", text))
    assert named <= targets
    assert document != "CONTRIBUTING.md" or named == {"demo", "test", "lint", "docs", "bench", "clean"}


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/develop/where-things-go.md"])
def test_folders_that_contributors_are_sent_to_exist(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    named = {name.partition("NAME")[0] for name in re.findall(r"`((?:src|tests|docs|tools)/[\w/.-]*)", text)}
    assert named
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_the_architecture_page_has_every_package_in_the_order_of_the_layers() -> None:
    """Its table has the packages of the import contract; the contract may have more than one on a layer."""
    contract = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [re.findall(r"\w+", layer) for layer in contract["layers"] if "__main__" not in layer]
    table = (REPOSITORY / "docs/develop/architecture.md").read_text(encoding="utf-8").split("|---|---|\n")[1].split("\n\n")[0]
    listed = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    depth = {name: number for number, layer in enumerate(layers) for name in layer}
    assert sorted(listed) == sorted(depth)
    assert [depth[name] for name in listed if depth[name] < len(layers) - 2] == sorted(
        depth[name] for name in listed if depth[name] < len(layers) - 2
    )


def test_contributing_fits_one_screen() -> None:
    assert len((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 50


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == basrelief.__version__


def test_links_between_documents_lead_somewhere() -> None:
    for document in documents(REPOSITORY):
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
        assert [link for link in links if not (document.parent / link).exists()] == [], document.name
