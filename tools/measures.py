"""Print the house's measures against its bar; exit 1 and name file:line where the bar is broken.

    python tools/measures.py [ROOT]

Lines of a file are all its lines; `__init__.py` files are doors and not counted. Lines of a function run from `def` to
its end without the docstring. Parameters do not count `self` and `cls`, nor the fields of a record; those of a command are
its options and not counted. Keyword-only after the second parameter holds for what a room exports by `__all__`.
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

FORBIDDEN_TEXT = {
    "an unfinished mark": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X{3})\b"),
    "a machine path": re.compile(r"(?<![\w./~-])(?:/(?:home|Users|root|tmp|work|opt|mnt)/\w|[A-Z]:\\Users)"),
    "a registry host": re.compile(r"pypi\.(?:org|python)|pythonhosted\.org|download\.pytorch\.org|--(?:extra-)?index-url|--find-[l]inks"),
}


@dataclass(frozen=True)
class Broken:
    """A place that breaks the bar."""

    path: Path
    line: int
    what: str


@dataclass(frozen=True)
class Measure:
    """One measured figure, its bar in words, and whether it holds."""

    name: str
    value: str
    bar: str
    holds: bool = True


@dataclass(frozen=True)
class Function:
    """A function or method.

    Attributes:
        node: Its syntax tree.
        public: Whether neither it nor anything around it has a name with an underscore.
        owner: The class or function at the top of the file that holds it, or itself.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef
    public: bool
    owner: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.node.name

    @property
    def positional(self) -> list[ast.arg]:
        """Parameters that may be given by position, without `self` and `cls`."""
        found = [*self.node.args.posonlyargs, *self.node.args.args]
        return found[1:] if found and found[0].arg in ("self", "cls") else found

    @property
    def parameters(self) -> list[ast.arg]:
        """All parameters without `self` and `cls`."""
        args = self.node.args
        return [*self.positional, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]

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
    """A parsed file of the library.

    Attributes:
        path: Relative to the root.
        lines: Number of its lines.
        tree: Its syntax tree.
        functions: Its functions and methods.
        exported: Names in `__all__` of the package it lies in.
    """

    path: Path
    lines: int
    tree: ast.Module
    functions: tuple[Function, ...]
    exported: frozenset[str]

    @property
    def is_command(self) -> bool:
        """Whether its functions are commands, whose parameters are their options."""
        return "cli" in self.path.parts


def main(root: Path) -> int:
    """Measure the tree under `root`, print the table and what breaks the bar; return the exit code."""
    sources = [_parse(root, path) for path in sorted((root / "src").rglob("*.py"))]
    broken = [*_code(sources), *_texts(root)]
    measures = [*_figures(sources, broken), _ratio(root, sources), *_forbidden(broken)]
    width = max(len(m.name) for m in measures)
    for m in measures:
        print(f"{m.name:<{width}}  {m.value:>14}  {'ok' if m.holds else 'BROKEN':<6}  {m.bar}")
    for b in broken:
        print(f"{b.path}:{b.line}: {b.what}")
    return 0 if all(m.holds for m in measures) and not broken else 1


def _parse(root: Path, path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    relative = path.relative_to(root)
    public = not any(part.startswith("_") and part != "__init__.py" for part in relative.parts)
    door = path.with_name("__init__.py")
    exported = frozenset(_exported(ast.parse(door.read_text(encoding="utf-8")))) if door.is_file() else frozenset()
    return Source(relative, len(text.splitlines()), tree, tuple(_functions(tree, public=public)), exported)


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _functions(node: ast.AST, *, public: bool, owner: str = "") -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(child, public and not child.name.startswith("_"), owner or child.name)
            yield from _functions(child, public=False, owner=owner or child.name)
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, public=public and not child.name.startswith("_"), owner=owner or child.name)
        else:
            yield from _functions(child, public=public, owner=owner)


def _documented(source: Source) -> Iterator[tuple[int, str, bool]]:
    """Every public module, class and function, and whether it has a docstring."""
    yield 1, "module", bool(ast.get_docstring(source.tree))
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.lineno, node.name, bool(ast.get_docstring(node))
    for function in source.functions:
        decorators = {ast.unparse(d) for d in function.node.decorator_list}
        if function.public and "overload" not in decorators and not any(d.endswith(".setter") for d in decorators):
            yield function.node.lineno, function.name, bool(ast.get_docstring(function.node))


def _code(sources: Sequence[Source]) -> Iterator[Broken]:
    for source in sources:
        if source.lines >= 350:
            yield Broken(source.path, 1, f"file of {source.lines} lines")
        yield from (Broken(source.path, line, f"{name} has no docstring") for line, name, has in _documented(source) if not has)
        for function in source.functions:
            yield from (Broken(source.path, function.node.lineno, f"{function.name} {what}") for what in _faults(source, function))
        yield from _forbidden_nodes(source)


def _faults(source: Source, function: Function) -> Iterator[str]:
    if not function.typed:
        yield "is not typed"
    if function.lines >= 60:
        yield f"has {function.lines} lines"
    if len(function.parameters) > 6 and not source.is_command:
        yield f"has {len(function.parameters)} parameters"
    if len(function.positional) > 2 and _exported_by_room(source, function):
        yield f"has {len(function.positional)} positional parameters"


def _exported_by_room(source: Source, function: Function) -> bool:
    public = function.public or function.name == "__init__"
    return public and function.owner in source.exported and not source.is_command


def _forbidden_nodes(source: Source) -> Iterator[Broken]:
    for node in ast.walk(source.tree):
        what = _forbidden_node(node)
        if what:
            yield Broken(source.path, getattr(node, "lineno", 1), what)


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


def _texts(root: Path) -> Iterator[Broken]:
    for path in _tracked(root):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            yield from (Broken(path.relative_to(root), number, what) for what, pattern in FORBIDDEN_TEXT.items() if pattern.search(line))


def _tracked(root: Path) -> list[Path]:
    git = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, check=False) if (root / ".git").exists() else None
    if listed is None or listed.returncode:
        return sorted(
            p for p in root.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts[:-1])
        )
    return [root / name for name in listed.stdout.decode().split("\0") if name and (root / name).is_file()]


def _figures(sources: Sequence[Source], broken: Sequence[Broken]) -> Iterator[Measure]:
    functions = [f for source in sources for f in source.functions]
    typed, documented = [f.typed for f in functions], [has for source in sources for *_, has in _documented(source)]
    yield Measure("functions typed", _percent(typed), "100 %", all(typed))
    yield Measure("public docstrings", _percent(documented), "100 %", all(documented))
    files = [s.lines for s in sources if s.path.name != "__init__.py"] or [0]
    yield Measure("lines of a file, median", f"{statistics.median(files):.0f}", "about 110 (at most 120)", statistics.median(files) <= 120)
    yield Measure("lines of a file, most", str(max(files)), "under 350", max(files) < 350)
    lengths = sorted(f.lines for f in functions) or [0]
    yield Measure(
        "lines of a function, median", f"{statistics.median(lengths):.0f}", "about 8 (at most 9)", statistics.median(lengths) <= 9
    )
    yield Measure("lines of a function, 95 %", str(lengths[int(0.95 * (len(lengths) - 1))]), "")
    yield Measure("lines of a function, most", str(lengths[-1]), "under 60", lengths[-1] < 60)
    counts = [len(f.parameters) for source in sources if not source.is_command for f in source.functions] or [0]
    yield Measure("parameters, most", str(max(counts)), "at most 6", max(counts) <= 6)
    late = sum("positional parameters" in b.what for b in broken)
    yield Measure("more than 2 positional", str(late), "none of what a room exports", late == 0)
    doors = [len(s.exported) for s in sources if s.path.name == "__init__.py"]
    yield Measure("public names, door and rooms", f"{doors[0] if doors else 0}, {sum(doors[1:])}", "about 15 in the door")
    yield Measure("files, functions", f"{len(files)}, {len(functions)}", "")


def _ratio(root: Path, sources: Sequence[Source]) -> Measure:
    """Lines of tests and attacks over lines of source; the `testing` room is itself test support and counts on neither side."""
    written = sum(s.lines for s in sources if "testing" not in s.path.parts)
    proofs = [*(root / "tests").rglob("*.py"), *(root / "tools" / "attack").rglob("*.py")]
    files = [p for p in proofs if "testing" not in p.relative_to(root).parts]
    tests = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in files)
    return Measure("test lines / source lines", f"{tests} / {written}", "at least 1.2", tests >= 1.2 * written)


def _forbidden(broken: Sequence[Broken]) -> Iterator[Measure]:
    names = ("assert", "bare except", "star import", "print", ".cuda()", *FORBIDDEN_TEXT)
    for name in names:
        count = sum(b.what == name for b in broken)
        yield Measure(name, str(count), "none", count == 0)


def _percent(flags: Sequence[bool]) -> str:
    share = 100 * sum(flags) / len(flags) if flags else 100.0
    return f"{share:.1f} %"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
