"""The scripts that measure the code: limits are reported with their place, and revisions are compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support import REPOSITORY, load_script


@pytest.fixture(scope="module")
def measures() -> ModuleType:
    return load_script("tools/measures.py")


@pytest.fixture(scope="module")
def survey() -> ModuleType:
    return load_script("tools/survey.py")


GOOD = '''"""A module."""


def double(x: int, y: int = 0, *, z: int = 0) -> int:
    """Double x."""
    return 2 * x + y + z


class Box:
    """A box."""

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def half(self) -> float:
        """Half the size."""
        return self.size / 2

    def _hidden(self, a: int, b: int, c: int) -> int:
        return a + b + c
'''
PACKAGE = '''"""A package."""

from sample.part.good import Box, double

__all__ = ["Box", "double"]
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package within all limits."""
    part = tmp_path / "src" / "sample" / "part"
    part.mkdir(parents=True)
    (tmp_path / "src" / "sample" / "__init__.py").write_text('"""A package."""\n', encoding="utf-8")
    (part / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    (part / "good.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_good.py").write_text("# a line of a test\n" * 40, encoding="utf-8")
    return tmp_path


def measure(measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = measures.main(tree)
    return code, capsys.readouterr().out


def test_a_good_tree_passes(measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = measure(measures, tree, capsys)
    assert code == 0, output
    assert "ALARM" not in output
    for line in (
        "functions typed 100.0 % ok 100 %",
        "lines of a function, most 2 ok under 60",
        "functions of more than 6 parameters 0 ok",
        "public names: basrelief, its packages 0, 2 ok under 215",
        "lines of tests, of the package 40,",
    ):
        assert line in " ".join(output.split())


# The ~ keeps what is forbidden out of this file.
FAULTS = {
    "def f(x) -> None:\n    '''Doc.'''\n": "2: f is not typed",
    "def f(x: int):\n    '''Doc.'''\n": "2: f is not typed",
    "def f(*x) -> None:\n    '''Doc.'''\n": "2: f is not typed",
    "def f() -> None:\n    return None\n": "2: f has no docstring",
    "class C:\n    x = 1\n": "2: C has no docstring",
    "class C:\n    '''Doc.'''\n    @property\n    def p(self) -> int:\n        return 1\n": "5: p has no docstring",
    "def _f() -> int:\n" + "    x = 1\n" * 59: "2: _f has 60 lines",
    "\n" * 349: "1: file of 350 lines",
    "def _f() -> None:\n    assert True\n": "3: assert",
    "try:\n    pass\nexcept:\n    pass\n": "4: bare except",
    "from os import *\n": "2: star import",
    "print('x')\n": "2: print",
    "x.cuda()\n": "2: .cuda()",
    "# TO~DO later\n": "2: an unfinished mark",
    "x = '/ho~me/someone/x'\n": "2: a machine path",
    "x = '/tm~p/x'\n": "2: a machine path",
    "x = 'https://py~pi.org/simple'\n": "2: a registry host",
    "# pip install --index~-url x\n": "2: a registry host",
}


@pytest.mark.parametrize(("code", "named"), FAULTS.items())
def test_a_fault_is_named_with_its_place(
    measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str], code: str, named: str
) -> None:
    (tree / "src" / "sample" / "part" / "bad.py").write_text('"""Bad."""\n' + code.replace("~", ""), encoding="utf-8")
    (tree / "tests" / "test_bad.py").write_text("# a line of a test\n" * 500, encoding="utf-8")
    status, output = measure(measures, tree, capsys)
    assert status == 1
    assert output.splitlines()[-1] == str(Path("src/sample/part/bad.py:")) + named
    assert output.count(".py:") == 1


def test_what_is_allowed(measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters, lines of docstrings, inner functions and words like a mark are fine."""
    command = "def run(a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> None:\n    '''Run.'''\n"
    long_docstring = "def f() -> None:\n    '''Doc.\n" + "    more\n" * 70 + "    '''\n"
    inner = "def g() -> None:\n    '''Doc.'''\n    def h(x: int) -> int:\n        return x\n"
    (tree / "src" / "sample" / "cli").mkdir()
    (tree / "src" / "sample" / "cli" / "run.py").write_text('"""Run."""\n' + command, encoding="utf-8")
    (tree / "src" / "sample" / "part" / "fine.py").write_text(
        f'"""Fine: ~/wor{""}k/x, a/home/b, TO{""}DOS."""\n{long_docstring}{inner}', encoding="utf-8"
    )
    (tree / "tests" / "test_more.py").write_text("# a line of a test\n" * 200, encoding="utf-8")
    status, output = measure(measures, tree, capsys)
    assert status == 0, output


def test_too_many_public_names_are_an_alarm(measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"name_{i}" for i in range(215)]
    (tree / "src" / "sample" / "part" / "__init__.py").write_text(f'"""A package."""\n\n__all__ = {names!r}\n', encoding="utf-8")
    status, output = measure(measures, tree, capsys)
    assert status == 1
    assert "src:1: packages export 215 names" in output


def test_scripts_have_limits_too(measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "tools").mkdir()
    (tree / "tools" / "script.py").write_text('"""A script."""\nprint("x")\n\n\ndef f(x):\n    """Doc."""\n', encoding="utf-8")
    status, output = measure(measures, tree, capsys)
    assert status == 1
    assert output.splitlines()[-1] == f"{Path('tools/script.py')}:5: f is not typed"
    assert output.count(".py:") == 1


def test_files_that_git_ignores_are_not_read(measures: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "notes.md").write_text("/tm~p/x\n".replace("~", ""), encoding="utf-8")
    assert measure(measures, tree, capsys)[0] == 1
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    assert measure(measures, tree, capsys)[0] == 1
    (tree / ".gitignore").write_text("notes.md\n", encoding="utf-8")
    assert measure(measures, tree, capsys)[0] == 0


def test_the_script_runs_from_the_command_line(tree: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools" / "measures.py"), str(tree)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lines of tests, of the package" in done.stdout


def test_equal_lines_are_a_duplicated_block(survey: ModuleType) -> None:
    body = "\n".join(f"x{i} = {i}  # comment" for i in range(7))
    files = {"a.py": f'"""Doc."""\nimport os\n{body}\n', "b.py": f"y = 0\n\n{body.replace(' = ', '=')}\n", "c.py": "x0 = 0\nx1 = 1\n"}
    assert survey.duplicated_blocks({name: list(survey.code_lines(text)) for name, text in files.items()}) == [("b.py", 3, 7)]


def test_revisions_are_compared(
    survey: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tree)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "src", "tests"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    (tree / "src" / "sample" / "more.py").write_text("__all__ = ['a', 'b', 'c']\n", encoding="utf-8")
    assert survey.main(["HEAD", "."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| | HEAD | working tree |"
    assert lines[2] == "| modules | 3 | 4 |"
    assert "| public names | 2 | 5 |" in lines
    assert lines[-2:] == ["| lines of tests | 40 | 40 |", "| test functions | 0 | 0 |"]
