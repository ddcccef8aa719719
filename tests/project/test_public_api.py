"""The public names of basrelief and its packages; what importing costs."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import basrelief
from support import REPOSITORY

PACKAGES = sorted(m.name for m in pkgutil.iter_modules(basrelief.__path__) if m.ispkg)
PROBE = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith("socket.") and event != "socket.gethostname" else None)
{code}
heavy = sorted({{"torch", "transformers", "trimesh", "scipy", "h5py", "numpy"}} & set(sys.modules))
print(json.dumps([opened, heavy]), file=sys.stderr)
"""


def public(module: ModuleType) -> set[str]:
    """Names a module holds for its users: what it defines or re-exports, without modules and typing's tools."""
    tools = {"annotations", "TYPE_CHECKING", "Any", "lazy_exports"}
    return {k for k, v in vars(module).items() if not k.startswith("_") and k not in tools and not isinstance(v, ModuleType)}


def test_every_public_name_can_be_imported() -> None:
    for name in basrelief.__all__:
        assert getattr(basrelief, name) is not None


def test_nothing_else_is_public() -> None:
    for name in basrelief.__all__:
        getattr(basrelief, name)  # a name is held once it was asked for
    assert public(basrelief) | {"__version__"} == set(basrelief.__all__) == set(dir(basrelief))
    assert basrelief.__all__ == sorted(basrelief.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'basrelief' has no attribute 'charis'"):
        basrelief.charis  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_exports_what_it_holds(package: str) -> None:
    module = importlib.import_module(f"basrelief.{package}")
    for name in module.__all__:
        assert getattr(module, name) is not None
    lazy = set(module.__all__) if hasattr(module, "__getattr__") else set()
    assert public(module) | lazy == set(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def imported(tree: ast.AST) -> set[str]:
    """Full names of everything that a file imports by `from ... import ...`."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}


@pytest.mark.parametrize("package", sorted({*PACKAGES} - {"cli", "testing"}))
def test_a_package_exports_only_what_is_used_outside(package: str) -> None:
    files = [path for folder in ("src", "examples", "benchmarks") for path in (REPOSITORY / folder).rglob("*.py")]
    outside = [path for path in files if REPOSITORY / "src" / "basrelief" / package not in path.parents]
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
    used = {name for path in outside for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    text = "".join(path.read_text(encoding="utf-8") for path in (*outside, *pages))
    exported = importlib.import_module(f"basrelief.{package}").__all__
    assert [n for n in exported if f"basrelief.{package}.{n}" not in used and not re.search(rf"\b{package}\.{n}\b", text)] == []


def test_packages_within_packages_export_nothing() -> None:
    source = REPOSITORY / "src" / "basrelief"
    nested = [path for path in source.glob("*/**/__init__.py") if path.parent.parent != source]
    assert len(nested) > 5
    assert [path.parent.name for path in nested if "__all__" in path.read_text(encoding="utf-8")] == []


def probe(code: str) -> tuple[list[str], list[str]]:
    done = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True, timeout=60)
    opened, heavy = json.loads(done.stderr.splitlines()[-1])
    return opened, heavy


def test_importing_opens_no_socket_and_loads_nothing_heavy() -> None:
    assert probe("import basrelief") == ([], [])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["classify", "--help"], ["render", "--help"], ["models", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"from basrelief.cli import main\nsys.argv = ['basrelief', *{arguments!r}]\ntry: main()\nexcept SystemExit as end: assert not end.code"
    assert probe(code) == ([], [])


def test_loading_a_record_needs_no_torch() -> None:
    _, heavy = probe("import basrelief; basrelief.PointCloud; basrelief.BasreliefError")
    assert "torch" not in heavy
