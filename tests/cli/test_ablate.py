"""`basrelief ablate`: a table on the screen, in a file and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ended

Run = Callable[..., Ended]


@pytest.fixture
def given(images: Path, meshes: Path, tmp_path: Path) -> tuple[object, ...]:
    return ("batch_size=2", "epochs=1", "--images", images, "--root", meshes, "-m", "tiny", "-o", tmp_path / "out")


def test_a_table_is_printed_and_written(run: Run, given: tuple[object, ...], tmp_path: Path) -> None:
    ended = run("ablate", "components", *given)
    assert ended.code == 0
    for words in ("projection of PointCLIP V2", "+ prompts name", "+ logit aggregation", "meshes top-1", "82.6"):
        assert words in ended.out
    found = json.loads((tmp_path / "out" / "components.json").read_text())
    assert [row[-1] for row in found["rows"]] == [59.7, 68.8, 75.9, 80.2, 82.6]
    assert all(0 <= cell <= 100 for row in found["rows"] for cell in row[1:])


def test_json_holds_the_table(run: Run, given: tuple[object, ...]) -> None:
    found = json.loads(run("ablate", "aggregation", *given, "--json").out)
    assert found["columns"] == ["variant", "meshes top-1", "meshes top-3", "meshes top-5"]
    assert len(found["rows"]) == 12


def test_the_limit_is_respected(run: Run, given: tuple[object, ...]) -> None:
    found = json.loads(run("ablate", "prompts", *given, "--limit", 2, "--json").out)
    assert {row[1] for row in found["rows"]} <= {0.0, 50.0, 100.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("colours",), "Unknown table 'colours'; expected one of components, views, projections, prompts, blocks, aggregation, images"),
        (("images",), "The images table compares two or more folders of images, got 1."),
    ],
)
def test_invalid_tables_are_reported(change: tuple[str, ...], message: str, run: Run, given: tuple[object, ...]) -> None:
    ended = run("ablate", *change, *given)
    assert ended.code == 2
    assert message in ended.err


def test_images_and_root_are_required(run: Run, meshes: Path) -> None:
    ended = run("ablate", "components", "--root", meshes, "-m", "tiny")
    assert ended.code == 2
    assert "ablate needs --images and --root." in ended.err
