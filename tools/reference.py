"""Generate pages of the documentation: commands, the Python API, and documents that live elsewhere in the repository.

`docs/conf.py` calls this module during a build. Nothing it writes is kept in git.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import io
import os
import pkgutil
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent

REPOSITORY_PAGES: Mapping[str, str] = MappingProxyType(
    {
        "SECURITY.md": "reference/security",
        "CHANGELOG.md": "reference/changelog",
        "CONTRIBUTING.md": "reference/contributing",
        "src/basrelief/models/tiny/MODEL_CARD.md": "reference/tiny-model-card",
        "tools/attack/README.md": "reference/attacks",
    }
)
"""Page of the site, by document outside docs/ that becomes one."""

_COMMAND_PACKAGES = {"cli", "web"}
_MODULES = ("types", "errors", "limits")
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(\))")


def write(folder: Path) -> None:
    """Write all generated pages to `folder` and delete other files there; unchanged pages keep their time stamp."""
    pages = {"index.md": _index(), "cli.md": command_line(), **{f"{name}.rst": _module(name) for name in modules()}}
    for source, page in REPOSITORY_PAGES.items():
        pages[f"{posixpath.basename(page)}.md"] = _relink((ROOT / source).read_text(encoding="utf-8"), source, page)
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()


def relink(document: str, text: str) -> str:
    """Return the text of a page in docs/ with links to repository documents pointing at their pages."""
    return text if document.startswith("reference/") else _relink(text, f"docs/{document}.md", document)


def modules() -> list[str]:
    """Return the modules of the API reference: `basrelief`, then packages and modules for import."""
    import basrelief

    found = {module.name for module in pkgutil.iter_modules(basrelief.__path__) if module.ispkg} - _COMMAND_PACKAGES
    return ["basrelief", *(f"basrelief.{name}" for name in sorted(found | set(_MODULES)))]


def command_line() -> str:
    """Return the reference of all commands as Markdown, written by typer."""
    from typer.cli import app

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        app(["basrelief.cli.app", "utils", "docs", "--name", "basrelief", "--title", "Commands"], standalone_mode=False)
    return html.unescape(output.getvalue())


def list_tables(lines: list[str]) -> list[str]:
    """Return a docstring's lines with Markdown tables as reStructuredText list tables."""
    done: list[str] = []
    table: list[str] = []
    for line in [*lines, ""]:
        if line.lstrip().startswith("|"):
            table.append(line)
            continue
        if table:
            done.extend(_list_table(table))
            table = []
        done.append(line)
    return done[:-1]


def _list_table(table: list[str]) -> Iterator[str]:
    indent = table[0][: len(table[0]) - len(table[0].lstrip())]
    yield f"{indent}.. list-table::"
    yield f"{indent}   :header-rows: 1"
    yield ""
    for row in (table[0], *table[2:]):
        for number, cell in enumerate(row.strip().strip("|").split("|")):
            yield f"{indent}   {'* -' if number == 0 else '  -'} {cell.strip()}"


def _index() -> str:
    others = "\n".join(("cli", *modules(), *(posixpath.basename(page) for page in REPOSITORY_PAGES.values())))
    return f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{others}\n```\n"


def _module(name: str) -> str:
    """Return the page of a module; what `basrelief` itself exports is documented there only."""
    import basrelief

    module = importlib.import_module(name)
    names = set(getattr(module, "__all__", vars(module)))
    shared = sorted(names & set(basrelief.__all__) - {"__version__"}) if module is not basrelief else []
    title = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
    if not shared:
        return title
    listed = ", ".join(f":py:obj:`basrelief.{each}`" for each in shared)
    return f"{title}   :exclude-members: {', '.join(shared)}\n\nAlso here, documented in :py:mod:`basrelief`: {listed}.\n"


def _relink(text: str, source: str, page: str) -> str:
    """Return Markdown of the file `source` with relative links made valid for `page` of the site."""

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        if target in REPOSITORY_PAGES:
            target = f"docs/{REPOSITORY_PAGES[target]}.md"
        return f"{found[1]}{os.path.relpath(target, posixpath.join('docs', posixpath.dirname(page)))}{found[3] or ''}{found[4]}"

    return _LINK.sub(link, text)
