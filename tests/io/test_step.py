"""STEP files, read by an optional library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.formats import step
from basrelief.io.formats.step import _convert
from basrelief.io.source import open_source
from basrelief.limits import Limits, use_limits
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


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [("ISO-10303-21;", "", "holds no surface that can be read"), ("VERTEX_POINT", "PLANE", r"block\.stp contains no triangles or points")],
)
def test_a_damaged_file_says_so_and_prints_nothing(
    tmp_path: Path, before: str, after: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cascadio")
    path = tmp_path / "block.stp"
    path.write_text(step_block((1, 1, 1)).replace(before, after))
    with pytest.raises(FileFormatError, match=message):
        shapes.load(path)
    assert capfd.readouterr() == ("", "")


def test_a_crash_of_the_library_is_an_error_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cascadio")
    monkeypatch.setattr(step, "_CONVERT", "import os\nos.abort()")
    path = tmp_path / "block.step"
    path.write_text(step_block((1, 1, 1)))
    with pytest.raises(FileFormatError, match="holds no surface that can be read"):
        shapes.load(path)


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    pytest.importorskip("cascadio")
    path = tmp_path / "block.step"
    path.write_text(step_block((1, 1, 1)))
    with use_limits(Limits(seconds=1e-3)), pytest.raises(FileFormatError, match="took more than"):
        _convert(open_source(path), tmp_path / "out.glb", "step")


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "block.step"
    path.write_text(step_block((1, 1, 1)))
    with pytest.raises(MissingExtraError, match=r"basrelief\[cad\]"):
        shapes.load(path)
