"""STEP files, read by an optional library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.types import Mesh
from support.step_files import step_block


def test_a_block_is_read_in_metres_with_its_colour(tmp_path: Path) -> None:
    pytest.importorskip("cascadio")
    path = tmp_path / "block.step"
    path.write_text(step_block((10, 20, 30), (0.0, 0.0, 1.0)))
    mesh = shapes.load(path)
    assert isinstance(mesh, Mesh) and mesh.origin is not None and mesh.colors is not None
    np.testing.assert_allclose([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], [[0, 0, 0], [0.01, 0.02, 0.03]], atol=1e-7)
    assert (mesh.origin.up, len(mesh.faces)) == ("z", 12)
    assert "Lengths were converted to metres." in mesh.origin.notes
    np.testing.assert_allclose(mesh.colors, np.tile([0, 0, 1], (len(mesh.vertices), 1)), atol=1e-6)


@pytest.mark.parametrize("cut", [300, 1500])
def test_a_damaged_file_says_so_and_prints_nothing(tmp_path: Path, cut: int, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cascadio")
    path = tmp_path / "block.stp"
    path.write_text(step_block((1, 1, 1))[:cut])
    with pytest.raises(FileFormatError, match="holds no surface that can be read"):
        shapes.load(path)
    assert capfd.readouterr() == ("", "")


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cascadio", None)
    path = tmp_path / "block.step"
    path.write_text(step_block((1, 1, 1)))
    with pytest.raises(MissingExtraError, match=r"basrelief\[cad\]"):
        shapes.load(path)
