"""`basrelief train point`: from meshes to a file, and wrong arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from basrelief.encoders.points.files import read_point_record
from support.small_points import register

from .conftest import Ended

Run = Callable[..., Ended]
SMALL = ("network=small", "points=64", "batch_size=4", "epochs=1", "workers=1", "optimiser.lr=1e-3")


@pytest.fixture(autouse=True)
def _family(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def test_a_network_is_trained(run: Run, meshes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ended = run("train", "point", "--root", meshes, "-o", out, *SMALL, "--jobs", 1, "--device", "cpu")
    assert (ended.code, ended.out) == (0, f"point network: {out / 'point.safetensors'}\n")
    assert '"stage":"train"' in ended.err.replace(" ", "")
    assert read_point_record(out / "point.safetensors").encoder == "tiny"


def test_an_image_adapter_is_trained(run: Run, meshes: Path, tmp_path: Path) -> None:
    made = run("train", "pairs", "--root", meshes, "-o", tmp_path / "pairs", "--size", 32, "--jobs", 1)
    assert made.code == 0
    given = ("--root", meshes, "--images", tmp_path / "pairs", "-o", tmp_path / "run", "--jobs", 1, "--device", "cpu")
    ended = run("train", "point", *given, "preset=tamm-image-adapter", *SMALL)
    assert (ended.code, ended.out) == (0, f"image adapter: {tmp_path / 'run' / 'image_adapter.safetensors'}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name a folder of shapes or one of published features, not both. Use --root, or --published with --split."),
        (("preset=openshap",), "Unknown preset 'openshap'"),
        (("--published", "somewhere"), "Published features need their list of shapes. Pass --split"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], message: str, run: Run, tmp_path: Path) -> None:
    ended = run("train", "point", "-o", tmp_path / "run", *arguments)
    assert ended.code == 2
    assert message in ended.err
