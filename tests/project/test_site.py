"""The documentation site: every command and page is in it, links hold, nothing loads from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from basrelief.cli.app import app
from support import REPOSITORY, load_script

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load_script("tools/reference.py")


def test_the_command_reference_is_complete(reference: ModuleType) -> None:
    page = reference.command_line()

    def check(command: object, name: str) -> None:
        section = page.partition(f"# `{name}`\n")[2].partition("\n## `")[0] if name != "basrelief" else page
        assert section, name
        for parameter in command.params:  # type: ignore[attr-defined]
            options = [option for option in parameter.opts if option.startswith("-")]
            assert all(option in section for option in options), f"{name} {options}"
        for inner, child in getattr(command, "commands", {}).items():
            check(child, f"{name} {inner}")

    check(get_command(app), "basrelief")


def test_every_public_package_has_a_page(reference: ModuleType) -> None:
    pages = reference.modules()
    assert pages[0] == "basrelief"
    assert {"basrelief.io", "basrelief.models", "basrelief.index", "basrelief.types", "basrelief.errors"} <= set(pages)


@pytest.mark.parametrize("section", ["use", "research", "develop"])
def test_an_index_links_every_page_of_its_section(section: str) -> None:
    text = (DOCS / section / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^):#]+\.md)", text))
    pages = {str(path.relative_to(DOCS / section)) for path in (DOCS / section).rglob("*.md")} - {"index.md"}
    assert pages <= linked


def test_links_between_repository_and_site(reference: ModuleType) -> None:
    assert reference.relink("use/models", "[a](../../SECURITY.md#x)") == "[a](../reference/security.md#x)"
    assert reference.relink("use/models", "[a](pose.md), [b](https://example.org)") == "[a](pose.md), [b](https://example.org)"


def test_tables_in_docstrings_become_list_tables(reference: ModuleType) -> None:
    assert reference.list_tables(["A.", "", "| a | b |", "|---|---|", "| 1 | 2 |"]) == [
        *["A.", "", ".. list-table::", "   :header-rows: 1", ""],
        *["   * - a", "     - b", "   * - 1", "     - 2"],
    ]


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_works_offline(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)=["']https?:""", page.read_text(encoding="utf-8")), page
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:", style.read_text(encoding="utf-8")), style
