"""Every published point network from a hub to an answer, in the layout of its authors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from basrelief.models import get_recipe, load_model
from support.hub_server import LocalHub
from support.published_hub import published_hub, published_points
from support.published_points import trained_file

from .conftest import Run

QUICK = ["ulip", "openshape-pointbert-b32", "openshape-spconv", "tamm-pointbert", "uni3d-ti", "ulip2"]
REST = [recipe.name for recipe in published_points() if recipe.name not in QUICK]
"""One of each layout, and all others."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.chdir(tmp_path)
    with published_hub(monkeypatch, tmp_path / "machine") as running:
        yield running


@pytest.mark.parametrize("names", [pytest.param(QUICK, id="quick"), pytest.param(REST, id="rest", marks=pytest.mark.slow)])
def test_a_published_network_is_fetched_and_answers(names: list[str], hub: LocalHub, run: Run, files: list[Path]) -> None:
    for name in names:
        fetched = run("models", "fetch", name, "--yes")
        assert (fetched.code, fetched.out.splitlines()[-1]) == (0, f"{name} is ready."), fetched
        ended = run("classify", *files, "-l", "chair,table", "-m", name, "--json")
        assert ended.code == 0, (name, ended)
        assert {json.loads(line)["label"] for line in ended.out.splitlines()} <= {"chair", "table"}


def test_an_unpublished_network_is_trained(hub: LocalHub, run: Run, files: list[Path], tmp_path: Path) -> None:
    """Its text tower is fetched; what `train point` writes is the recipe's own network."""
    fetched = run("models", "fetch", "tamm-spconv", "--yes")
    assert (fetched.code, fetched.err) == (
        0,
        "basrelief: tamm-spconv needs a checkpoint that nobody publishes (train it: basrelief train point preset=tamm-sparseconv). Give the "
        "file of your training: --checkpoint FILE.\n",
    )
    path = trained_file(get_recipe("tamm-spconv"), tmp_path / "point.safetensors")
    assert load_model("tamm-spconv", checkpoint=path).recipe == get_recipe("tamm-spconv")
    assert load_model("openshape-pointbert", checkpoint=path).recipe.name == "openshape-pointbert-points"
    ended = run("classify", *files, "-l", "chair,table", "-m", "tamm-spconv", "--checkpoint", path, "--json")
    assert [json.loads(line)["model"] for line in ended.out.splitlines()] == ["tamm-spconv"] * 2, ended
