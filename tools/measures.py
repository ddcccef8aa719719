"""Measure the code and check its limits; exit 1 and print file:line for every place beyond a limit.

    python tools/measures.py [ROOT]

Covers src/, tools/, benchmarks/ and examples/. The limits are alarms: code that runs into one deserves a second look.
Files have fewer than 350 lines, functions fewer than 60 from `def` to the end without the docstring; all functions are
typed, and public ones documented. Packages below the top one export fewer than 215 names together. Parameters are
counted for information only; `tests` is measured but has no limits.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("src", "tools", "benchmarks", "examples")
FILE_LINES = 350
FUNCTION_LINES = 60
PUBLIC_NAMES = 215
FORBIDDEN_TEXT = {
    "an unfinished mark": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X{3})\b"),
    "a machine path": re.compile(r"(?<![\w./~-])(?:/(?:home|Users|root|tmp|work|opt|mnt)/\w|[A-Z]:\\Users)"),
    "a registry host": re.compile(r"pypi\.(?:org|python)|pythonhosted\.org|download\.pytorch\.org|--(?:extra-)?index-url|--find-[l]inks"),
}


@dataclass(frozen=True)
class Alarm:
    """A place beyond a limit."""

    path: Path
    line: int
    what: str


@dataclass(frozen=True)
class Measure:
    """One figure, its limit in words (empty if there is none), and whether it is within the limit."""

    name: str
    value: str
    limit: str = ""
    holds: bool = True


@dataclass(frozen=True)
class Function:
    """A function or method.

    Attributes:
        node: Its syntax tree.
        public: Whether neither it nor anything around it has a name with an underscore.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef
    public: bool

    @property
    def parameters(self) -> list[ast.arg]:
        """All parameters without `self` and `cls`."""
        args = self.node.args
        positional = [*args.posonlyargs, *args.args]
        positional = positional[1:] if positional and positional[0].arg in ("self", "cls") else positional
        return [*positional, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]

    @property
    def typed(self) -> bool:
        """Whether every parameter and the result have a type."""
        return self.node.returns is not None and all(p.annotation is not None for p in self.parameters)

    @property
    def lines(self) -> int:
        """Lines from `def` to the end without the docstring."""
        first, count = self.node.body[0], (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1
        documented = ast.get_docstring(self.node, clean=False) is not None
        return count - ((first.end_lineno or 0) - first.lineno + 1) if documented else count


@dataclass(frozen=True)
class Source:
    """A parsed Python file.

    Attributes:
        path: Relative to the root.
        lines: Number of lines.
        tree: Syntax tree.
        functions: Functions and methods.
        exported: Number of names in the file's `__all__`.
    """

    path: Path
    lines: int
    tree: ast.Module
    functions: tuple[Function, ...]
    exported: int

    @property
    def in_package(self) -> bool:
        """Whether the file belongs to the package, not to a script."""
        return self.path.parts[0] == "src"


def main(root: Path) -> int:
    """Measure the tree under `root`, print the table and the alarms; return the exit code."""
    sources = [_parse(root, path) for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    alarms = [*_code(sources), *_texts(root)]
    measures = [*_figures(sources), *_sizes(root, sources), *_forbidden(alarms)]
    width = max(len(m.name) for m in measures)
    for m in measures:
        print(f"{m.name:<{width}}  {m.value:>14}  {'ok' if m.holds else 'ALARM':<5}  {m.limit}".rstrip())
    for alarm in alarms:
        print(f"{alarm.path}:{alarm.line}: {alarm.what}")
    return 1 if alarms else 0


def _parse(root: Path, path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    relative = path.relative_to(root)
    public = not any(part.startswith("_") and part not in ("__init__.py", "__main__.py") for part in relative.parts)
    return Source(relative, len(text.splitlines()), tree, tuple(_functions(tree, public=public)), len(_exported(tree)))


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _functions(node: ast.AST, *, public: bool) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(child, public and not child.name.startswith("_"))
            yield from _functions(child, public=False)
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, public=public and not child.name.startswith("_"))
        else:
            yield from _functions(child, public=public)


def _documented(source: Source) -> Iterator[tuple[int, str, bool]]:
    """Return line, name and whether there is a docstring, for each public module, class and function."""
    yield 1, "module", bool(ast.get_docstring(source.tree))
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.lineno, node.name, bool(ast.get_docstring(node))
    for function in source.functions:
        decorators = {ast.unparse(d) for d in function.node.decorator_list}
        if function.public and "overload" not in decorators and not any(d.endswith(".setter") for d in decorators):
            yield function.node.lineno, function.node.name, bool(ast.get_docstring(function.node))


def _code(sources: Sequence[Source]) -> Iterator[Alarm]:
    for source in sources:
        if source.lines >= FILE_LINES:
            yield Alarm(source.path, 1, f"file of {source.lines} lines")
        yield from (Alarm(source.path, line, f"{name} has no docstring") for line, name, has in _documented(source) if not has)
        for function in source.functions:
            if not function.typed:
                yield Alarm(source.path, function.node.lineno, f"{function.node.name} is not typed")
            if function.lines >= FUNCTION_LINES:
                yield Alarm(source.path, function.node.lineno, f"{function.node.name} has {function.lines} lines")
        if source.in_package:
            yield from _forbidden_nodes(source)
    _, packages = _exported_names(sources)
    if packages >= PUBLIC_NAMES:
        yield Alarm(Path("src"), 1, f"packages export {packages} names")


def _exported_names(sources: Sequence[Source]) -> tuple[int, int]:
    """Return the number of names in `__all__` of the top package and of all packages below it."""
    exported = [s.exported for s in sources if s.in_package and s.path.name == "__init__.py"]
    return sum(exported[:1]), sum(exported[1:])


def _forbidden_nodes(source: Source) -> Iterator[Alarm]:
    for node in ast.walk(source.tree):
        what = _forbidden_node(node)
        if what:
            yield Alarm(source.path, getattr(node, "lineno", 1), what)


def _forbidden_node(node: ast.AST) -> str:
    match node:
        case ast.Assert():
            return "assert"
        case ast.ExceptHandler(type=None):
            return "bare except"
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            return "star import"
        case ast.Call(func=ast.Name(id="print")):
            return "print"
        case ast.Call(func=ast.Attribute(attr="cuda")):
            return ".cuda()"
    return ""


def _texts(root: Path) -> Iterator[Alarm]:
    for path in _tracked(root):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            yield from (Alarm(path.relative_to(root), number, what) for what, pattern in FORBIDDEN_TEXT.items() if pattern.search(line))


def _tracked(root: Path) -> list[Path]:
    git = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, check=False) if (root / ".git").exists() else None
    if listed is None or listed.returncode:
        return sorted(
            p for p in root.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts[:-1])
        )
    return [root / name for name in listed.stdout.decode().split("\0") if name and (root / name).is_file()]


def _figures(sources: Sequence[Source]) -> Iterator[Measure]:
    functions = [f for source in sources for f in source.functions]
    typed, documented = [f.typed for f in functions], [has for source in sources for *_, has in _documented(source)]
    yield Measure("functions typed", _percent(typed), "100 %", all(typed))
    yield Measure("public docstrings", _percent(documented), "100 %", all(documented))
    files = [s.lines for s in sources if s.path.name != "__init__.py"] or [0]
    yield Measure("lines of a file, median", f"{statistics.median(files):.0f}")
    yield Measure("lines of a file, most", str(max(files)), f"under {FILE_LINES}", max(files) < FILE_LINES)
    lengths = sorted(f.lines for f in functions) or [0]
    yield Measure("lines of a function, median", f"{statistics.median(lengths):.0f}")
    yield Measure("lines of a function, 95 %", str(lengths[int(0.95 * (len(lengths) - 1))]))
    yield Measure("lines of a function, most", str(lengths[-1]), f"under {FUNCTION_LINES}", lengths[-1] < FUNCTION_LINES)
    ordinary = [f for f in functions if f.node.name != "__init__"]
    yield Measure("functions of more than 6 parameters", str(sum(len(f.parameters) > 6 for f in ordinary)))


def _sizes(root: Path, sources: Sequence[Source]) -> Iterator[Measure]:
    package = [s for s in sources if s.in_package]
    own, packages = _exported_names(sources)
    yield Measure("public names: basrelief, its packages", f"{own}, {packages}", f"under {PUBLIC_NAMES}", packages < PUBLIC_NAMES)
    yield Measure("files, functions", f"{len(sources)}, {sum(len(s.functions) for s in sources)}")
    tests = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in (root / "tests").rglob("*.py"))
    yield Measure("lines of tests, of the package", f"{tests}, {sum(s.lines for s in package)}")


def _forbidden(alarms: Sequence[Alarm]) -> Iterator[Measure]:
    for name in ("assert", "bare except", "star import", "print", ".cuda()", *FORBIDDEN_TEXT):
        count = sum(alarm.what == name for alarm in alarms)
        yield Measure(name, str(count), "none", count == 0)


def _percent(flags: Sequence[bool]) -> str:
    share = 100 * sum(flags) / len(flags) if flags else 100.0
    return f"{share:.1f} %"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
