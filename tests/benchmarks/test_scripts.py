"""Every benchmark has a `--help`, and `make bench` runs each without arguments."""

from __future__ import annotations

import sys

import pytest

from support import REPOSITORY, load_script

NAMES = sorted(path.stem for path in (REPOSITORY / "benchmarks").glob("*.py"))


def test_there_are_benchmarks() -> None:
    assert {"tiny", "supervised", "render"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_explains_itself(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    module = load_script(f"benchmarks/{name}.py")
    assert module.__doc__
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert f"usage: {name}.py" in capsys.readouterr().out


def test_without_a_run_nothing_is_trained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["supervised.py"])
    load_script("benchmarks/supervised.py").main()
    assert capsys.readouterr().out == "supervised network: skipped, the run is absent (--run)\n"
