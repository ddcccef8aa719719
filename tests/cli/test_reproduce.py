"""OpenDlign's Table 1 from nothing: weights from a hub, data sets in their layouts, checks, runs, the filled table."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from basrelief.models import Model, get_recipe
from support import dataset_miniatures
from support.hub_server import LocalHub
from support.published_hub import published_hub
from support.published_points import published_file, trained_file

from .conftest import Run

WRITERS = {
    "modelnet40": dataset_miniatures.modelnet_txt,
    "scanobjectnn": lambda root: dataset_miniatures.scanobjectnn(root.parent),
    "omniobject3d": lambda root: dataset_miniatures.omniobject(root, classes=dataset_miniatures.OMNIOBJECT3D[:5]),
    "objaverse-lvis": dataset_miniatures.objaverse,
}
"""Writes a miniature of each data set where the plan says."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.chdir(tmp_path)
    with published_hub(monkeypatch, tmp_path / "machine") as running:
        yield running


def lines(run: Run, *arguments: object) -> list[dict[str, Any]]:
    ended = run("evaluate", "--table", 1, *arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    return [json.loads(line) for line in ended.out.splitlines()]


def typed(run: Run, command: str, *options: object) -> str:
    """Run a command of the plan."""
    ended = run(*shlex.split(command)[1:], *options)
    assert ended.code == 0, (command, ended)
    return ended.out


def cards(folder: Path) -> dict[str, dict[str, Any]]:
    """All cards, without what differs when a command is repeated."""
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/card.json")}
    return {name: {key: value for key, value in card.items() if key != "run"} for name, card in found.items()}


def unpublished(name: str) -> bool:
    own = get_recipe(name).checkpoint
    return own is not None and not own.published


def fetch_all(run: Run, rows: list[dict[str, Any]], machine: Path) -> None:
    for name, command in dict.fromkeys((row["recipe"], row["commands"][0]) for row in rows):
        ended = run(*shlex.split(command)[1:], "--yes")
        if name == "clip2point":  # its own file is on a drive that needs a browser
            assert ended.code == 1
            place = Path(ended.err.split("Put it here: ")[1].strip())
            place.parent.mkdir(parents=True)
            shutil.copy(machine / "best_eval.pth", place)
            ended = run(*shlex.split(command)[1:])
        assert ended.code == 0, (command, ended)
        assert "nobody publishes" in ended.err if unpublished(name) else f"{name} is ready." in ended.out


def train_all(rows: list[dict[str, Any]]) -> None:
    """Put random networks where the plan's training writes them: TAMM's of ShapeNet as its authors would, others as ours does."""
    for seed, name in enumerate(dict.fromkeys(row["recipe"] for row in rows if row["train"])):
        recipe, path = get_recipe(name), trained_file(get_recipe(name), Path("runs") / name / "point.safetensors", seed=70 + seed)
        if name == "tamm-spconv-shapenet":
            path.write_bytes(published_file(recipe, 70 + seed))


def write_data(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if not (root := Path(row["data"]["folder"])).exists():
            root.parent.mkdir(exist_ok=True)
            WRITERS[row["dataset"]](root)
    orders, best = {}, {}
    for name, labels in (("modelnet40", dataset_miniatures.MODELNET40), ("scanobjectnn", dataset_miniatures.label_set("scanobjectnn"))):
        orders[name] = list(labels)
        best[name] = {"vit_b16": {"prompts": [f"depth map of a {label}" for label in labels], "view_weights": [0.5] * 10}}
    Path("best_param.json").write_text(json.dumps({"class_order": orders, "best": best}))


def check_all(run: Run, rows: list[dict[str, Any]]) -> None:
    for command in dict.fromkeys(row["commands"][1] for row in rows):
        typed(run, command)
    for name, folder in dict.fromkeys((row["dataset"], row["data"]["folder"]) for row in rows):
        ended = run("doctor", folder, "--model", "opendlign-h14")
        assert ended.code == 1, ended
        assert "expected" in ended.out, name  # as many shapes as the paper's


@pytest.mark.slow
def test_every_row_is_filled_and_nothing_is_computed_twice(
    hub: LocalHub, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = lines(run, "--plan")
    assert len(rows) == 88
    fetch_all(run, rows, tmp_path / "machine")
    train_all(rows)
    write_data(rows)
    check_all(run, rows)
    for row in rows:
        typed(run, row["commands"][2], "--partial")
    table = {(row["recipe"], row["dataset"]): row for row in lines(run)}
    assert sorted(table) == sorted((row["recipe"], row["dataset"]) for row in rows)
    for name, row in table.items():
        assert None not in row["ours"], name
        if row["paper"][0] is None:
            assert row["why"] == "the paper has no number", name
        else:
            assert "in the paper" in row["why"], name  # the miniatures have fewer shapes
            assert ("which nobody publishes" in row["why"]) == unpublished(row["recipe"]), name

    first, requests = cards(Path("eval")), len(hub.requests)
    monkeypatch.setattr(Model, "features", _computed_again)
    for row in rows:
        typed(run, row["commands"][2], "--partial")
    assert cards(Path("eval")) == first
    assert len(first) == len(rows)
    assert len({card["protocol"]["model"]["weights"] for card in first.values()}) == len({row["recipe"] for row in rows})
    assert len(hub.requests) == requests


def _computed_again(*_: object, **__: object) -> None:
    raise RuntimeError("a shape was embedded again")
