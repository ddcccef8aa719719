"""`load(up="auto")`: a format's own rule first, then how the shape stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.geometry import rotate, rotation_to_z_up, sample_surface
from basrelief.io import load, save
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud, Shape

SILENT = ("stl", "off", "obj", "ply")
"""Formats that do not say which axis is up."""


def chair() -> Mesh:
    shape = make_shape("chair", seed=21)
    assert isinstance(shape, Mesh)
    return shape


def positions(shape: Shape) -> np.ndarray:
    return np.asarray(shape.vertices if isinstance(shape, Mesh) else shape.points)


@pytest.mark.parametrize("kind", SILENT)
@pytest.mark.parametrize("axis", ["y", "z"])
def test_meshes_of_silent_formats_are_looked_at(axis: str, kind: str, tmp_path: Path) -> None:
    save(rotate(chair(), rotation_to_z_up(axis).T), tmp_path / f"a.{kind}")
    shape = load(tmp_path / f"a.{kind}", up="auto")
    assert shape.origin is not None
    assert shape.origin.up == axis
    np.testing.assert_allclose(np.ptp(positions(shape), axis=0), np.ptp(chair().vertices, axis=0), rtol=1e-3)


@pytest.mark.parametrize("kind", ["ply", "xyz"])
def test_clouds_are_looked_at(kind: str, tmp_path: Path) -> None:
    cloud = sample_surface(chair(), 2000, seed=0)
    save(PointCloud((cloud.points @ rotation_to_z_up("y")).astype(np.float32)), tmp_path / f"a.{kind}")
    shape = load(tmp_path / f"a.{kind}", up="auto")
    assert shape.origin is not None
    assert shape.origin.up == "y"


def test_a_format_that_states_its_axis_is_believed(tmp_path: Path) -> None:
    save(rotate(chair(), rotation_to_z_up("x").T), tmp_path / "a.glb")
    origin = load(tmp_path / "a.glb", up="auto").origin
    assert origin is not None
    assert origin.up == "y"
    assert "specification" in origin.up_reason


def test_the_guess_is_the_same_every_time_and_says_how_sure_it_is(tmp_path: Path) -> None:
    save(chair(), tmp_path / "a.stl")
    one, other = (load(tmp_path / "a.stl", up="auto").origin for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.up_reason == other.up_reason
    assert int(one.up_reason.rpartition("(")[2].split("%")[0]) > 50


def test_what_is_given_wins_over_every_guess(tmp_path: Path) -> None:
    save(chair(), tmp_path / "a.stl")
    origin = load(tmp_path / "a.stl", up="-y").origin
    assert origin is not None
    assert origin.up == "-y"


def test_guessing_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    save(chair(), tmp_path / "a.stl")
    code = f"import sys; from basrelief.io import load; load({str(tmp_path / 'a.stl')!r}, up='auto'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
